"""The loss of examples behind prompts, and its gradient at the prompts, pass by pass.

Each pass goes back through the model before the next one begins, so that what autograd keeps does
not grow with the number of prompts. What a causal model reads before the examples, the prompts
themselves, it reads once for all passes: gradients are summed at the keys and values that examples
look back to, and go from there to the prompts at the end.

Shapes: R prompts, m prompt tokens, d embedding width, N examples, n rows of a pass.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from trainables.backbones import Backbone, Encoded, Prompts, Remembered
from trainables.compute.passes import (
    block_batches,
    bucket,
    length_batches,
    length_step,
    on_device,
    spare_tokens,
)
from trainables.compute.replay import RECORDERS, Recorder, Replayed

_KEYS_PARTS = 4
"""Keys of a recorded pass are filled up to whole quarters of its rows: few shapes are recorded."""

GROUP_SHARE = 0.25
"""Prompts that are remembered together may have so many of a pass's tokens: their keys and values
stay for all passes."""


RowKeys = tuple[torch.Tensor, torch.Tensor]
"""What a loss knows rows by, to make dropout masks from or to find what a row is to be taught: the
different keys [u], and which of them is each row's [n]."""

PassLoss = Callable[[Encoded, Prompts, torch.Tensor, RowKeys], torch.Tensor]
"""Loss [n] of a batch behind prompts, given each row's prompt [n] and the rows' keys."""


@dataclass(frozen=True)
class _Rows:
    """Rows of a pass: all on the CPU.

    Attributes:
        chosen: examples [n].
        keys: what the loss knows them by.
        owner: index of each one's prompt [n].
        shares: what each one's loss counts [n].
        longest: tokens they are padded to.
        count: rows that a recorded pass is filled up to.
    """

    chosen: torch.Tensor
    keys: RowKeys
    owner: torch.Tensor
    shares: torch.Tensor
    longest: int
    count: int


