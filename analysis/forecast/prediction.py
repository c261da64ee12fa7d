"""Can the order of source sets be known beforehand? Two questions, each with a test of its own.

*A new source set* has never been tuned: only facts about its models are known. One feature, chosen
before any outcome (:data:`PRESPECIFIED`), is to order the source sets of a target. The test
exchanges the names of the source models, in all tasks and targets at once: whatever the gains of
one model have in common stays together.

*A new task* (or *a new target*) is asked of source sets that are known on others. What orders them
is the past mean, the mean gain of the same set on the other tasks of the target. What has to be
denied here is that the order of one task says anything of another's; so the test exchanges the
names of the source models in each task on its own. A test that exchanged features instead would
answer another question.

The statistic of each is the mean over blocks (one target and task) of Spearman's ρ; p is one-sided,
as both orders say which end is up. Permutations come from :mod:`analysis.stats.exchanges`: valid
ones only. ``scipy.stats.permutation_test`` knows no such constraints.

A table of observations has one row a (sweep, method, source set, target, task), see
:func:`analysis.forecast.features.observations`.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.forecast.features import FEATURES, members
from analysis.forecast.power import FEWEST, LEVEL, R2, past_power, source_power
from analysis.present.words import counted
from analysis.stats.exchanges import DRAWN, Places, SourceSet, exchanges, p_value, sample, separate
from analysis.stats.ordering import (
    LEAST_VARIATION,
    Numbers,
    alike_blocks,
    feature_rho,
    orderable,
    past_rho,
    regret,
    with_past,
    within_blocks,
)

PRESPECIFIED = "agreement"
"""The feature that orders new source sets, fixed before any outcome and never chosen by one.

Neighbour agreement J_u (paper B, equation 7) is about a source *and* the target, so that it can
order the same sources differently on different targets, as sizes cannot. It needs no labels, no
texts and no tuning, is defined for any two models with common words, and is what paper B argues
decides whether a prompt keeps its meaning, with the direction: more agreement, more gain.
"""
PAST = "past mean"
MOST_WAYS = 10**15
"""Numbers of permutations are not told beyond this."""
_CELL = ["target_id", "task", "source_ids"]
_UNSEEN = 0.8  # power from which "not found" says something


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        about: what is new.
        by: what orders the source sets.
        strong: an order of which the power is told, "if …".
        exchanged: what the null exchanges.
        nothing: why nothing could be said.
    """

    about: str
    by: str
    strong: str
    exchanged: str
    nothing: str


_BY = FEATURES[PRESPECIFIED].title
QUESTIONS: dict[str, Question] = {
    "source": Question(
        "a new source set",
        _BY,
        f"{_BY} explained half of the differences between source models on a target",
        "source labels exchanged in all tasks and targets at once",
        "no target and task has two source sets with known agreement and different gains",
    ),
    "task": Question(
        "a new task",
        PAST,
        "half of the differences between source models were the same in all tasks",
        "source labels exchanged in each task on its own",
        "no target has different gains of source sets that are there in two tasks",
    ),
    "target": Question(
        "a new target",
        PAST,
        "half of the differences between source models were the same on all targets",
        "source labels exchanged on each target on its own",
        "no task has different gains of source sets that are there on two targets",
    ),
}
"""Questions by what is new."""


@dataclass(frozen=True)
class Check:
    """How well an order did where it could be tested.

    Attributes:
        question: key of :data:`QUESTIONS`.
        rho: Spearman's ρ of order and gain, mean over blocks; NaN where nothing can be ordered.
        p: share of valid permutations with at least this ρ
            (:func:`analysis.stats.exchanges.p_value`); NaN unless :attr:`testable`.
        ways: valid permutations that differ in effect, at most :data:`MOST_WAYS`.
        looked_at: permutations compared, the identity among them.
        exact: whether these are all.
        power: share of simulated sweeps of this design that find an order as strong as the question
            names; NaN where nothing can be ordered.
        n: gains.
        blocks: pairs of target and task over which ρ is averaged.
        sets: source sets.
        models: source models.
        targets: targets.
        tasks: tasks.
    """

    question: str
    rho: float
    p: float
    ways: int
    looked_at: int
    exact: bool
    power: float
    n: int
    blocks: int
    sets: int
    models: int
    targets: int
    tasks: int

    @property
    def testable(self) -> bool:
        """Whether there are permutations enough for any result to be better than chance."""
        return not math.isnan(self.rho) and self.ways >= FEWEST

    @property
    def better(self) -> bool:
        return self.testable and self.rho > 0 and self.p <= LEVEL

    def told_before(self) -> str:
        """The design's power in a sentence; empty where nothing can be ordered."""
        if math.isnan(self.rho):
            return ""
        asked = QUESTIONS[self.question]
        return (
            f"Told before the outcome, for {asked.about}: if {asked.strong} (R² = {R2:g}), this"
            f" design ({counted(self.sets, 'source set')} of {counted(self.models, 'model')},"
            f" {counted(self.targets, 'target')}, {counted(self.tasks, 'task')};"
            f" {_ways(self.ways)}) would show it with a power of {self.power:.0%}."
        )

    def outcome(self) -> str:
        """What was tested and found, in a sentence or two."""
        asked = QUESTIONS[self.question]
        order = f"the order by {asked.by}"
        if math.isnan(self.rho):
            return f"For {asked.about} nothing can be said: {asked.nothing}."
        rho = f"mean ρ {self.rho:+.2f} within target and task"
        n = f"n = {counted(self.n, 'gain')} in {counted(self.blocks, 'block')}"
        if not self.testable:
            return (
                f"For {asked.about} {order} cannot be tested: the design allows only"
                f" {_ways(self.ways)}, and p ≤ {LEVEL} takes {FEWEST} ({rho}; {n})."
            )
        looked = "all looked at" if self.exact else f"{self.looked_at - 1:,} drawn"
        numbers = (
            f"{rho}, one-sided p = {self.p:.3f} ({asked.exchanged}, {_ways(self.ways)}, {looked};"
            f" {n})"
        )
        if self.better:
            return f"For {asked.about} {order} is better than chance: {numbers}."
        missed = (
            f" With a power of {self.power:.0%} this is no evidence that there is no such order."
            if self.power < _UNSEEN
            else ""
        )
        return (
            f"For {asked.about} {order} is not shown to be better than chance: {numbers}.{missed}"
        )

    def sentence(self) -> str:
        return f"{self.told_before()} {self.outcome()}".strip()


