"""What is random: generators that depend on names alone, and normal initial prompts."""

import hashlib

import torch


def seeded(*parts: object) -> torch.Generator:
    """A generator whose state depends on ``parts`` alone, in every process."""
    text = "|".join(str(part) for part in parts)
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    return torch.Generator().manual_seed(number)


def beginning(*key: object) -> torch.Generator:
    """What the beginning of a prompt is drawn with.

    It depends on ``key`` (seed and model) alone, not on what is tuned beside it: runs with other λ
    or other partners start from the same point and can be compared in pairs.
    """
    return seeded("init", *key)


def chained_passes(rows: int, steps: int, size: int, generator: torch.Generator) -> torch.Tensor:
    """Examples of every step [steps, size]: whole shuffled passes over ``rows`` of them, chained.

    Those of a shorter run are the first of a longer one's.
    """
    needed = steps * size
    passes = [torch.randperm(rows, generator=generator) for _ in range(-(-needed // rows))]
    return torch.cat(passes)[:needed].view(steps, size)


def initial_prompt(length: int, width: int, std: float, *key: object) -> torch.Tensor:
    """Normal initial prompt [m, d] with standard deviation ``std``, see :func:`beginning`."""
    return std * torch.randn(length, width, generator=beginning(*key))
