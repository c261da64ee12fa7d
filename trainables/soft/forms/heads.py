"""Vectors and heads that decide about them, trained together and kept as one matrix.

The parametrisation of dynamic prompting, see :mod:`trainables.dynamic.guide`. Heads start at zero,
so that a prompt starts as a static one before the text and every choice is drawn alike; the prompts
of a pool start from draws of their own.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from trainables.core.settings import stored
from trainables.dynamic.guide import Guide
from trainables.soft.initialisation import Beginning, begin


class Heads:
    """Matrices [M, d] of vectors and heads, as tensors of their own."""

    guide: Guide

    def start(self, prompt: torch.Tensor, start: Beginning) -> Sequence[torch.Tensor]:
        """Vectors [k·m, d], then the heads' tensors.

        ``prompt``: m vectors, or a whole matrix that another cell has found.
        """
        guide = Guide.of(stored(start.settings), start.backbone.family)
        assert guide is not None
        self.guide = guide
        if len(prompt) == guide.rows and (guide.parts or guide.rows == guide.length):
            pool, heads = guide.unpacked(prompt[None])
            return pool[0], *(head[0] for head in heads)
        if not guide.parts:
            return (begin(_of(start, guide.length)),)
        further = (replace(start, key=f"{start.key} {place}") for place in range(1, guide.pool))
        return torch.cat([prompt, *map(begin, further)]), *guide.blank()

    def prompts(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        pool, *heads = tensors
        return self.guide.packed(pool, heads)


def _of(start: Beginning, length: int) -> Beginning:
    """The same with prompts of another length."""
    return replace(start, settings=replace(start.settings, prompt_length=length))