def _ways(number: int) -> str:
    if number > 10**6:
        return "more than a million valid permutations"
    return counted(number, "valid permutation")


def pooled(table: pd.DataFrame) -> pd.DataFrame:
    """Gains relative to those of the other source sets, one row a (target, task, source set).

    Each gain loses the mean of its sweep, method, settings, target and task; repeats are averaged.
    A target and task with a single source set is left out: it orders nothing.

    Args:
        table: observations of one sweep, or of several with a column ``sweep``.

    Returns:
        Columns target_id, task, source_ids (sorted models), gain, and the features of the table.
    """
    table = table.dropna(subset=["gain"])
    table = table.assign(source_ids=table["source_ids"].map(canonical))
    within = ("sweep", "method", "combination", "target_id", "task")
    by = [name for name in within if name in table.columns]
    gains = table.groupby(by)["gain"]
    table = table.assign(gain=table["gain"] - gains.transform("mean"))[
        gains.transform("size").to_numpy() > 1
    ]
    names = ["gain", *(name for name in FEATURES if name in table.columns)]
    return table.groupby(_CELL, sort=True)[names].mean().reset_index()


def canonical(source_ids: str) -> str:
    """The same name for the same models in whatever order."""
    return "+".join(sorted(members(source_ids)))


def past_means(known: pd.DataFrame, asked: pd.DataFrame, new: str = "task") -> Numbers:
    """What is known of source sets from elsewhere: the order for a new task, or a new target.

    Args:
        known: of :func:`pooled`.
        asked: rows with target_id, task and source_ids.
        new: ``task``: mean gain of the set on the same target over all other tasks. ``target``: on
            the same task over all other targets.

    Returns:
        One mean a row of ``asked``, relative to the other source sets; NaN where there is none.
    """
    asked = asked.assign(source_ids=asked["source_ids"].map(canonical))
    kept = ["target_id" if new == "task" else "task", "source_ids"]
    there = known.groupby(kept)["gain"].agg(["sum", "size"])
    there = there.reindex(pd.MultiIndex.from_frame(asked[kept])).fillna(0.0)
    own = known.set_index(_CELL)["gain"].reindex(pd.MultiIndex.from_frame(asked[_CELL]))
    count = there["size"].to_numpy() - own.notna().to_numpy()
    total = there["sum"].to_numpy() - own.fillna(0.0).to_numpy()
    means: Numbers = np.where(count > 0, total / np.maximum(count, 1), math.nan)
    return means


@dataclass(frozen=True)
class _Grid:
    """Gains as an array.

    Attributes:
        sets: the source sets [S].
        gains: [T targets, K tasks, S], NaN where there is none.
        feature: :data:`PRESPECIFIED` [T, S], NaN where it is not known.
    """

    sets: tuple[SourceSet, ...]
    gains: Numbers
    feature: Numbers

    @classmethod
    def of(cls, known: pd.DataFrame) -> "_Grid":
        (targets, t), (tasks, k), (sets, s) = (
            np.unique(known[name].to_numpy(dtype=str), return_inverse=True) for name in _CELL
        )
        gains = np.full((len(targets), len(tasks), len(sets)), math.nan)
        gains[t, k, s] = known["gain"]
        feature = np.full((len(targets), len(sets)), math.nan)
        if PRESPECIFIED in known.columns:
            values = known[PRESPECIFIED].to_numpy(dtype="float64")
            there = ~np.isnan(values)
            feature[t[there], s[there]] = values[there]
        return cls(tuple(members(name) for name in sets.tolist()), gains, feature)


