"""Work counted instead of timed: a count is the same on every machine, and does not shake."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch.utils.flop_counter import (
    FlopCounterMode,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

from trainables.backbones import AnswerTexts, Backbone, Encoded


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
        flops: floating-point operations of all matrix products and attention, backward included;
            known afterwards.
    """

    needed: int = 0
    read: int = 0
    passes: int = 0
    flops: int = 0

    @property
    def padding(self) -> float:
        """Tokens read for each token needed."""
        return self.read / self.needed


@dataclass
class Rows:
    """What one model has read.

    Attributes:
        forward: texts.
        backward: of these, texts that were differentiated through.
        tokens: of the texts, those of prompts included, padding left out.
    """

    forward: int = 0
    backward: int = 0
    tokens: int = 0


class Reading(defaultdict[str, Rows]):
    """What each model has read, by its alias.

    Attributes:
        on: whether it counts.
    """

    on = True

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing within counts."""
        before, self.on = self.on, False
        try:
            yield
        finally:
            self.on = before


@contextmanager
def rows_read() -> Iterator[Reading]:
    """Counts every row that passes a model within, whoever asks for it."""
    read = Reading(Rows)

    def watched(name: str) -> Any:
        real = getattr(Backbone, name)

        def reader(backbone: Backbone, batch: Encoded, *args: Any, **more: Any) -> torch.Tensor:
            found: torch.Tensor = real(backbone, batch, *args, **more)
            if read.on and not _asks_again(args):
                rows = read[backbone.alias]
                rows.forward += len(batch)
                rows.backward += len(batch) * found.requires_grad
                rows.tokens += int(batch.lengths.sum())
            return found

        return patch.object(Backbone, name, reader)

    with watched("row_logits"), watched("row_features"):
        yield read


def _asks_again(args: tuple[Any, ...]) -> bool:
    """Whether what is asked for is put together from other readings, each counted by itself."""
    return bool(args) and isinstance(args[0], AnswerTexts)


@contextmanager
def counted() -> Iterator[Work]:
    """Counts what is done within."""
    work = Work()
    real = Backbone.row_logits
    counter = FlopCounterMode(display=False, custom_mapping=_ON_CPU)

    def row_logits(backbone: Backbone, batch: Encoded, *args: Any, **more: Any) -> torch.Tensor:
        if not _asks_again(args):
            work.needed += int(batch.lengths.sum())
            work.read += batch.ids.numel()
            work.passes += 1
        return real(backbone, batch, *args, **more)

    with patch.object(Backbone, "row_logits", row_logits), counter:
        yield work
    work.flops = int(counter.get_total_flops())
