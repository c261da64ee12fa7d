"""Hard prompts by gradient: vectors are moved by the gradient at the words nearest to them.

All replicas are one stack: their rows lie beside each other in a forward pass, their losses are
summed, and whatever moves them works on each by itself, so that each gets what it would get alone
(up to rounding). What methods differ in is how they move, a :class:`Mover`.

Shapes: R replicas, m prompt tokens, d embedding width, B examples a step, T steps, L tokens a row.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from trainables.backbones import reads_of
from trainables.compute.memory import in_passes
from trainables.compute.passes import pass_tokens
from trainables.core.settings.descent import DescentSettings
from trainables.errors import InputError
from trainables.hard.methods.fluency import check_fluency, fluency_cost, fluency_loss
from trainables.hard.methods.projection import Projection
from trainables.hard.methods.random_words import random_prompts
from trainables.hard.problem import HardFound, HardProblem, HardReplica, Progress, Rungs, TaskModel
from trainables.hard.racing import source_race
from trainables.hard.scorer import gradient_cost
from trainables.scoring.gradient import PassGradient
from trainables.scoring.losses import rows_behind
from trainables.soft.tuning import batch_order


class Mover(Protocol):
    """How a method moves the vectors of all replicas."""

    def move(self, state: torch.Tensor, gradient: torch.Tensor, step: int) -> None:
        """Change ``state`` [R, m, d] in place, each replica by its own ``gradient`` alone."""

    def puts_back(self, step: int) -> bool:
        """Whether after this step the vectors are replaced by the words nearest to them."""

    def keep(self, state: torch.Tensor, rows: torch.Tensor) -> None:
        """Go on with the replicas ``rows``, whose vectors are ``state`` from now on."""


def descend(
    problem: HardProblem,
    replicas: Sequence[HardReplica],
    settings: DescentSettings,
    mover: Callable[[torch.Tensor], Mover],
    progress: Progress | None = None,
    rungs: Rungs | None = None,
) -> list[HardFound]:
    """Search all replicas as one stack.

    The gradient is taken at the words and applied to the vectors (the straight-through estimator of
    the projection): the words' rows are the leaf of the graph, so that nothing is lost to rounding
    where the vectors have grown long. Nothing is read back from the device between evaluations.

    Args:
        replicas: seeds and allowed words; replicas of one seed see the same batches.
        settings: those all such methods share.
        mover: makes the method's mover for the initial vectors [R, m, d].
        progress: called with (step, steps) after each step.
        rungs: asked after each evaluation but the last which replicas are to stop.

    Returns:
        Per replica, the prompt that did best on validation among those offered. One whose loss or
        gradient is no longer finite stops there and is marked; the others go on undisturbed.

    Raises:
        InputError: ``fluency`` on a masked model, or no class words to start from.
    """
    source = problem.source
    check_fluency(source.backbone, settings.fluency)
    allowed = [replica.allowed for replica in replicas]
    projection = Projection(source.backbone.embeddings, allowed, settings.projection)
    ids = START[settings.init](problem, replicas, settings, projection)
    state = projection.rows(ids)
    moving = mover(state)
    batches = _Batches(source, replicas, settings)
    race = source_race(problem, len(replicas), settings)
    record = _Record(len(replicas), source.backbone.scale, state.device)
    evaluated = evaluation_steps(settings)
    members, stopped = list(range(len(replicas))), dict[int, int]()
    for step in range(1, settings.steps + 1):
        loss, gradient = batches.gradient(step, projection.rows(ids), ids)
        alive = record.check(step, loss, gradient)
        moving.move(state, torch.where(alive[:, None, None], gradient, 0.0), step)
        nearest = projection(state)
        if moving.puts_back(step):
            state.copy_(projection.rows(nearest))
        nearest = torch.where(alive[:, None], nearest, ids)
        record.add(loss, nearest != ids)
        ids = nearest
        if step in evaluated:
            race.offer(step, ids, members)
            record.note(state)
            if rungs and step < settings.steps:
                left = race.staying(step, members, rungs, stopped)
                if len(left) < len(members):
                    rows = torch.tensor(
                        [members.index(member) for member in left], dtype=torch.long
                    )
                    at = rows.to(state.device)
                    members, state, ids = left, state[at].contiguous(), ids[at]
                    moving.keep(state, at)
                    projection.keep(rows)
                    batches.keep(rows)
                    record.keep(at)
        if progress:
            progress(step, settings.steps)
        if not members:
            break
    found = [race.found(replica, settings.steps) for replica in range(len(replicas))]
    for replica, step in stopped.items():
        found[replica].stopped = step
    for item, cost in zip(found, batches.costs, strict=True):
        item.cost += cost
    return record.complete(found)


def evaluation_steps(settings: DescentSettings) -> set[int]:
    """Steps, counted from 1, after which prompts are offered: evenly spaced, with the last."""
    count = settings.evaluations
    return {round((number + 1) * settings.steps / count) for number in range(count)}


def _class_words(
    problem: HardProblem,
    replicas: Sequence[HardReplica],
    settings: DescentSettings,
    projection: Projection,
) -> torch.Tensor:
    """The class words over and over, each the allowed word nearest to it."""
    if not problem.class_ids:
        raise InputError(
            "init: found 'class_words' for a task without class words; allowed: random for it"
        )
    device = problem.source.backbone.device
    words = torch.tensor(problem.class_ids, device=device)
    index = torch.arange(settings.prompt_length, device=device) % len(words)
    return projection(projection.rows(words[index].repeat(len(replicas), 1)))


def _random(
    problem: HardProblem,
    replicas: Sequence[HardReplica],
    settings: DescentSettings,
    projection: Projection,
) -> torch.Tensor:
    """Allowed words drawn with replacement; the draw depends on seed and allowed words alone."""
    return random_prompts(replicas, settings.prompt_length).to(problem.source.backbone.device)


Start = Callable[
    [HardProblem, Sequence[HardReplica], DescentSettings, Projection],
    torch.Tensor,
]

START: dict[str, Start] = {"class_words": _class_words, "random": _random}
"""Initial words [R, m] by the name of the way, always allowed ones."""


class _Batches:
    """The loss of every step and its gradient at the words.

    Attributes:
        costs: what all steps take each replica.
    """

    def __init__(
        self, source: TaskModel, replicas: Sequence[HardReplica], settings: DescentSettings
    ) -> None:
        self.source = source
        self.weight = settings.fluency
        self.passes = PassGradient(
            source.backbone,
            source.train,
            rows_behind(source.backbone, source.label_ids),
            reads=reads_of(source.label_ids).rows,
        )
        seeds = [replica.seed for replica in replicas]
        orders = {seed: batch_order(len(source.train), settings, seed) for seed in set(seeds)}
        self.order = torch.stack([orders[seed] for seed in seeds], dim=1)
        each = {seed: gradient_cost(source, order) for seed, order in orders.items()}
        if self.weight:
            spoken = fluency_cost(source.backbone, settings.prompt_length).times(settings.steps)
            each = {seed: cost + spoken for seed, cost in each.items()}
        self.costs = [each[seed] for seed in seeds]

    def gradient(
        self, step: int, rows: torch.Tensor, ids: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss [R] of step 1..T with words ``ids`` [R, m], and its gradient at ``rows`` [R, m, d].

        Examples of all replicas are read together, those of like length in one pass. Losses are
        summed over the replicas: each gets its own gradient.
        """
        backbone, device = self.source.backbone, rows.device
        examples = self.order[step - 1]
        replicas, size = examples.shape
        flat, shares = examples.flatten(), torch.full((examples.numel(),), 1.0 / size)
        most = pass_tokens(backbone.device)

        def read(budget: int) -> tuple[torch.Tensor, torch.Tensor]:
            return self.passes(rows, flat, shares, budget)

        losses, gradient = in_passes(("gradient", backbone.alias, device.type), most, read)
        loss = losses.view(replicas, size).mean(1)
        if not self.weight:
            return loss, gradient
        point = rows.detach().requires_grad_()
        fluency = fluency_loss(backbone, point, ids)
        slope = torch.autograd.grad(fluency.sum(), point)[0]
        share = 1.0 - self.weight
        return (
            share * loss + self.weight * fluency.detach(),
            share * gradient + self.weight * slope,
        )

    def keep(self, rows: torch.Tensor) -> None:
        self.order = self.order[:, rows]