def source_check(known: pd.DataFrame, drawn: int = DRAWN) -> Check:
    """Whether :data:`PRESPECIFIED` orders source sets better than chance.

    Args:
        known: of :func:`pooled`.
        drawn: permutations where there are too many to look at all.
    """
    grid = _Grid.of(known)
    there = ~np.isnan(grid.feature)
    gains = np.where(there[:, None], grid.gains, math.nan)
    scored = orderable(gains)
    if not scored.any():
        return _unordered("source")
    places = _places(there)
    valid = exchanges(grid.sets, places)
    orders, exact = sample([valid], drawn=drawn)
    return _checked(
        "source",
        grid.sets,
        ~np.isnan(gains) & scored[..., None],
        feature_rho(grid.feature, alike_blocks(gains, scored), orders[:, 0]),
        exact,
        valid.count,
        source_power(grid.sets, places, tuple(scored.sum(1).tolist())),
    )


def past_check(known: pd.DataFrame, new: str = "task", drawn: int = DRAWN) -> Check:
    """Whether the past mean orders source sets better than chance.

    Args:
        known: of :func:`pooled`.
        new: what is left out and asked about, ``task`` or ``target``.
        drawn: permutations where there are too many to look at all.
    """
    grid = _Grid.of(known)
    turned = new == "target"
    gains = with_past(np.swapaxes(grid.gains, 0, 1) if turned else grid.gains)
    scored = orderable(gains)
    if not scored.any():
        return _unordered(new)
    here = ~np.isnan(gains)
    units = tuple(_places(one) for one in np.moveaxis(here, 1, 0))
    valid, ways = separate(grid.sets, units)
    orders, exact = sample(valid, drawn=drawn)
    there = here & scored[..., None]
    return _checked(
        new,
        grid.sets,
        np.swapaxes(there, 0, 1) if turned else there,
        past_rho(gains, orders),
        exact,
        ways,
        past_power(grid.sets, units),
    )


def _checked(
    question: str,
    sets: tuple[SourceSet, ...],
    scored: npt.NDArray[np.bool_],
    rho: Numbers,
    exact: bool,
    ways: int,
    power: float,
) -> Check:
    """A check from what blocks were scored [T, K, S] and the permuted ρ [P]."""
    used = [sets[place] for place in np.flatnonzero(scored.any((0, 1)))]
    return Check(
        question=question,
        rho=float(rho[0]),
        p=p_value(rho) if ways >= FEWEST else math.nan,
        ways=min(ways, MOST_WAYS),
        looked_at=len(rho),
        exact=exact,
        power=power,
        n=int(scored.sum()),
        blocks=int(scored.any(2).sum()),
        sets=len(used),
        models=len(set(itertools.chain(*used))),
        targets=int(scored.any((1, 2)).sum()),
        tasks=int(scored.any((0, 2)).sum()),
    )


def _unordered(question: str) -> Check:
    nan = math.nan
    return Check(question, nan, nan, 1, 1, True, nan, 0, 0, 0, 0, 0, 0)


def _places(here: npt.NDArray[np.bool_]) -> Places:
    return tuple(tuple(np.flatnonzero(row).tolist()) for row in here)


CHECKS: dict[str, Callable[[pd.DataFrame], Check]] = {
    "source": source_check,
    "task": past_check,
    "target": lambda known: past_check(known, "target"),
}
"""The test of every question, of a table of :func:`pooled`."""


def described(known: pd.DataFrame) -> pd.DataFrame:
    """Exploratory: how every order went with the gain. Nothing is tested, nothing chosen.

    Returns:
        Columns name, title, rho (Spearman's ρ with the gain, mean over blocks), blocks, and regret
        (best gain minus that of the order's first, mean over blocks that it orders wholly): the
        past mean, one source set at random, and every feature that differs somewhere in a block.
    """
    gain = known["gain"].to_numpy(dtype="float64")
    blocks = np.asarray(known.groupby(["target_id", "task"]).ngroup(), dtype=np.int64)
    orders = {"past": (PAST, past_means(known, known)), "random": ("at random", 0.0 * gain)}
    for name, feature in FEATURES.items():
        values = known[name].to_numpy(dtype="float64") if name in known.columns else gain * math.nan
        means = pd.Series(values).groupby(blocks).transform("mean").to_numpy()
        if (np.abs(values - means) > LEAST_VARIATION).any():
            orders[name] = (feature.title, values)
    rows = [
        (name, title, *within_blocks(values, gain, blocks), regret(values, gain, blocks))
        for name, (title, values) in orders.items()
    ]
    return pd.DataFrame(rows, columns=["name", "title", "rho", "blocks", "regret"])
