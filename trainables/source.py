"""A source in training: the task on one backbone, and the gradient of its loss.

Shapes: R replicas, m prompt tokens, d embedding width, B examples a step, n rows of a pass, C
classes.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from trainables.backbones import Backbone, Encoded
from trainables.losses import Pass, StackLoss
from trainables.passes import bucket, on_device, pass_tokens, spare_tokens
from trainables.replay import RECORDERS, Replayed

ROWS_STEP = 32
"""Rows of a recorded pass are filled up to a multiple of this: few shapes are recorded then."""


@dataclass(frozen=True)
class Source:
    """A backbone with the task as it reads it.

    Attributes:
        key: enters the random start of its prompts, e.g. the model's content digest.
        label_ids: [C].
        train: training split; the same examples in the same order for every source.
        validation: validation split.
        init_file: the file its prompts start from, with ``init: file``.
    """

    backbone: Backbone
    key: str
    label_ids: torch.Tensor
    train: Encoded
    validation: Encoded
    init_file: Path | None = None

    @cached_property
    def lengths(self) -> torch.Tensor:
        """Lengths of the training split's rows, on the CPU: passes are cut without a GPU."""
        return self.train.lengths.cpu()


class TaskGradient:
    """L_pt of one source and its gradient, pass by pass.

    Each pass goes back through the model before the next one begins, so that what autograd keeps
    does not grow with the number of replicas.
    """

    def __init__(self, source: Source, loss: StackLoss, graphs: bool = False) -> None:
        """Prepare for a stack.

        Args:
            source: the backbone with the task.
            loss: of the stack.
            graphs: record passes once a shape and replay them, where the device can
                (:data:`trainables.replay.RECORDERS`) and there is no dropout, whose masks a record
                would repeat.
        """
        self._source, self._loss = source, loss
        record = RECORDERS.get(torch.device(source.backbone.device).type)
        wanted = graphs and record is not None and not loss.dropout
        self._replayed = Replayed(self._recorded, record) if wanted and record else None

    def __call__(
        self, prompts: torch.Tensor, rows: torch.Tensor, factors: torch.Tensor, step: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """L_pt, and the gradient of ``factors`` times it.

        Args:
            prompts: [R, m, d].
            rows: training examples [R·B], each behind the prompt of its owner; on the CPU.
            factors: [R], on the CPU.
            step: enters dropout masks.

        Returns:
            [R] and [R, m, d].
        """
        device = self._source.backbone.device
        size = len(rows) // len(prompts)
        owner = torch.arange(len(prompts)).repeat_interleave(size)
        shares = factors[owner] / size
        lengths = self._source.lengths[rows]
        losses = torch.empty(len(rows), device=device)
        gradient = torch.zeros_like(prompts)
        go = self._replay if self._replayed else self._run
        for part in self._loss.passes(lengths, pass_tokens(device), spare_tokens(device)):
            longest = bucket(int(lengths[part.rows].max()), device)
            own, share, chosen = (item[part.rows] for item in (owner, shares, rows))
            each = go(prompts.detach(), own, share, chosen, longest, part, step, gradient)
            losses[on_device(part.rows, device)] = each
        return losses.view(len(prompts), size).mean(1), gradient

    def _run(
        self,
        prompts: torch.Tensor,
        owner: torch.Tensor,
        shares: torch.Tensor,
        rows: torch.Tensor,
        longest: int,
        part: Pass,
        step: int,
        gradient: torch.Tensor,
    ) -> torch.Tensor:
        """Losses [n] of a pass; adds to the ``gradient`` [R, m, d]."""
        source, device = self._source, self._source.backbone.device
        used, own = owner.unique(return_inverse=True)
        used, own, shares, rows = (on_device(item, device) for item in (used, own, shares, rows))
        point = prompts[used].requires_grad_()
        batch, moment = source.train.take(rows, longest), (source.key, step)
        each = self._loss(source.backbone, batch, source.label_ids, point, own, part.seeds, moment)
        gradient[used] += torch.autograd.grad((each * shares).sum(), point)[0]
        return each.detach()

    def _replay(
        self,
        prompts: torch.Tensor,
        owner: torch.Tensor,
        shares: torch.Tensor,
        rows: torch.Tensor,
        longest: int,
        part: Pass,
        step: int,
        gradient: torch.Tensor,
    ) -> torch.Tensor:
        """As :meth:`_run`, with all prompts and filled up with rows that count nothing."""
        del part, step  # only dropout reads them
        assert self._replayed is not None
        device, count = self._source.backbone.device, len(rows)
        more = -count % ROWS_STEP
        shares = torch.cat([shares, torch.zeros(more)])
        owner, rows = (torch.cat([item, item[-1:].repeat(more)]) for item in (owner, rows))
        own, shares, rows = (on_device(item, device) for item in (owner, shares, rows))
        batch = self._source.train.take(rows, longest)
        fields = (batch.ids, batch.lengths, batch.slots, batch.answers, batch.gold)
        types = () if batch.types is None else (batch.types,)
        each, slope = self._replayed(prompts, own, shares, *fields, *types)
        gradient += slope
        return each[:count]

    def _recorded(
        self,
        prompts: torch.Tensor,
        owner: torch.Tensor,
        shares: torch.Tensor,
        ids: torch.Tensor,
        lengths: torch.Tensor,
        slots: torch.Tensor,
        answers: torch.Tensor,
        gold: torch.Tensor,
        types: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Losses [n] and gradient [R, m, d] of a pass, from tensors alone."""
        source = self._source
        batch = Encoded(ids, lengths, slots, answers, gold, source.train.begin, types)
        point = prompts.detach().requires_grad_()
        each = self._loss(source.backbone, batch, source.label_ids, point, owner)
        slope = torch.autograd.grad((each * shares).sum(), point)[0]
        return each.detach(), slope
