"""Which source task's prompt to start from on a task that is new, and how far to trust the answer.

There is an order by each similarity of early prompts, and one by the past mean: what a source
task's prompt brought other target tasks. Which of these orders is taken (the *rule*) is learnt: the
one with the highest Spearman's ρ with the gain, mean over the target tasks known. What that is
worth is told by leaving out one target task at a time, on all models at once. The others choose the
rule and have the past means; ρ is taken on the one left out. The null exchanges the source tasks of
each target task on its own, and the choice of the rule is made again each time.

A block is a model with a target task. Shapes: P permutations, R rules, B blocks, T target tasks, S
source tasks.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.starts.retrieval import TITLES, interval
from analysis.starts.section import TaskTransfer
from analysis.starts.tries import Prompts, every_try
from analysis.stats.exchanges import DRAWN, p_value
from analysis.stats.ordering import LEAST_VARIATION, Indices, Numbers, unit_ranks
from trainables.core.registries import SIMILARITIES

PAST = "past_mean"
ORDERS = {**TITLES, PAST: "past mean on other target tasks"}
"""Orders by name, each with its name for people; the first of equally good ones is taken."""
LEVEL = 0.05
Places = npt.NDArray[np.bool_]
_BLOCK = ["target_id", "task"]
_CELL = [*_BLOCK, "origin"]


def known_gains(frame: pd.DataFrame, prompts: Prompts, ids: dict[str, str]) -> pd.DataFrame:
    """What source tasks' prompts brought in a finished sweep, mean over seeds and settings.

    Args:
        frame: table of :func:`analysis.load`.
        prompts: early prompts by cell.
        ids: per alias of a model what it is called across sweeps.

    Returns:
        Columns target_id, task, origin, gain (over a start from words, 0 to 1), and a similarity by
        its name, NaN where it is not known.
    """
    tables = [TaskTransfer(tries).gains for tries in every_try(frame, prompts)]
    columns = [*_CELL, "gain", *SIMILARITIES]
    if not tables:
        return pd.DataFrame(columns=columns)
    table = pd.concat(tables, ignore_index=True)
    names = [ids.get(str(alias), str(alias)) for alias in table["target"]]
    table = table.assign(target_id=names, gain=table["gain"] / 100)
    return pooled([table[columns]])


def pooled(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Several tables of :func:`known_gains` as one; what two of them know is averaged."""
    every = pd.concat(list(tables), ignore_index=True)
    return every.groupby(_CELL, as_index=False, sort=True)[["gain", *SIMILARITIES]].mean()


def past_means(known: pd.DataFrame, asked: pd.DataFrame) -> Numbers:
    """What the source tasks of ``asked`` brought, relative to others, on other target tasks.

    Args:
        known: of :func:`pooled`.
        asked: rows with ``task`` and ``origin``.

    Returns:
        Mean over all known target tasks but the asked one, 0 to 1; NaN where there is none.
    """
    relative = known["gain"] - known.groupby(_BLOCK)["gain"].transform("mean")
    found = [
        relative[(known["origin"] == row["origin"]) & (known["task"] != row["task"])].mean()
        for row in asked.to_dict("records")
    ]
    return np.array(found, dtype=np.float64)


