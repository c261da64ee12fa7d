"""The frontier: what is to be had for at most so much work, and what it sums up to.

It goes through methods, not through the best of noisy points: at each budget stands the test score
of the line that *validation* chooses among those within the budget, for every seed on the other
seeds. So it may fall where validation errs.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

from analysis.frontier.choice import Table, table
from analysis.frontier.lines import UNIT, Field
from trainables.core.frontier import ACCESS

LEAST, MOST = 64, 65_536
"""Budgets in row equivalents that the area under the frontier runs over, on a log scale."""
HALF = 0.5
PANELS = ("no label of the target", "few labels", "all labels")


@dataclass(frozen=True)
class Frontier:
    """What is to be had, by work.

    Attributes:
        panel: labels that may be used, place in :data:`PANELS`.
        access: what the target gives away at most.
        steps: work, share of the gap (NaN without Direct), gain over Empty in points, and title of
            the line that all seeds choose; work rises.
    """

    panel: int
    access: str
    steps: tuple[tuple[float, float, float, str], ...]

    def at(self, work: float) -> float:
        """Share of the gap for at most so much work; NaN where nothing is within it."""
        known = [share for least, share, _, _ in self.steps if least <= work]
        return known[-1] if known else math.nan

    @property
    def area(self) -> float:
        """Mean share of the gap over budgets from :data:`LEAST` to :data:`MOST`, log-spaced."""
        inner = [work for work, *_ in self.steps if LEAST < work < MOST]
        edges = [float(LEAST), *inner, float(MOST)]
        parts = [math.log(high / low) * self.at(low) for low, high in pairwise(edges)]
        return sum(parts) / math.log(MOST / LEAST)

    @property
    def half(self) -> float:
        """Least work from which on it has half of the gap; NaN where it has not."""
        found = math.nan
        for work, share, _, _ in reversed(self.steps):
            if not share >= HALF:
                break
            found = work
        return found


def frontier(
    field: Field, units: pd.DataFrame, panel: int = 2, access: str = ACCESS[-1]
) -> Frontier:
    """The frontier of what runs without a source.

    Args:
        field: all lines.
        units: of ``field``, those to look at; with Direct those with a gap are taken.
        panel: 0 without labels of the target, 1 with few, 2 with any number.
        access: what the target gives away at most.
    """
    known = field.with_gap(units)
    has_gap = len(known) > 0
    units = known[UNIT] if has_gap else units[UNIT]
    level = field.levels.set_index(UNIT)["empty"].reindex(pd.MultiIndex.from_frame(units)).mean()
    gap = float((known["direct"] - known["empty"]).mean()) if has_gap else math.nan
    most = ACCESS.index(access)
    found = table(
        [line for line in field.lines if not line.price.source and line.price.known
         and line.price.panel <= panel and _rank(line.price.access) <= most],
        units,
    )  # fmt: skip
    steps = tuple(
        (work, (score - level) / gap if has_gap else math.nan, 100 * (score - level), title)
        for work, score, title in _steps(found)
    )
    return Frontier(panel, access, steps)


def _steps(found: Table) -> Iterator[tuple[float, float, str]]:
    works = [line.price.work for line in found.lines]
    last = None
    for work in sorted(set(works)):
        among = [place for place, own in enumerate(works) if own <= work]
        chosen = found.chosen(among)
        if chosen != last:
            score = _score(found, chosen)
            yield work, score, found.lines[found.best(among)].title
        last = chosen


def _score(found: Table, chosen: Sequence[int]) -> float:
    each = [found.test[place, seed] for seed, place in enumerate(chosen)]
    return float(sum(each * found.cases) / found.cases.sum())


def _rank(access: str) -> int:
    return ACCESS.index(access) if access in ACCESS else len(ACCESS)


def summaries(field: Field, units: pd.DataFrame) -> pd.DataFrame:
    """Area under the frontier and work for half of the gap, by labels and access.

    Returns:
        Columns labels (of :data:`PANELS`), access, area, half and lines (how many there are to
        choose from); one line for every level of access that some line of its panel needs.
    """
    rows = []
    for panel, labels in enumerate(PANELS):
        here = [line for line in field.lines if line.price.panel <= panel and line.price.known
                and not line.price.source]  # fmt: skip
        if panel and not any(line.price.panel == panel for line in here):
            continue
        needed = {line.price.access for line in here if line.price.access in ACCESS}
        for access in sorted(needed, key=ACCESS.index):
            found = frontier(field, units, panel, access)
            count = sum(_rank(line.price.access) <= ACCESS.index(access) for line in here)
            rows.append((labels, access, found.area, found.half, count))
    return pd.DataFrame(rows, columns=["labels", "access", "area", "half", "lines"])