class _Record:
    """What happened to each replica, kept on the device until an evaluation reads it."""

    def __init__(self, replicas: int, scale: float, device: torch.device) -> None:
        self.scale = scale
        self.failed = torch.zeros(replicas, dtype=torch.long, device=device)
        self.loss = torch.zeros(replicas, device=device)
        self.swaps = torch.zeros(replicas, dtype=torch.long, device=device)
        self.steps = 0
        self.lines: list[list[dict[str, Any]]] = [[] for _ in range(replicas)]
        self.members = list(range(replicas))
        self.broken: dict[int, int] = {}

    def check(self, step: int, loss: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Which replicas [R] have had finite losses and gradients so far."""
        good = torch.isfinite(loss) & torch.isfinite(gradient).flatten(1).all(1)
        self.failed = torch.where(good | (self.failed > 0), self.failed, step)
        return self.failed == 0

    def add(self, loss: torch.Tensor, swapped: torch.Tensor) -> None:
        """Count a step's loss [R] and which words it exchanged [R, m]."""
        self.loss += loss
        self.swaps += swapped.sum(1)
        self.steps += 1

    def note(self, state: torch.Tensor) -> None:
        """Close a line of the curve: mean training loss, words exchanged, mean vector length."""
        losses = (self.loss / self.steps).tolist()
        lengths = (state.norm(dim=-1).mean(1) / self.scale).tolist()
        for member, loss, swaps, length in zip(
            self.members, losses, self.swaps.tolist(), lengths, strict=True
        ):
            self.lines[member].append({"train_loss": loss, "swaps": swaps, "length": length})
        self.loss.zero_()
        self.swaps.zero_()
        self.steps = 0

    def keep(self, rows: torch.Tensor) -> None:
        self._note_failures()
        self.members = [self.members[row] for row in rows.tolist()]
        self.failed, self.loss, self.swaps = self.failed[rows], self.loss[rows], self.swaps[rows]

    def _note_failures(self) -> None:
        for member, step in zip(self.members, self.failed.tolist(), strict=True):
            if step:
                self.broken[member] = step

    def complete(self, found: list[HardFound]) -> list[HardFound]:
        """Add failures and the lines to what the race found."""
        self._note_failures()
        for replica, (item, lines) in enumerate(zip(found, self.lines, strict=True)):
            item.failed = self.broken.get(replica)
            item.curve = [{**line, **more} for line, more in zip(item.curve, lines, strict=True)]
        return found