@dataclass(frozen=True)
class Skill:
    """What the learnt order is worth on target tasks that were left out.

    Attributes:
        rule: key of :data:`ORDERS`; chosen on all target tasks, it orders those of a new one.
        rules: by key of :data:`ORDERS`, on how many target tasks left out the others chose it.
        rho: Spearman's ρ of order and gain, mean over blocks left out; NaN where nothing is
            ordered.
        p: share of permutations with at least this ρ; NaN where nothing is ordered.
        ways: permutations there are.
        looked_at: permutations that were compared, the identity among them.
        first: gain of the order's first over a random source task, points, mean over blocks.
        low: lower end of its 95 % interval over target tasks and models; NaN where it has none.
        high: likewise its upper end.
        n: gains.
        tasks: target tasks.
        origins: source tasks.
    """

    rule: str
    rules: dict[str, int]
    rho: float
    p: float
    ways: int
    looked_at: int
    first: float
    low: float
    high: float
    n: int
    tasks: int
    origins: int

    @property
    def better(self) -> bool:
        return self.rho > 0 and self.p <= LEVEL

    def sentence(self) -> str:
        """What was tested and found."""
        if math.isnan(self.rho):
            return (
                "Nothing can be said of how well source tasks are ordered: the finished sweeps have"
                " no two target tasks with several source tasks and different gains."
            )
        rules = ", ".join(f"{ORDERS[name]} {count} ×" for name, count in self.rules.items())
        verdict = "is better than" if self.better else "is not shown to be better than"
        ends = "" if math.isnan(self.low) else f" [{self.low:+.1f}, {self.high:+.1f}]"
        return (
            f"With one target task left out at a time (the others choose the order: {rules}), the"
            f" order of source tasks {verdict} a random one: mean ρ {self.rho:+.2f} within target"
            f" task, one-sided p = {self.p:.3f} (source tasks exchanged within each target task on"
            f" its own, {self.looked_at - 1:,} permutations drawn; n = {self.n} gains of"
            f" {self.origins} source tasks on {self.tasks} target tasks). Its first has"
            f" {self.first:+.1f} points{ends} over a random source task."
        )


@dataclass(frozen=True)
class _Grid:
    """Gains as an array.

    Attributes:
        blocks: model and target task of each block.
        gains: [B, S], NaN where there is none.
        similarities: by name [B, S], NaN where it is not known.
        task: the target task of each block [B].
    """

    blocks: list[tuple[str, str]]
    gains: Numbers
    similarities: dict[str, Numbers]
    task: Indices

    @classmethod
    def of(cls, known: pd.DataFrame) -> "_Grid":
        def wide(name: str) -> Numbers:
            table = known.pivot_table(
                index=_BLOCK, columns="origin", values=name, dropna=False, observed=True
            )
            table = table.reindex(index=gains.index, columns=gains.columns)
            return table.to_numpy(dtype=np.float64)

        gains = known.pivot_table(index=_BLOCK, columns="origin", values="gain", observed=True)
        _, task = np.unique(gains.index.get_level_values("task"), return_inverse=True)
        values = gains.to_numpy(dtype=np.float64)
        similarities = {name: wide(name) for name in SIMILARITIES if known[name].notna().any()}
        return cls(
            [(str(model), str(name)) for model, name in gains.index], values, similarities, task
        )

    @cached_property
    def here(self) -> Places:
        """Where there is a gain [B, S]."""
        found: Places = ~np.isnan(self.gains)
        return found

    @cached_property
    def scored(self) -> Places:
        """Blocks that have an order [B]."""
        spread = np.nanmax(self.gains, 1) - np.nanmin(self.gains, 1)
        found: Places = (self.here.sum(1) > 1) & (spread > LEAST_VARIATION)
        return found

    def orders(self, gains: Numbers) -> dict[str, Numbers]:
        """Per rule its orders where a target task is left out [P, B, T, S], of gains [P, B, S].

        A block's own target task is always left out of its past means, whichever else is. An order
        that is the same whatever is left out or exchanged has a length of 1 there.
        """
        count = int(self.task.max()) + 1
        filled = np.where(self.here, gains, 0.0)
        own = filled.sum(-1, keepdims=True) / np.maximum(self.here.sum(-1, keepdims=True), 1)
        relative = np.where(self.here, filled - own, 0.0)
        of_task = np.eye(count)[self.task]
        sums = np.einsum("bt,pbs->pts", of_task, relative)
        there = np.einsum("bt,bs->ts", of_task, self.here.astype(np.float64))
        # Without the block's task, then without the one left out, where that is another.
        other = 1 - of_task
        total = sums.sum(1)[:, None] - sums[:, self.task]
        total = total[:, :, None] - other[None, :, :, None] * sums[:, None]
        seen = there.sum(0) - there[self.task]
        seen = seen[:, None] - other[:, :, None] * there[None]
        past = total / np.maximum(seen, 1)
        # What is not known stands in the middle of the order.
        known = {
            name: _middled(values)[None, :, None] for name, values in self.similarities.items()
        }
        return {**known, PAST: past}

    def rhos(self, gains: Numbers) -> tuple[list[str], Numbers]:
        """Names of the rules, and ρ of each order of :meth:`orders` [R, P, B, T]."""
        wanted = unit_ranks(gains, self.here)[:, :, None]
        orders = self.orders(gains)
        here = self.here[None, :, None]
        found = [(unit_ranks(order, here) * wanted).sum(-1) for order in orders.values()]
        return list(orders), np.stack(np.broadcast_arrays(*found))