class PassGradient:
    """Losses and their gradient, for one model and one split."""

    def __init__(
        self,
        backbone: Backbone,
        train: Encoded,
        loss: PassLoss,
        dropout: bool = False,
        graphs: bool = False,
        reads: int = 1,
    ) -> None:
        """Prepare for a split.

        Args:
            train: examples, on its device.
            loss: of rows.
            dropout: whether the loss drops out: then each row is read by itself.
            graphs: record passes once a shape and replay them, where the device can
                (:data:`trainables.compute.replay.RECORDERS`) and the library does not look at
                numbers on the way, as it may in a model that is read literally.
            reads: times that the loss reads a row; what autograd keeps grows with them.
        """
        self._backbone, self._train, self._loss = backbone, train, loss
        # Keys and values of a prompt take room beside each row.
        self._lengths, self._reads = train.lengths.cpu() + train.deep, reads
        self._remembers = backbone.begin_alike(train) and not dropout
        self._read, self._back, self._run = self._remember, self._way_back, self._run_now
        recorder = RECORDERS.get(torch.device(backbone.device).type)
        steady = backbone.family.known and not backbone.literal and train.guided is None
        self.recorded = graphs and recorder is not None and steady
        if self.recorded and recorder:
            self._record(recorder())

    def __call__(
        self,
        prompts: torch.Tensor,
        rows: torch.Tensor,
        shares: torch.Tensor,
        budget: int,
        keys: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss of every row, and the gradient of their sum, each times its share.

        Args:
            prompts: [R, m, d].
            rows: examples [N = R·B], each behind the prompt of its owner; on the CPU.
            shares: [N], on the CPU.
            keys: int64 [N], on the CPU: what the loss knows each row by (None: it does not ask).

        Returns:
            [N] and [R, m, d].
        """
        prompts, together, budget = prompts.detach(), len(prompts), budget // self._reads
        if self._remembers:
            tokens = (self._train.begin or 0) + prompts.shape[1]
            together = max(1, int(GROUP_SHARE * budget / tokens))
        size = together * (len(rows) // len(prompts))
        keys = torch.zeros_like(rows) if keys is None else keys
        each = (rows.split(size), shares.split(size), keys.split(size))
        parts = zip(prompts.split(together), *each, strict=True)
        losses, gradients = zip(*(self._group(*part, budget) for part in parts), strict=True)
        return torch.cat(losses), torch.cat(gradients)

    def _group(
        self,
        prompts: torch.Tensor,
        rows: torch.Tensor,
        shares: torch.Tensor,
        keys: torch.Tensor,
        budget: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As a call, for prompts that are remembered together."""
        device = self._backbone.device
        state = self._read(prompts) if self._remembers else prompts
        slope = torch.zeros_like(state, dtype=torch.float32)
        owner = torch.arange(len(prompts)).repeat_interleave(len(rows) // len(prompts))
        lengths, losses = self._lengths[rows], torch.empty(len(rows), device=device)
        # Rows of one key beside each other: they share their masks.
        order = torch.argsort(keys, stable=True)
        for place, count in self._cut(lengths[order], budget):
            part = order[place]
            longest = bucket(int(lengths[part].max()) - self._train.deep, device)
            apart: RowKeys = keys[part].unique(return_inverse=True)
            taken = _Rows(rows[part], apart, owner[part], shares[part], longest, count)
            losses[on_device(part, device)] = self._run(state, slope, taken)
        return losses, self._back(prompts, slope) if self._remembers else slope

    def _cut(self, lengths: torch.Tensor, budget: int) -> Iterator[tuple[torch.Tensor, int]]:
        """Passes of rows, and how many rows each is read as."""
        device = self._backbone.device
        if self.recorded:
            yield from block_batches(lengths, budget, length_step(device))
            return
        for part in length_batches(lengths, budget, spare_tokens(device)):
            yield part, len(part)

    def _prompts(self, state: torch.Tensor) -> Prompts:
        return Remembered(state) if self._remembers else state

    def _remember(self, prompts: torch.Tensor) -> torch.Tensor:
        """Keys and values of prompts, without a way back."""
        with torch.no_grad():
            return self._backbone.remember(self._train, prompts).past

    def _way_back(self, prompts: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        """From the gradient at keys and values to that at prompts [R, m, d].

        Prompts are read once more: what autograd keeps of them would take room from the passes.
        """
        point = prompts.detach().requires_grad_()
        past = self._backbone.remember(self._train, point).past
        with self._backbone.rounding():
            return torch.autograd.grad(past, point, slope.to(past.dtype))[0]

    def _run_now(self, state: torch.Tensor, slope: torch.Tensor, rows: _Rows) -> torch.Tensor:
        """Losses [n] of a pass; adds to the gradient ``slope`` at ``state``."""
        device = self._backbone.device
        used, own = rows.owner.unique(return_inverse=True)
        used, own, shares, chosen, keys, same = (
            on_device(item, device) for item in (used, own, rows.shares, rows.chosen, *rows.keys)
        )
        point = state[used].float().requires_grad_()
        batch = self._train.take(chosen, rows.longest)
        each = self._loss(batch, self._prompts(point), own, (keys, same))
        with self._backbone.rounding():
            slope[used] += torch.autograd.grad((each * shares).sum(), point)[0]
        return each.detach()

    def _record(self, record: Recorder) -> None:
        """Replay everything that takes tensors alone."""
        read = Replayed(lambda prompts: (self._remember(prompts),), record)
        back = Replayed(lambda prompts, slope: (self._way_back(prompts, slope),), record)
        run = Replayed(self._run_tensors, record)
        self._read = lambda prompts: read(prompts)[0]
        self._back = lambda prompts, slope: back(prompts, slope)[0]

        def replay(state: torch.Tensor, slope: torch.Tensor, rows: _Rows) -> torch.Tensor:
            """As :meth:`_run_now`, with all prompts and filled up with rows that count nothing."""
            device, count = self._backbone.device, len(rows.chosen)
            more = rows.count - count
            keys, same = rows.keys
            shares = torch.cat([rows.shares, torch.zeros(more)])
            own, chosen, same = (
                torch.cat([item, item[-1:].repeat(more)])
                for item in (rows.owner, rows.chosen, same)
            )
            keys = torch.cat([keys, keys[-1:].repeat(-len(keys) % -(-rows.count // _KEYS_PARTS))])
            own, shares, chosen, keys, same = (
                on_device(item, device) for item in (own, shares, chosen, keys, same)
            )
            batch = self._train.take(chosen, rows.longest)
            fields = (batch.ids, batch.lengths, batch.slots, batch.answers, batch.gold)
            each, found = run(state, own, shares, keys, same, *fields, *_more(batch).values())
            slope += found
            return each[:count]

        self._run = replay

    def _run_tensors(
        self,
        state: torch.Tensor,
        owner: torch.Tensor,
        shares: torch.Tensor,
        keys: torch.Tensor,
        same: torch.Tensor,
        ids: torch.Tensor,
        lengths: torch.Tensor,
        slots: torch.Tensor,
        answers: torch.Tensor,
        gold: torch.Tensor,
        *more: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Losses [n] of a pass and the gradient at ``state``, from tensors alone."""
        named = dict(zip(_more(self._train), more, strict=True))
        about: dict[str, Any] = {"begin": self._train.begin, "deep": self._train.deep, **named}
        batch = Encoded(ids, lengths, slots, answers, gold, **about)
        point = state.detach().float().requires_grad_()
        each = self._loss(batch, self._prompts(point), owner, (keys, same))
        with self._backbone.rounding():
            return each.detach(), torch.autograd.grad((each * shares).sum(), point)[0]


def _more(rows: Encoded) -> dict[str, torch.Tensor]:
    """What not all models' rows have."""
    found = {"types": rows.types, "decoder": rows.decoder}
    return {name: value for name, value in found.items() if value is not None}
