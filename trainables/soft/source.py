"""A source in training: the task on one backbone, and the gradient of its loss.

Shapes: R replicas, m prompt tokens, d embedding width, B examples a step, n rows of a pass, C
classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch

from trainables.backbones import Backbone, Encoded, Labels, Prompts, reads_of
from trainables.compute.memory import in_passes
from trainables.compute.passes import pass_tokens
from trainables.core.settings import SoftSettings
from trainables.scoring.gradient import PassGradient, RowKeys
from trainables.scoring.losses import StackLoss
from trainables.soft.mixture import Mixed
from trainables.soft.starts import Begun


@dataclass(frozen=True)
class Source:
    """A backbone with the task as it reads it.

    Attributes:
        key: enters the random start of its prompts, e.g. the model's content digest.
        label_ids: what answers are compared by, C classes.
        train: training split; the same examples in the same order for every source.
        validation: validation split.
        init_file: the file its prompts start from, with ``init: file``.
        given: by what they start from, prompts [m, d] that were handed in.
        mixed: training examples of several tasks instead of ``train``.
        orders: of these, by seed and start, the examples of every step [T, B].
        rival: whether validation is read with the best other word (``evaluation: open``).
    """

    backbone: Backbone
    key: str
    label_ids: Labels
    train: Encoded
    validation: Encoded
    init_file: Path | None = None
    given: Mapping[Begun, torch.Tensor] = field(default_factory=dict)
    mixed: Mixed | None = None
    orders: Mapping[tuple[int, Begun], torch.Tensor] = field(default_factory=dict)
    rival: bool = False

    @property
    def examples(self) -> Encoded:
        """What is trained on."""
        return self.mixed.train if self.mixed else self.train

    @property
    def words(self) -> Labels:
        """Label words that training examples are of."""
        return self.mixed.label_ids if self.mixed else self.label_ids

    @cached_property
    def lengths(self) -> torch.Tensor:
        """Lengths of the training examples, on the CPU: passes are cut without a GPU."""
        return self.examples.lengths.cpu()


def stack_loss(source: Source, settings: SoftSettings, seeds: Sequence[int]) -> StackLoss:
    """The loss of a stack of prompts of these seeds on a source."""
    tasks = source.mixed.tasks if source.mixed else None
    guided = source.examples.guided
    noise = guided is not None and bool(guided.guide.parts)
    return StackLoss(settings.loss, settings.dropout, seeds, tasks, noise)


class TaskGradient:
    """L_pt of one source and its gradient."""

    def __init__(
        self,
        source: Source,
        loss: StackLoss,
        graphs: bool = False,
        temperatures: Sequence[float] = (),
    ) -> None:
        """Prepare for a stack.

        Args:
            source: the backbone with the task.
            loss: of the stack.
            graphs: see :class:`trainables.scoring.gradient.PassGradient`.
            temperatures: at each step, of what is decided about rows; 1 where none is given.
        """
        self._source, self._loss = source, loss
        self._temperatures, self._step = temperatures, 1
        reads = reads_of(source.words).rows
        self.passes = PassGradient(
            source.backbone, source.examples, self._rows, loss.dropout, graphs, reads
        )

    def __call__(
        self, prompts: torch.Tensor, rows: torch.Tensor, factors: torch.Tensor, step: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """L_pt, and the gradient of ``factors`` times it.

        Passes are halved where memory is short.

        Args:
            prompts: [R, m, d].
            rows: training examples [R·B], each behind the prompt of its owner; on the CPU.
            factors: [R], on the CPU.
            step: enters dropout masks.

        Returns:
            [R] and [R, m, d].

        Raises:
            NoRoomError: one row behind one prompt does not fit in memory.
        """
        source, loss = self._source, self._loss
        self._step = step
        size = len(rows) // len(prompts)
        shares = factors.repeat_interleave(size) / size
        keys = loss.keys(source.key, rows, step)
        device = str(source.backbone.device)

        def read(budget: int) -> tuple[torch.Tensor, torch.Tensor]:
            return self.passes(prompts, rows, shares, budget, keys)

        # A stack that is halved because smaller passes did not help begins with whole ones again.
        kind = ("train", source.key, device, loss.name, loss.dropout, len(prompts))
        losses, gradient = in_passes(kind, pass_tokens(device), read)
        return losses.view(len(prompts), size).mean(1), gradient

    def _rows(
        self, batch: Encoded, prompts: Prompts, owner: torch.Tensor, keys: RowKeys
    ) -> torch.Tensor:
        source = self._source
        if batch.guided is not None and batch.guided.guide.parts:
            warm = self._temperatures[self._step - 1] if self._temperatures else 1.0
            every, own = keys
            batch = replace(batch, guided=batch.guided.training(every[own], warm))
        return self._loss(source.backbone, batch, source.words, prompts, owner, keys)
