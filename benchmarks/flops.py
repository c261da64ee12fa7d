"""Operations that tuning a prompt needs at least, whoever computes them."""

from collections import Counter

import torch

from trainables.backbones import Encoded
from trainables.core.registries import LOSSES
from trainables.soft.tuning import Source
from trainables.testing.work import counted


def step_flops(source: Source, prompt_length: int, tokens: int, loss: str) -> int:
    """Of one row of so many tokens, forward and backward, without padding or needless logits.

    The last layer counts at the answer alone, as nothing else is read there.

    Args:
        source: model and task.
        prompt_length: m; a gradient reaches the prompt alone.
        tokens: of the row, prompt included.
        loss: a name in :data:`trainables.core.registries.LOSSES`.
    """
    row = _row_of(source.train, tokens)
    prompt = torch.zeros(1, prompt_length, source.backbone.width, requires_grad=True)
    owner = torch.zeros(1, dtype=torch.long)
    with counted() as work:
        LOSSES[loss](source.backbone, row, source.label_ids, prompt, owner).sum().backward()
    return work.flops


def tuning_flops(
    source: Source, prompt_length: int, rows: torch.Tensor, loss: str = "label_words"
) -> int:
    """Of training rows [N], each at its own length."""
    lengths = Counter(source.train.lengths[rows.flatten()].tolist())
    return sum(
        count * step_flops(source, prompt_length, length, loss) for length, count in lengths.items()
    )


def _row_of(data: Encoded, tokens: int) -> Encoded:
    place = int((data.lengths == tokens).nonzero()[0])
    return data.take(torch.tensor([place]))