def _middled(values: Numbers) -> Numbers:
    known = ~np.isnan(values)
    sums = np.where(known, values, 0.0).sum(1, keepdims=True)
    middle = sums / np.maximum(known.sum(1, keepdims=True), 1)
    return np.where(known, values, middle)


def skill(known: pd.DataFrame, drawn: int = DRAWN, seed: int = 0) -> Skill:
    """Learn an order of source tasks, and test it on target tasks that are left out.

    Args:
        known: of :func:`pooled`.
        drawn: permutations that are compared with what was observed.
        seed: of these.
    """
    kept = known.dropna(subset=["gain"])
    grid = _Grid.of(kept) if len(kept) else None
    if grid is None or len(set(grid.task[grid.scored])) < 2:
        nan = math.nan
        return Skill(PAST, {}, nan, nan, 1, 1, nan, nan, nan, len(kept), 0, 0)
    gains, ways = _exchanged(grid, drawn, seed)
    names, rhos = grid.rhos(gains)
    scored, count = grid.scored, int(grid.task.max()) + 1
    blocks = np.flatnonzero(scored)
    # Per task left out, which rule is best on the blocks of the others [P, T].
    others = (grid.task[:, None] != np.arange(count)[None]) & scored[:, None]
    means = (rhos * others).sum(2) / np.maximum(others.sum(0), 1)
    chosen = means.argmax(0)
    out = rhos[:, :, blocks, grid.task[blocks]]
    picked = chosen[:, grid.task[blocks]]
    found = np.take_along_axis(out, picked[None], axis=0)[0]
    statistics = found.mean(1)
    own = picked[0]
    shape = (1, *grid.gains.shape[:1], count, grid.gains.shape[1])
    orders = [np.broadcast_to(one, shape)[0] for one in grid.orders(grid.gains[None]).values()]
    first = [
        _first(grid, orders[rule][block, grid.task[block]], block)
        for block, rule in zip(blocks.tolist(), own.tolist(), strict=True)
    ]
    part = pd.DataFrame([grid.blocks[place] for place in blocks], columns=["target", "task"])
    ends = interval(part, pd.Series(first, dtype=np.float64))
    whole = np.array(
        [rhos[rule, 0, blocks, grid.task[blocks]].mean() for rule in range(len(names))]
    )
    left = [names[chosen[0, place]] for place in sorted(set(grid.task[blocks].tolist()))]
    return Skill(
        rule=names[int(whole.argmax())],
        rules={name: left.count(name) for name in names if name in left},
        rho=float(statistics[0]),
        p=p_value(statistics),
        ways=ways,
        looked_at=len(gains),
        first=ends.mean,
        low=ends.low,
        high=ends.high,
        n=int(grid.here[blocks].sum()),
        tasks=len(left),
        origins=int(grid.here[blocks].any(0).sum()),
    )


def _first(grid: _Grid, order: Numbers, block: int) -> float:
    """Points that the first of an order has over a random source task of a block."""
    here = grid.here[block]
    best = order[here].max()
    tied = order[here] >= best - LEAST_VARIATION
    gains = grid.gains[block][here]
    return float(100 * (gains[tied].mean() - gains.mean()))


def _exchanged(grid: _Grid, drawn: int, seed: int) -> tuple[Numbers, int]:
    """Gains with source tasks exchanged within each target task [P, B, S], the observed ones first.

    On all models that a target task has, alike; source tasks that one of them lacks stay. Also the
    number of such permutations.
    """
    generator = np.random.default_rng(seed)
    found = np.repeat(grid.gains[None], drawn + 1, axis=0)
    ways = 1
    for task in np.unique(grid.task):
        rows = np.flatnonzero(grid.task == task)
        places = np.flatnonzero(grid.here[rows].all(0))
        ways *= math.factorial(len(places))
        for number in range(1, drawn + 1):
            found[number][np.ix_(rows, places)] = grid.gains[
                np.ix_(rows, generator.permutation(places))
            ]
    return found, ways
