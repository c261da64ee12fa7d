"""Prompts of the sources in, prompt of the target out.

The published search (Wu et al. 2024) looks, with 2,000 steps of Adam, for the target prompt p whose
relative representation is nearest in cosine to those of the sources: max_p mean_s cos(Â_t p, r_s).
The default solver finds the same maximum in one solve; the others are its variants and baselines.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from trainables.backbones import reads_of
from trainables.core.frontier import Cost
from trainables.core.registries import NORMS
from trainables.core.settings import TransferSettings
from trainables.transfer.problem import Candidates, Problem, Space
from trainables.transfer.reading import Meter, own_logits
from trainables.transfer.selection import Judge, Judgement, Judges, agreement, choose
from trainables.transfer.solver import Solver, solver_named
from trainables.words.relative import Grams

MOST_NUMBERS = 2**27
"""Numbers (1 GiB in float64) that the replicas solved at once may hold."""
_CANDIDATES = 64  # more than most solvers offer; a search of 10,000 steps has 200 of them


@dataclass(frozen=True)
class Transferred:
    """Result of a transfer.

    Attributes:
        prompt: [..., m, d_t], float32.
        similarity: [..., m]: achieved cosine of relative representations, mean over sources.
    """

    prompt: torch.Tensor
    similarity: torch.Tensor


@dataclass(frozen=True)
class Carried(Transferred):
    """Result of a transfer with selection.

    Attributes:
        candidates: how many the solver offered.
        chosen: per replica, γ or step of the chosen one (None: the solver has no such thing).
        logits: label-word logits on the target's validation split [R, v, C], where the selection
            has worked them out.
        judged: per replica, whether the selection had something to go by, see
            :class:`trainables.transfer.selection.Chosen`.
        costs: per replica, what it took.
        numbers: per replica, what the solver says besides.
    """

    candidates: int
    chosen: list[float | None]
    logits: torch.Tensor | None
    judged: list[bool]
    costs: list[Cost]
    numbers: list[Mapping[str, Any]]


def solve(problem: Problem, settings: TransferSettings) -> Candidates:
    """All candidates of the settings' solver.

    Args:
        problem: what is carried; the order of its sources does not matter, but for masks of
            ``ptfer_release``, which are those of source ``problem.last``.
        settings: solver and what it reads; the norm is the problem's.
    """
    return _solve(problem, settings)[0]


def _solver(settings: TransferSettings) -> Solver:
    solver = solver_named(settings.solver)
    assert isinstance(solver, Solver)
    return solver


def _solve(
    problem: Problem, settings: TransferSettings
) -> tuple[Candidates, Sequence[Mapping[str, Any]]]:
    ordered = problem.in_key_order()
    solver = _solver(settings)
    found = solver.solve(ordered, settings)
    with torch.no_grad():
        prompts = found.prompts if solver.finished else ordered.finish(found.prompts)
        similarity = ordered.similarity(prompts)
    candidates = Candidates(
        prompts.float(), found.labels, found.own, similarity.float(), found.costs
    )
    return candidates, found.numbers


def carry(
    problem: Problem, settings: TransferSettings, judges: Judges, marks: Sequence[int] = ()
) -> list[Carried]:
    """Solve and choose, as many replicas at a time as fit in memory.

    Args:
        problem: as :func:`solve`.
        settings: solver and selection.
        judges: what ``selection`` evaluates with; not used by ``none``.
        marks: where the run is cut, in rising order, for a solver that is one at any time.

    Returns:
        One result a mark, or one.
    """
    parts: list[list[Carried]] = []
    for part in _parts(replace(problem, marks=tuple(marks)), settings):
        candidates, numbers = _solve(part, settings)
        solver = _solver(settings)
        cut = [candidates.until(mark, solver.common) for mark in marks] or [candidates]
        parts.append([_chosen(each, part, settings, judges, numbers) for each in cut])
    return [_joined(list(same)) for same in zip(*parts, strict=True)]


def _chosen(
    candidates: Candidates,
    problem: Problem,
    settings: TransferSettings,
    judges: Judges,
    numbers: Sequence[Mapping[str, Any]],
) -> Carried:
    count, extra = len(problem.seeds), [Cost()] * len(problem.seeds)
    if settings.selection == "agreement":
        judge, price = _teacher(problem, settings)
        judges = replace(judges, teacher=judge)
        extra = [one.times(len(candidates)) for one in price]
    elif settings.selection in judges.costs:
        extra = [judges.costs[settings.selection].times(len(candidates))] * count
    choice = choose(settings.selection, candidates, problem, judges)
    replicas, index = torch.arange(count), torch.tensor(choice.index)
    # What was tried on the way to the last one has been paid, whichever is taken.
    spent = candidates.costs[-1] if candidates.costs else [Cost()] * count
    if len(candidates) > 1:
        spent = [one + more for one, more in zip(spent, extra, strict=True)]
    return Carried(
        prompt=candidates.prompts[index, replicas],
        similarity=candidates.similarity[index, replicas],
        candidates=len(candidates),
        chosen=[candidates.labels[number] for number in choice.index],
        logits=choice.logits,
        judged=list(choice.judged or [True] * count),
        costs=list(spent),
        numbers=list(numbers or [{}] * count),
    )


def _teacher(problem: Problem, settings: TransferSettings) -> tuple[Judge, list[Cost]]:
    """What scores prompts against the teacher, and what one such scoring takes a replica."""
    lesson, task = problem.lesson(settings), problem.on_target
    rows, soft = lesson.rows[:, -lesson.held :], lesson.soft[:, -lesson.held :]

    def judge(prompts: torch.Tensor) -> Judgement:
        logits = own_logits(task.backbone, task.label_ids, lesson.texts, rows, prompts)
        return agreement(logits, soft)

    meter = Meter([Cost()] * len(rows))
    reads = reads_of(task.label_ids)
    meter.add(lesson.texts, rows, backward=False, access="labels", reads=reads)
    return judge, meter.costs


def _joined(parts: Sequence[Carried]) -> Carried:
    logits = [part.logits for part in parts if part.logits is not None]
    return Carried(
        prompt=torch.cat([part.prompt for part in parts]),
        similarity=torch.cat([part.similarity for part in parts]),
        candidates=parts[0].candidates,
        chosen=[label for part in parts for label in part.chosen],
        logits=torch.cat(logits) if logits else None,
        judged=[known for part in parts for known in part.judged],
        costs=[cost for part in parts for cost in part.costs],
        numbers=[more for part in parts for more in part.numbers],
    )


def _parts(problem: Problem, settings: TransferSettings) -> Iterator[Problem]:
    replicas, tokens, width = problem.shape
    # Each candidate stands in float64, and again in the products of its similarity.
    offered = 4 * max(_CANDIDATES, (settings.steps or 0) // 50) * tokens * width
    solver = _solver(settings)
    each = solver.footprint(problem, settings) + offered
    size = max(1, MOST_NUMBERS // each)
    for first in range(0, replicas, size):
        yield problem.take(slice(first, first + size))


def transfer(
    prompts: Sequence[torch.Tensor],
    grams: Grams,
    source_scales: Sequence[float],
    target_scale: float,
    norm: str = "match",
) -> Transferred:
    """Carry the prompts of S sources to one target in closed form.

    Args:
        prompts: per source, [..., m, d_s]; the same leading shape for all.
        grams: Gram matrices over the models (sources in order, then the target).
        source_scales: mean length of each source's embedding rows.
        target_scale: the same of the target.
        norm: how long the vectors become: ``match`` or ``mean``.

    Returns:
        The prompt and its similarity; independent of the order of the sources.

    Raises:
        ValueError: no source, or an unknown ``norm``.
    """
    if not prompts:
        raise ValueError("transfer needs at least one source prompt")
    if norm not in NORMS:
        raise ValueError(f"norm: found {norm!r}; allowed: {', '.join(NORMS)}")
    leading = prompts[0].shape[:-2]
    stacked = tuple(prompt.reshape(-1, *prompt.shape[-2:]) for prompt in prompts)
    problem = Problem(
        prompts=stacked,
        spaces=tuple(Space(scale) for scale in (*source_scales, target_scale)),
        grams=grams,
        seeds=(0,) * len(stacked[0]),
        norm=norm,
    )
    found = solve(problem, TransferSettings())
    return Transferred(
        found.prompts[0].unflatten(0, leading) if leading else found.prompts[0, 0],
        found.similarity[0].unflatten(0, leading) if leading else found.similarity[0, 0],
    )
