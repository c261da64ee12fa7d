"""Prompts as vectors: how they start and how to read them."""

import hashlib

import torch

from trainables.backbones import Backbone


def seeded(*parts: object) -> torch.Generator:
    """A generator whose state depends on ``parts`` alone, in every process."""
    text = "|".join(str(part) for part in parts)
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    return torch.Generator().manual_seed(number)


def initial_prompt(length: int, width: int, std: float, *key: object) -> torch.Tensor:
    """Normal initial prompt [m, d] with standard deviation ``std``.

    It depends on ``key`` (seed and model) alone, not on what is tuned beside it: runs with other λ
    or other partners start from the same point and can be compared in pairs.
    """
    return std * torch.randn(length, width, generator=seeded("init", *key))


@torch.no_grad()
def nearest_words(
    backbone: Backbone, prompts: torch.Tensor, count: int = 3
) -> list[list[list[str]]]:
    """Vocabulary words nearest in cosine to each prompt vector.

    Args:
        backbone: whose embedding table is read; special tokens are left out.
        prompts: [R, m, d].
        count: words a vector.

    Returns:
        For each of the R prompts, m lists of ``count`` words.
    """
    table = torch.nn.functional.normalize(backbone.embeddings.float(), dim=1)
    similarity = torch.nn.functional.normalize(prompts.to(table.device), dim=-1) @ table.T
    special = [number for number in backbone.tokenizer.all_special_ids if number < backbone.rows]
    similarity[..., special] = -torch.inf
    found = similarity.topk(count, dim=-1).indices.cpu()
    decode = backbone.tokenizer.decode
    return [[[decode([int(i)]).strip() for i in row] for row in prompt] for prompt in found]
