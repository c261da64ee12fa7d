"""Does anything known of a source set predict its gain? Two plain models and an honest verdict.

Both are ridge regressions on standardised features whose strength is chosen by an inner
cross-validation over the same kind of groups as the outer one. *Gain* predicts the gain itself.
*Rank* predicts the rank of a source set among those of the same target and task, from features
centred there likewise; it is what orders source sets and what the verdict is about.

Validation leaves out all that a group has touched: a source model with every source set it is in,
or a task. The question is whether source sets of one target and task (a *block*) come out in the
right order, so skill is Spearman's ρ within blocks, averaged. Chance is what the same procedure
makes of the same data when the names of the source models are exchanged: all results of a model
stay together, because they are no independent draws. With S exchangeable models there are S!
such permutations, so that three models can never show a skill at the 5 % level; that is said.

Shapes: n observations, p features, G candidate strengths.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from analysis.features import BEFORE, members
from analysis.ordering import (
    LEAST_VARIATION,
    Indices,
    Numbers,
    block_rows,
    midranks,
    r_squared,
    random_regret,
    regret,
    spearman,
    within_blocks,
)
from analysis.ridge import Ridge, fit_ridge

LEVEL = 0.05
"""Permutation p-value up to which a skill counts as better than chance."""
COVERAGE = 0.9
"""Share of held-out gains that the uncertainty interval is to cover."""
MOST_PERMUTATIONS = 500


@dataclass(frozen=True)
class Problem:
    """Observations as arrays.

    Attributes:
        x: features [n, p].
        y: gains [n].
        blocks: number of each row's (sweep, method, target, task) [n].
        sources: per row the models of its source set.
        tasks: per row its task.
        names: of the features [p].
    """

    x: Numbers
    y: Numbers
    blocks: Indices
    sources: tuple[tuple[str, ...], ...]
    tasks: tuple[str, ...]
    names: tuple[str, ...]

    def leave_source(self) -> list[Indices]:
        """Per source model, the rows of every source set it is in."""
        models = sorted({model for row in self.sources for model in row})
        return [_rows(model in row for row in self.sources) for model in models]

    def leave_task(self) -> list[Indices]:
        """Per task, its rows."""
        return [_rows(task == name for task in self.tasks) for name in sorted(set(self.tasks))]

    def take(self, rows: Indices) -> "Problem":
        """Some of the rows."""
        return Problem(
            self.x[rows],
            self.y[rows],
            self.blocks[rows],
            tuple(self.sources[row] for row in rows),
            tuple(self.tasks[row] for row in rows),
            self.names,
        )


Grouping = Callable[[Problem], list[Indices]]
ORDERING = "rank"
"""Model that orders source sets, and whose skill the verdict rests on: of the gain model, held-out
predictions of different groups differ by a level that says nothing of the order."""
GROUPINGS: dict[str, Grouping] = {
    "source": Problem.leave_source,
    "task": Problem.leave_task,
}
"""What is left out together, by what it is called."""


def _rows(chosen: Iterator[bool] | Any) -> Indices:
    return np.flatnonzero(np.fromiter(chosen, dtype=bool)).astype(np.int64)


def problem(table: pd.DataFrame, names: Sequence[str] = BEFORE) -> Problem:
    """The arrays of a table of :func:`analysis.features.observations`.

    Features that are missing somewhere or the same everywhere are left out.

    Args:
        table: one or more sweeps' observations; a column ``sweep`` tells them apart.
        names: features to use.
    """
    used = [
        name
        for name in names
        if table[name].notna().all() and table[name].std(ddof=0) > LEAST_VARIATION
    ]
    by = [name for name in ("sweep", "method", "target_id", "task") if name in table.columns]
    return Problem(
        x=table[used].to_numpy(dtype="float64"),
        y=table["gain"].to_numpy(dtype="float64"),
        blocks=np.asarray(table.groupby(by, sort=True).ngroup(), dtype=np.int64),
        sources=tuple(members(text) for text in table["source_ids"]),
        tasks=tuple(table["task"]),
        names=tuple(used),
    )


def _plain(part: Problem) -> tuple[Numbers, Numbers]:
    return part.x, part.y


def _ranked(part: Problem) -> tuple[Numbers, Numbers]:
    """Features centred within blocks, and ranks there from -1/2 to 1/2 (0 in blocks of one)."""
    x, y = part.x.copy(), np.zeros(len(part.y))
    for rows in block_rows(part.blocks):
        x[rows] -= x[rows].mean(0)
        if len(rows) > 1:
            y[rows] = (midranks(part.y[rows]) - 1) / (len(rows) - 1) - 0.5
    return x, y


MODELS: dict[str, Callable[[Problem], tuple[Numbers, Numbers]]] = {
    "gain": _plain,
    "rank": _ranked,
}
"""Per model, what of a problem it regresses: features and what they are to predict."""


def held_out(part: Problem, grouping: str, model: str = "gain") -> Numbers:
    """Prediction [n] of every row by models that saw nothing of the group left out with it.

    A row in several groups (a pair of sources) gets the mean of their predictions; NaN where no
    group leaves anything to train on.

    Args:
        part: observations.
        grouping: a name of :data:`GROUPINGS`.
        model: a name of :data:`MODELS`.
    """
    find, x_of = GROUPINGS[grouping], MODELS[model]
    features = x_of(part)[0]
    total, times = np.zeros(len(part.y)), np.zeros(len(part.y))
    for train, test in splits(part, grouping):
        known = part.take(train)
        fitted = fit_ridge(*x_of(known), find(known))
        total[test] += fitted.predict(features[test])
        times[test] += 1
    return np.where(times > 0, total / np.maximum(times, 1), math.nan)


def splits(part: Problem, grouping: str) -> Iterator[tuple[Indices, Indices]]:
    """Rows to train on and rows held out, one pair a group; no group is on both sides."""
    for test in GROUPINGS[grouping](part):
        train = np.setdiff1d(np.arange(len(part.y)), test)
        if len(train) >= 2:
            yield train, test


@dataclass(frozen=True)
class Skill:
    """What a model was worth on what it had not seen.

    Attributes:
        grouping: what was left out, a name of :data:`GROUPINGS`.
        model: a name of :data:`MODELS`.
        r2: 1 - squared error over that of the overall mean (rank: of ranks); below 0 is worse.
        spearman: ρ over all rows.
        within: ρ within blocks, mean over blocks where it is defined; what the verdict rests on.
        blocks: their number.
        regret: gain lost by taking the first of each block instead of the best, mean over blocks.
        random_regret: likewise for one at random.
        source_regret: likewise for the highest source score; NaN where that is not known.
        p: share of permutations with at least this ``within``, itself included; NaN where there is
            no second permutation.
        permutations: their number.
        n: rows with a prediction.
    """

    grouping: str
    model: str
    r2: float
    spearman: float
    within: float
    blocks: int
    regret: float
    random_regret: float
    source_regret: float
    p: float
    permutations: int
    n: int

    @property
    def decidable(self) -> bool:
        """Whether there are permutations enough for any result to be better than chance."""
        return self.permutations >= 1 / LEVEL

    @property
    def better(self) -> bool:
        """Whether the order within blocks is better than chance."""
        return self.decidable and self.within > 0 and self.p <= LEVEL

    def sentence(self) -> str:
        """The verdict in plain words."""
        about = f"for a new {self.grouping}"
        if math.isnan(self.within):
            return f"Nothing can be said {about}: too little is left to learn from or to order."
        numbers = f"mean ρ within target and task {self.within:+.2f} over {self.blocks} blocks"
        if not self.decidable:
            return (
                f"Whether it is better than chance {about} cannot be told: {numbers}, but the"
                f" source models can be exchanged in only {max(1, self.permutations)} ways (20 are"
                " needed)."
            )
        verdict = "better than chance" if self.better else "no better than chance"
        ways = f"permutation p = {self.p:.3f}, {self.permutations} permutations"
        return f"The order of source sets is {verdict} {about}: {numbers}, {ways}."


def skill(
    part: Problem,
    grouping: str,
    model: str = "gain",
    source_score: Numbers | None = None,
    permutations: int = MOST_PERMUTATIONS,
) -> Skill:
    """Held-out skill with its permutation null.

    Args:
        part: observations.
        grouping: a name of :data:`GROUPINGS`.
        model: a name of :data:`MODELS`.
        source_score: scores of the prompts on their sources [n], to compare regrets with.
        permutations: at most so many, drawn at random where there are more.
    """
    found = held_out(part, grouping, model)
    known = np.flatnonzero(~np.isnan(found))
    truth = MODELS[model](part)[1]
    value, blocks = within_blocks(found, part.y, part.blocks)
    null = [
        within_blocks(held_out(other, grouping, model), other.y, other.blocks)[0]
        for other in exchanged(part, permutations)
    ]
    null = [other for other in null if not math.isnan(other)]
    # Rounding must not make a permutation that changes nothing smaller than the value itself.
    beaten = sum(other >= value - 1e-9 for other in null)
    regrets = [regret(order, part.y, part.blocks) for order in (found, source_score)]
    return Skill(
        grouping=grouping,
        model=model,
        r2=r_squared(found[known], truth[known]),
        spearman=spearman(found[known], truth[known]),
        within=value,
        blocks=blocks,
        regret=regrets[0],
        random_regret=random_regret(part.y, part.blocks),
        source_regret=regrets[1],
        p=beaten / len(null) if len(null) > 1 else math.nan,
        permutations=len(null),
        n=len(known),
    )


def exchanged(part: Problem, most: int = MOST_PERMUTATIONS) -> Iterator[Problem]:
    """The problem with the features of its source sets exchanged, as exchanging models does.

    Only permutations of the models that map the source sets of every block onto themselves; the
    identity is the first. Gains, and with them all that one model's results have in common, stay.

    Args:
        part: observations.
        most: at most so many, drawn at random (always the same) where there are more.
    """
    models = sorted({model for row in part.sources for model in row})
    place = {
        (block, tuple(sorted(row))): number
        for number, (block, row) in enumerate(zip(part.blocks, part.sources, strict=True))
    }
    for order in _orders(models, most):
        name = dict(zip(models, order, strict=True))
        rows = [
            place.get((block, tuple(sorted(name[model] for model in row))))
            for block, row in zip(part.blocks, part.sources, strict=True)
        ]
        if all(row is not None for row in rows):
            yield Problem(
                part.x[np.asarray(rows, dtype=np.int64)],
                part.y,
                part.blocks,
                part.sources,
                part.tasks,
                part.names,
            )


def _orders(models: Sequence[str], most: int) -> Iterator[tuple[str, ...]]:
    if math.factorial(len(models)) <= most:
        yield from itertools.permutations(models)
        return
    yield tuple(models)
    generator = np.random.default_rng(0)
    for _ in range(most - 1):
        yield tuple(generator.permutation(models).tolist())


@dataclass(frozen=True)
class Forecast:
    """A model of the gain with its validated skill.

    Attributes:
        fitted: the gain model, fitted on everything.
        ordering: the rank model, likewise.
        names: its features.
        skills: of both models under both groupings, those of :data:`ORDERING` first.
        half_width: of the uncertainty interval; NaN where nothing could be held out.
        held_out: per grouping, the held-out predictions of the gain [n].
        table: the observations.
    """

    fitted: Ridge
    ordering: Ridge
    names: tuple[str, ...]
    skills: tuple[Skill, ...]
    half_width: float
    held_out: dict[str, Numbers] = field(repr=False)
    table: pd.DataFrame = field(repr=False)

    @property
    def better(self) -> bool:
        """Whether it orders better than chance, for new sources and new tasks alike."""
        return all(item.better for item in self.skills if item.model == ORDERING)

    def sentence(self) -> str:
        """In a sentence or two, whether the predictions are worth anything."""
        return " ".join(item.sentence() for item in self.skills if item.model == ORDERING)

    def predict(self, table: pd.DataFrame) -> pd.DataFrame:
        """``order``, ``predicted``, ``low`` and ``high`` for rows of a table with the features.

        ``order`` is what the rank model makes of a row among those of its target and task, from
        -1/2 (expected last) to 1/2. The interval is the predicted gain ± what :data:`COVERAGE` of
        the held-out gains lay within (the wider one of the two groupings). A missing feature
        counts as the mean.
        """
        x = table[list(self.names)].to_numpy(dtype="float64")
        found = self.fitted.predict(np.where(np.isnan(x), self.fitted.mean, x))
        centred = x.copy()
        blocks = np.asarray(table.groupby(["target", "task"]).ngroup(), dtype=np.int64)
        for rows in block_rows(blocks):
            centred[rows] -= x[rows].mean(0)
        return table.assign(
            order=self.ordering.predict(np.where(np.isnan(centred), 0.0, centred)),
            predicted=found,
            low=found - self.half_width,
            high=found + self.half_width,
        )


def forecast(
    table: pd.DataFrame,
    names: Sequence[str] = BEFORE,
    permutations: int = MOST_PERMUTATIONS,
) -> Forecast:
    """Fit on everything and validate by leaving sources and tasks out.

    Args:
        table: of :func:`analysis.features.observations`, of one sweep or several one below the
            other with a column ``sweep``.
        names: features to use.
        permutations: see :func:`skill`.
    """
    table = table.reset_index(drop=True)
    part = problem(table, names)
    scores = table["source_score"].to_numpy(dtype="float64") if "source_score" in table else None
    skills = tuple(
        skill(part, grouping, model, scores, permutations)
        for model in sorted(MODELS, key=lambda name: name != ORDERING)
        for grouping in GROUPINGS
    )
    found = {grouping: held_out(part, grouping) for grouping in GROUPINGS}
    widths = [interval_half_width(prediction, part.y) for prediction in found.values()]
    widths = [width for width in widths if not math.isnan(width)]
    return Forecast(
        fitted=fit_ridge(part.x, part.y, part.leave_source()),
        ordering=fit_ridge(*MODELS[ORDERING](part), part.leave_source()),
        names=part.names,
        skills=skills,
        half_width=max(widths) if widths else math.nan,
        held_out=found,
        table=table,
    )


def interval_half_width(predicted: Numbers, gain: Numbers, coverage: float = COVERAGE) -> float:
    """The ⌈(n + 1) · coverage⌉-th smallest distance of held-out predictions; the largest at most.

    Split conformal prediction's quantile. Rows of one source or task are not exchangeable with
    those of another, so that the coverage is nominal.
    """
    off = np.sort(np.abs(predicted - gain)[~np.isnan(predicted)])
    if not len(off):
        return math.nan
    return float(off[min(len(off), math.ceil((len(off) + 1) * coverage)) - 1])


HEURISTICS = ("agreement", "cka", "vocabulary_overlap", "reading_correlation", "source_size")
"""Features that a higher value of is, on its face, better: what to go by without a model."""


def best_heuristic(table: pd.DataFrame) -> tuple[str, float]:
    """The one of :data:`HEURISTICS` with the highest mean ρ with the gain within blocks, and that.

    It is chosen on the data it is measured on: nothing is validated by it. Neighbour agreement and
    NaN where none can be measured.
    """
    part = problem(table, ())
    found = {}
    for name in HEURISTICS:
        values = table[name].to_numpy(dtype="float64")
        rho = within_blocks(values, part.y, part.blocks)[0]
        if not math.isnan(rho):
            found[name] = rho
    if not found:
        return HEURISTICS[0], math.nan
    best = max(found, key=lambda name: found[name])
    return best, found[best]
