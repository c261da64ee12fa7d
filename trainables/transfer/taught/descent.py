"""A prompt trained through the target by a few steps of Adam, all replicas in one stack.

A step's gradient is each replica's own and Adam works element by element at a constant rate, so
that a replica goes the way it would go alone, and a run of 60 steps passes through whatever one of
15 would have ended in: one run gives every budget.

Shapes: R replicas, m prompt tokens, d embedding width, B examples a step, T steps.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from trainables.backbones import ONE, Backbone, Encoded, Reads
from trainables.compute.memory import in_passes
from trainables.compute.optim import ElementwiseAdamW
from trainables.compute.passes import pass_tokens
from trainables.core.frontier import Cost
from trainables.core.settings import TransferSettings
from trainables.scoring.gradient import PassGradient, PassLoss
from trainables.transfer.problem import Problem
from trainables.transfer.reading import Meter
from trainables.transfer.solver import Found, Solver
from trainables.transfer.taught.starts import begun


@dataclass(frozen=True)
class Course:
    """What every replica is trained on.

    Attributes:
        examples: of all replicas.
        loss: of rows of them.
        order: the examples of every step [T, R, B], on the CPU.
        costs: per replica, what it took until the first step.
        keys: what the loss knows these rows by, likewise [T, R, B]; None: it does not ask.
        labels: examples whose labels are read, pass by pass; 0: none.
        still: places of replicas that stay where they begin.
        numbers: per replica what its result says besides.
        reads: what the loss of an example takes of the model.
    """

    examples: Encoded
    loss: PassLoss
    order: torch.Tensor
    costs: Sequence[Cost]
    keys: torch.Tensor | None = None
    labels: int = 0
    still: frozenset[int] = frozenset()
    numbers: Sequence[Mapping[str, Any]] = field(default_factory=list)
    reads: Reads = ONE


LATENESS = 3
"""η of the mean over steps: the larger, the more the last ones count."""


class Descent(Solver):
    """Adam on the vectors themselves; candidates at steps 0, 1, 2, 4, 8, … and at all marks.

    A candidate is not where the last step ended but the mean over all steps that weighs late ones
    more (polynomial-decay averaging, Shamir & Zhang, ICML 2013, η = 3): it stands still like a run
    whose rate decays, and unlike that it does not depend on where the run is to end.

    The rate is in units of the root mean square of the target's embedding entries: Adam moves every
    entry by about one rate a step.
    """

    finished = True

    @staticmethod
    def common(label: float) -> bool:
        """0 and the powers of two."""
        step = int(label)
        return step == label and step & (step - 1) == 0

    @abstractmethod
    def course(self, problem: Problem, settings: TransferSettings, steps: int) -> Course:
        """What is trained on in so many steps."""

    def solve(self, problem: Problem, settings: TransferSettings) -> Found:
        """Candidates along the training, of which the last is taken without selection."""
        marks = problem.marks or (settings.steps or 1,)
        steps = marks[-1]
        course = self.course(problem, settings, steps)
        rate = (settings.learning_rate or 0.0) * problem.target.scale / problem.shape[2] ** 0.5
        labels = [step for step in range(steps + 1) if self.common(step) or step in marks]
        prompts = begun(problem, settings)
        walk = _Walk(problem.on_target.backbone, course, prompts, rate)
        found, costs = [], []
        for label in labels:
            walk.until(label)
            found.append(walk.prompts)
            costs.append(walk.costs)
        return Found(
            torch.stack(found), tuple(map(float, labels)), len(labels) - 1, costs, course.numbers
        )

    def footprint(self, problem: Problem, settings: TransferSettings) -> int:
        """The vectors with their gradient and Adam's two moments, and what they begin from."""
        del settings
        _, tokens, width = problem.shape
        return 8 * tokens * width


class _Walk:
    """Prompts on their way."""

    def __init__(
        self, backbone: Backbone, course: Course, prompts: torch.Tensor, rate: float
    ) -> None:
        self._course, self._all, self._rate, self._step = course, prompts, rate, 0
        self._active = [place for place in range(len(prompts)) if place not in course.still]
        self._moving = prompts[self._active].requires_grad_()
        self._mean = self._moving.detach().clone()
        self._optimiser = ElementwiseAdamW([self._moving])
        self._passes = PassGradient(backbone, course.examples, course.loss, reads=course.reads.rows)
        self._meter = Meter([course.costs[place] for place in self._active])
        self._device = str(backbone.device)
        # A stack that is halved because smaller passes did not help begins with whole ones again.
        self._kind = ("taught", backbone.alias, self._device, len(self._active))

    @property
    def prompts(self) -> torch.Tensor:
        """[R, m, d] where they are now, a copy."""
        found = self._all.clone()
        found[self._active] = self._mean
        return found

    @property
    def costs(self) -> list[Cost]:
        """What each replica has cost so far."""
        found = list(self._course.costs)
        read = self._step * self._course.order.shape[2]
        for place, cost in zip(self._active, self._meter.costs, strict=True):
            found[place] = cost + Cost(target_labels=min(read, self._course.labels))
        return found

    def until(self, step: int) -> None:
        """Train on, up to and with a step; nothing moves where none is left."""
        order = self._course.order[self._step : step, self._active]
        if self._active and len(order):
            rows = order.transpose(0, 1).flatten(1)
            self._meter.add(
                self._course.examples,
                rows,
                backward=True,
                access="gradients",
                reads=self._course.reads,
            )
            for number in range(self._step, step):
                self._moving.grad = self._gradient(number)
                self._optimiser.step(self._rate)
                share = (LATENESS + 1) / (number + 1 + LATENESS)
                self._mean.lerp_(self._moving.detach(), share)
        self._step = step

    def _gradient(self, number: int) -> torch.Tensor:
        """Of the mean loss of each replica's examples at one step, at the prompts [R, m, d]."""
        course, prompts = self._course, self._moving
        rows = course.order[number, self._active]
        keys = None if course.keys is None else course.keys[number, self._active].flatten()
        shares = torch.full((rows.numel(),), 1.0 / rows.shape[1])

        def read(budget: int) -> torch.Tensor:
            return self._passes(prompts, rows.flatten(), shares, budget, keys)[1]

        return in_passes(self._kind, pass_tokens(self._device), read)
