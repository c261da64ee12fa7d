"""Work counted instead of timed: a count is the same on every machine, and does not shake."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from torch.utils.flop_counter import (
    FlopCounterMode,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

from trainables.backbones import Backbone, Encoded


def _attention(query: Any, key: Any, value: Any, *args: Any, **more: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


def _attention_backward(out: Any, query: Any, key: Any, value: Any, *args: Any, **more: Any) -> int:
    return int(sdpa_backward_flop_count(out, query, key, value))


_ON_CPU = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
"""Attention on a CPU, which torch's own counter passes over."""


@dataclass
class Work:
    """What the models have been asked for.

    Attributes:
        needed: tokens of the rows read: with prompt and template, without padding.
        read: tokens of the rows as they passed, padding included.
        passes: forward passes.
    """

    needed: int = 0
    read: int = 0
    passes: int = 0
    _counter: FlopCounterMode = field(
        default_factory=lambda: FlopCounterMode(display=False, custom_mapping=_ON_CPU)
    )

    @property
    def flops(self) -> int:
        """Floating-point operations of all matrix products and attention, backward included."""
        return int(self._counter.get_total_flops())

    @property
    def padding(self) -> float:
        """Tokens read for each token needed."""
        return self.read / self.needed


@contextmanager
def counted() -> Iterator[Work]:
    """Counts what is done within."""
    work = Work()
    real = Backbone.row_logits

    def row_logits(backbone: Backbone, batch: Encoded, *args: Any, **more: Any) -> torch.Tensor:
        work.needed += int(batch.lengths.sum())
        work.read += batch.ids.numel()
        work.passes += 1
        return real(backbone, batch, *args, **more)

    with patch.object(Backbone, "row_logits", row_logits), work._counter:
        yield work
