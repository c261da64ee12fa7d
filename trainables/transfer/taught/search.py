"""A prompt found without gradients, by the scores of label words alone.

Shapes: R replicas, P points of a generation, B texts, D directions, m prompt tokens, d width of the
target, C classes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from typing_extensions import override

from trainables.backbones import Backbone, Encoded, Labels, reads_of
from trainables.core.frontier import Cost
from trainables.core.registries import ALGORITHMS, SUBSPACES
from trainables.core.seeds import seeded
from trainables.core.settings import TransferSettings
from trainables.errors import InputError
from trainables.tasks.shots import check_shots, drawn
from trainables.transfer.problem import Problem, held_out
from trainables.transfer.reading import Meter, own_logits
from trainables.transfer.selection import agreement
from trainables.transfer.solver import Found, Solver
from trainables.transfer.taught.starts import begun
from trainables.transfer.taught.subspaces import count

COMMON = 1000
"""Runs offer what they have after so many rows, twice, four times as many and so on."""


class Search(Solver):
    """p = start + A z, with z found by an evolution strategy (Sun et al., ICML 2022; CMA-ES).

    The fitness of a point is its loss on one fixed batch, so that all points are compared on the
    same texts: the cross-entropy against the teacher on all texts that are not held out,
    or with ``shots`` that of the label words on a few labelled examples a class. After each
    generation the mean of the distribution is read too; a candidate is the best mean, the start
    included, that the rows up to its label have paid for.
    """

    finished = True

    @override
    def check(
        self, settings: TransferSettings, gold: Sequence[int], classes: int, task: str, count: int
    ) -> None:
        check_shots(settings.shots, gold, classes, task)
        texts = min(settings.texts or count, count)
        read = texts - held_out(texts) if settings.shots is None else settings.shots * classes
        check_budget(settings.budget or 0, read, settings)

    @staticmethod
    def common(label: float) -> bool:
        """A power of two times :data:`COMMON`."""
        times = int(label) // COMMON
        return times * COMMON == label and times > 0 and times & (times - 1) == 0

    def solve(self, problem: Problem, settings: TransferSettings) -> Found:
        """Candidates by rows spent, the last of which is taken without selection."""
        marks = problem.marks or (settings.budget or 1,)
        exam = _exam(problem, settings)
        texts = exam.rows.shape[1]
        least = check_budget(marks[0], texts, settings)
        swarm = Swarm(settings.algorithm, count(problem, settings), problem.seeds)
        start = begun(problem, settings)
        directions = SUBSPACES[str(settings.subspace)].load()(problem, settings).to(start.device)

        def placed(points: np.ndarray) -> torch.Tensor:
            """Prompts [R, P, m, d] of points [R, P, D]."""
            moved = torch.from_numpy(points).to(directions)
            return start[:, None] + torch.einsum("rpj,rjmd->rpmd", moved, directions).float()

        best, found, costs, read = _Best(start, exam.losses(start[:, None])[:, 0]), [], [], 1
        for label in _labels(marks, least):
            while (read + swarm.size + 1) * texts <= label:
                points = swarm.ask()
                swarm.tell(points, exam.losses(placed(points)).cpu().numpy())
                means = placed(swarm.means[:, None])
                best.offer(means[:, 0], exam.losses(means)[:, 0])
                read += swarm.size + 1
            found.append(best.prompts)
            costs.append(exam.costs(read))
        labels = tuple(map(float, _labels(marks, least)))
        return Found(torch.stack(found), labels, len(labels) - 1, costs, exam.numbers)

    def footprint(self, problem: Problem, settings: TransferSettings) -> int:
        """The directions, and the points of a generation."""
        _, tokens, width = problem.shape
        return 4 * count(problem, settings) * tokens * width


def check_budget(budget: int, texts: int, settings: TransferSettings) -> int:
    """Refuse a budget that is spent before the first generation is over.

    Args:
        budget: rows.
        texts: that each point is read on: those not held out, or ``shots`` times the classes.
        settings: of the transfer.

    Returns:
        The least budget.

    Raises:
        InputError: it is less, or there are no texts.
    """
    if not texts:
        raise InputError("texts: found 1, which is held out; allowed: 2 or more")
    size = Swarm(settings.algorithm, settings.dimensions or 1, (0,)).size
    least = (size + 2) * texts
    if budget < least:
        raise InputError(
            f"budget: found {budget}; allowed: at least {least}, for the start, a generation of"
            f" {size} prompts and their mean, each on {texts} texts"
        )
    return least


class Swarm:
    """One evolution strategy a replica, with mean 0 and step 1 in D dimensions.

    Attributes:
        size: points of a generation, P.
    """

    def __init__(self, algorithm: str | None, dimensions: int, seeds: Sequence[int]) -> None:
        """Begin; each strategy draws by its seed alone."""
        make = ALGORITHMS[algorithm or "cma"]
        self._each = [
            make(np.zeros(dimensions), 1.0, seed=_number("transfer", "search", seed))
            for seed in seeds
        ]
        self.size = int(self._each[0].population_size)

    @property
    def means(self) -> np.ndarray:
        """Where the distributions stand [R, D]."""
        return np.stack([one.mean for one in self._each])

    def ask(self) -> np.ndarray:
        """A generation [R, P, D]."""
        return np.stack([[one.ask() for _ in range(self.size)] for one in self._each])

    def tell(self, points: np.ndarray, losses: np.ndarray) -> None:
        """Their losses [R, P]; what has converged stays as it is."""
        for one, own, values in zip(self._each, points, losses, strict=True):
            if not one.should_stop():
                one.tell(list(zip(own, values.tolist(), strict=True)))


@dataclass(frozen=True)
class _Exam:
    """What the points of each replica are judged by.

    Attributes:
        backbone: the target.
        label_ids: what answers are compared by, C classes.
        texts: of all replicas.
        rows: each replica's [R, B].
        wanted: label probabilities of them [R, B, C].
        loss: of logits [N, B, C] against such probabilities, [N].
        begun: per replica, what it took to have them.
        numbers: per replica what its result says of them.
    """

    backbone: Backbone
    label_ids: Labels
    texts: Encoded
    rows: torch.Tensor
    wanted: torch.Tensor
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    begun: Sequence[Cost]
    numbers: Sequence[Mapping[str, Any]] = field(default_factory=list)

    @torch.no_grad()
    def losses(self, prompts: torch.Tensor) -> torch.Tensor:
        """Of prompts [R, P, m, d], [R, P]; infinite where logits are not all finite."""
        replicas, points = prompts.shape[:2]
        each = torch.arange(replicas).repeat_interleave(points)
        logits = own_logits(
            self.backbone, self.label_ids, self.texts, self.rows[each], prompts.flatten(0, 1)
        )
        found = self.loss(logits, self.wanted.to(logits.device)[each.to(logits.device)])
        return found.nan_to_num(torch.inf, torch.inf).view(replicas, points)

    def costs(self, times: int) -> list[Cost]:
        """Per replica, after so many prompts have been read on the batch."""
        once = Meter([Cost()] * len(self.rows))
        reads = reads_of(self.label_ids)
        once.add(self.texts, self.rows, backward=False, access="labels", reads=reads)
        return [one + more.times(times) for one, more in zip(self.begun, once.costs, strict=True)]


def _exam(problem: Problem, settings: TransferSettings) -> _Exam:
    return _by_teacher(problem, settings) if settings.shots is None else _few(problem, settings)


def _by_teacher(problem: Problem, settings: TransferSettings) -> _Exam:
    lesson, task = problem.lesson(settings), problem.on_target
    known = lesson.rows.shape[1] - lesson.held
    return _Exam(
        backbone=task.backbone,
        label_ids=task.label_ids,
        texts=lesson.texts,
        rows=lesson.rows[:, :known],
        wanted=lesson.soft[:, :known],
        loss=lambda logits, wanted: torch.tensor(agreement(logits, wanted).losses).to(logits),
        begun=lesson.costs,
        numbers=[{"teacher_degenerate": one_class} for one_class in lesson.degenerate],
    )


def _few(problem: Problem, settings: TransferSettings) -> _Exam:
    task, count = problem.on_target, len(problem.seeds)
    gold, classes = task.train.gold.cpu(), len(task.label_ids)
    chosen = [drawn(settings.shots, gold.tolist(), classes, seed) for seed in problem.seeds]
    rows = torch.stack(chosen)
    begun = problem.lesson(settings).costs if settings.taught else [Cost()] * count
    labels = Cost(target_labels=rows.shape[1])
    return _Exam(
        backbone=task.backbone,
        label_ids=task.label_ids,
        texts=task.train,
        rows=rows,
        wanted=F.one_hot(gold[rows], classes).float(),
        loss=lambda logits, wanted: -(wanted * logits.log_softmax(-1)).sum(-1).mean(1),
        begun=[cost + labels for cost in begun],
    )


class _Best:
    """The best prompt of each replica so far."""

    def __init__(self, prompts: torch.Tensor, losses: torch.Tensor) -> None:
        self._prompts, self._losses = prompts.clone(), losses

    def offer(self, prompts: torch.Tensor, losses: torch.Tensor) -> None:
        """Take prompts [R, m, d] where they are better."""
        better = losses < self._losses
        self._prompts[better], self._losses = prompts[better], losses.minimum(self._losses)

    @property
    def prompts(self) -> torch.Tensor:
        """[R, m, d], a copy."""
        return self._prompts.clone()


def _labels(marks: Sequence[int], least: int) -> list[int]:
    """Budgets that a run up to the last mark offers a candidate for."""
    common = [
        COMMON << power
        for power in range((marks[-1] // COMMON).bit_length())
        if least <= COMMON << power <= marks[-1]
    ]
    return sorted({*common, *marks})


def _number(*parts: object) -> int:
    """A seed as NumPy takes it."""
    return seeded(*parts).initial_seed() % 2**32
