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

from analysis.contrasts.examples import Examples
from analysis.frontier.choice import Table, rows_of, table
from analysis.frontier.lines import Field
from analysis.frontier.shares import mixed_share
from analysis.stats.bootstrap import Crossed
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
    def half(self) -> float:
        """Least work from which on it has half of the gap; NaN where it has not."""
        found = math.nan
        for work, share, _, _ in reversed(self.steps):
            if not share >= HALF - 1e-9:
                break
            found = work
        return found


@dataclass(frozen=True)
class Ground:
    """What frontiers of the same units share: the scores of all lines that run without a source.

    Attributes:
        field: all lines.
        units: those with a gap, where there are any.
        found: scores of the lines on them.
        empty: mean score of Empty there.
        gap: mean gap to Direct; NaN without one.
    """

    field: Field
    units: pd.DataFrame
    found: Table
    empty: float
    gap: float

    def frontier(self, panel: int = 2, access: str = ACCESS[-1]) -> Frontier:
        """The frontier with some labels and what the target gives away at most."""
        steps = []
        for work, chosen, title in _steps(self.found, self.among(panel, access)):
            gain = _score(self.found, chosen) - self.empty
            steps.append((work, gain / self.gap, 100 * gain, title))
        return Frontier(panel, access, tuple(steps))

    def area(self, panel: int, access: str, examples: Examples | None = None) -> Crossed:
        """The area under a frontier with its interval, its choices taken as they are.

        It is the mean share of the gap over budgets from :data:`LEAST` to :data:`MOST`, log-spaced:
        as :func:`analysis.frontier.shares.share`, of the mean over budgets of what is chosen.
        """
        steps = [
            (work, chosen) for work, chosen, _ in _steps(self.found, self.among(panel, access))
        ]
        parts = []
        for low, part in _spans([work for work, _ in steps]):
            within = [chosen for work, chosen in steps if work <= low]
            if not within:
                return mixed_share(self.field, [], self.units)
            parts.append((rows_of(self.found, within[-1], self.units), part))
        return mixed_share(self.field, parts, self.units, examples)

    def among(self, panel: int, access: str) -> list[int]:
        """Places of the lines within it."""
        most = ACCESS.index(access)
        prices = [line.price for line in self.found.lines]
        return [place for place, price in enumerate(prices)
                if price.panel <= panel and _rank(price.access) <= most]  # fmt: skip


def ground(field: Field, units: pd.DataFrame, gap: bool = True) -> Ground:
    """What the frontiers on some units of a field go over.

    Args:
        gap: whether only the units with a gap count, where there are any.
    """
    known = field.with_gap(units)
    has_gap = gap and len(known) > 0
    units = known if has_gap else units
    size = float((known["direct"] - known["empty"]).mean()) if has_gap else math.nan
    empty = float(field.levels["empty"].reindex(units["unit"]).mean())
    lines = [line for line in field.lines if not line.price.source and line.price.known]
    return Ground(field, units, table(lines, units), empty, size)


def _spans(works: Sequence[float]) -> list[tuple[float, float]]:
    """Where each stretch of the log scale begins between steps, and its part of the whole."""
    edges = [float(LEAST), *(work for work in works if LEAST < work < MOST), float(MOST)]
    whole = math.log(MOST / LEAST)
    return [(low, math.log(high / low) / whole) for low, high in pairwise(edges)]


def _steps(found: Table, within: Sequence[int]) -> Iterator[tuple[float, list[int], str]]:
    """Work from which on each seed has such a line, and what all seeds together choose."""
    last = None
    works = {place: found.lines[place].price.work for place in within}
    for work in sorted(set(works.values())):
        among = [place for place, own in works.items() if own <= work]
        chosen = found.chosen(among)
        if chosen != last:
            yield work, chosen, found.lines[found.best(among)].title
        last = chosen


def _score(found: Table, chosen: Sequence[int]) -> float:
    each = [found.test[place, seed] for seed, place in enumerate(chosen)]
    return float(sum(each * found.cases) / found.cases.sum())


def _rank(access: str) -> int:
    return ACCESS.index(access) if access in ACCESS else len(ACCESS)


def summaries(here: Ground, examples: Examples | None = None) -> pd.DataFrame:
    """Area under the frontier and work for half of the gap, by labels and access.

    Returns:
        Columns labels (of :data:`PANELS`), access, area with area_low and area_high, half and lines
        (how many there are to choose from); one line for every level of access that some line of
        its panel needs.
    """
    rows = []
    prices = [line.price for line in here.found.lines]
    for panel, labels in enumerate(PANELS):
        if not any(price.panel == panel for price in prices):
            continue
        needed = {price.access for price in prices if price.panel <= panel}
        for access in (name for name in ACCESS if name in needed):
            found, count = here.frontier(panel, access), len(here.among(panel, access))
            area = here.area(panel, access, examples)
            rows.append((labels, access, area.mean, area.low, area.high, found.half, count))
    names = ["labels", "access", "area", "area_low", "area_high", "half", "lines"]
    return pd.DataFrame(rows, columns=names)
