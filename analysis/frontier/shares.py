"""Shares of the gap between Empty and Direct with their intervals, and gains in points.

The share of a line is all gain over all gap, g = Σ (score − Empty) / Σ (Direct − Empty), over cases
with a gap worth a share. Its interval is that of a ratio of two means (Fieller's problem, first
order): the crossed interval of :mod:`analysis.stats.bootstrap` over
((score − Empty) − g (Direct − Empty)) / mean gap, with Direct of the same seed, so that the spread
of both is in it. The drawing of test examples enters with the same weights.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd

from analysis.contrasts.examples import Examples
from analysis.frontier.lines import CASE, UNIT, Field, Line
from analysis.stats.bootstrap import (
    REPLICATES,
    UNITS,
    Crossed,
    crossed_interval,
    draw_counts,
    product_weights,
)
from analysis.stats.membership import membership
from trainables.core.frontier import CHEAP

BOUND = 0.9
"""Confidence of a one-sided lower bound."""
_NOTHING = Crossed(*(math.nan,) * 5, 0, {}, math.nan, "There is no result.")


@dataclass(frozen=True)
class Median:
    """Median share of the gap over cases.

    Attributes:
        median: over (source set, task, target), each the mean over its seeds.
        low: its one-sided lower bound at :data:`BOUND`; NaN where nothing can be drawn.
        other: the median of what it is compared with, on the same cases.
        n: cases.
    """

    median: float
    low: float
    other: float
    n: int


def share(
    field: Field, line: Line, units: pd.DataFrame, examples: Examples | None = None
) -> Crossed:
    """Share of the gap that a line recovers, with its interval; 1 is Direct, 0 is Empty.

    Args:
        field: all lines.
        line: one of them.
        units: of ``field``, those to look at.
        examples: reads the kept predictions.
    """
    rows = _with_levels(field, line, units)
    return _ratio(rows, [(rows.assign(calibrated=line.calibrated), 1.0)], examples)


def mixed_share(
    field: Field,
    parts: Sequence[tuple[pd.DataFrame, float]],
    units: pd.DataFrame,
    examples: Examples | None = None,
) -> Crossed:
    """As :func:`share`, of a weighted mean of what several choices score on every unit.

    Args:
        field: all lines.
        parts: results of all units (unit, columns of a unit, cell, score, calibrated) with their
            weight; weights sum to 1.
        units: of ``field``, those to look at.
        examples: reads the kept predictions.
    """
    rows = field.with_gap(units)
    score = sum(weight * part.set_index("unit")["score"] for part, weight in parts)
    if rows.empty or not isinstance(score, pd.Series):
        return _NOTHING
    kept = [(part[part["unit"].isin(rows["unit"])], weight) for part, weight in parts]
    return _ratio(rows.assign(score=score.reindex(rows["unit"]).to_numpy()), kept, examples)


def _ratio(
    rows: pd.DataFrame, parts: Sequence[tuple[pd.DataFrame, float]], examples: Examples | None
) -> Crossed:
    """Share of rows with score, levels and the columns of a unit; parts make up the score."""
    if rows.empty:
        return _NOTHING
    gain, gap = rows["score"] - rows["empty"], rows["direct"] - rows["empty"]
    size = float(gap.mean())
    g = float(gain.mean()) / size
    value = (gain - g * (rows["direct_seed"] - rows["empty"])) / size
    rows = rows.assign(value=value - value.mean() + g)
    error = math.nan
    if examples:
        error = examples.spread(_terms(rows, parts, size, g)) / 100
    return crossed_interval(rows, "value", UNITS, replicates=0, examples=error)


def gain(line: Line, other: Line, units: pd.DataFrame, examples: Examples | None = None) -> Crossed:
    """What a line has over another one on the same units, in points, with its interval."""
    return mean_gain([(line, other)], units, examples)


def mean_gain(
    pairs: Sequence[tuple[Line, Line]], units: pd.DataFrame, examples: Examples | None = None
) -> Crossed:
    """What lines have over others on the units that all have, mean over the pairs, in points."""
    for line in chain.from_iterable(pairs):
        units = line.on(units)
    if units.empty:
        return _NOTHING
    rows = units[["unit", *UNIT]].assign(value=0.0)
    terms = []
    for pair in pairs:
        mine, theirs = (line.on(units) for line in pair)
        rows["value"] += 100 * (mine["score"] - theirs["score"]) / len(pairs)
        weight = 1 / len(units) / len(pairs)
        for line, some, sign in zip(pair, (mine, theirs), (1, -1), strict=True):
            terms.append(some[["task", "cell"]].assign(weight=sign * weight,
                                                       calibrated=line.calibrated))  # fmt: skip
    error = examples.spread(pd.concat(terms)) if examples else math.nan
    return crossed_interval(rows, "value", UNITS, replicates=0, examples=error)


def difference(
    rows: pd.DataFrame,
    calibrated: "bool | pd.Series",
    other: Line,
    examples: Examples | None = None,
    over: Sequence[str] = UNITS,
) -> Crossed:
    """What results have over a line on the same units, in points, with its interval.

    Args:
        rows: with unit, the columns of a unit, score and cell; the line has all of these units.
        calibrated: whether the scores are after calibration.
        other: the line; where its rows have ``calibrated`` that counts for each of them.
        examples: reads the kept predictions.
        over: what the interval is over; all else stays as it is.
    """
    beside = other.on(rows)
    rows = rows.assign(
        value=100 * (rows["score"] - beside["score"]), cell_other=beside["cell"].to_numpy()
    )
    error = math.nan
    if examples:
        weight = 1 / len(rows)
        theirs = beside.get("calibrated", other.calibrated)
        sides = [
            pd.DataFrame({"task": rows["task"], "cell": rows[name], "weight": sign * weight,
                          "calibrated": after})
            for name, sign, after in (("cell", 1, calibrated), ("cell_other", -1, theirs))
        ]  # fmt: skip
        error = examples.spread(pd.concat(sides))
    return crossed_interval(rows, "value", over, replicates=0, examples=error)


def _terms(
    rows: pd.DataFrame, parts: Sequence[tuple[pd.DataFrame, float]], size: float, g: float
) -> pd.DataFrame:
    """Weights of the scores that a share is made of: score, Empty and Direct."""
    weight = 1 / len(rows) / size
    names = ["task", "cell", "calibrated"]
    tables = [part[names].assign(weight=weight * own) for part, own in parts]
    # A seed without Direct has the mean of the others in its place.
    tables += [
        pd.DataFrame({"task": rows["task"], "cell": rows[name], "calibrated": False,
                      "weight": each}).dropna(subset=["cell"])
        for name, each in (("empty_cell", -(1 - g) * weight), ("direct_cell", -g * weight))
    ]  # fmt: skip
    return pd.concat(tables)


def case_shares(field: Field, line: Line, units: pd.DataFrame) -> pd.DataFrame:
    """Share of every unit's gap: the columns of a unit and ``share``."""
    rows = _with_levels(field, line, units)
    size = rows["direct"] - rows["empty"]
    return rows[["unit", *UNIT]].assign(share=(rows["score"] - rows["empty"]) / size)


def _with_levels(field: Field, line: Line, units: pd.DataFrame) -> pd.DataFrame:
    """A line's results beside Empty and Direct, where there is a gap."""
    rows = line.on(field.with_gap(units))
    levels = field.with_gap(rows).drop(columns=["unit", *UNIT])
    return pd.concat([rows, levels], axis=1)


def median_share(
    field: Field,
    line: Line,
    units: pd.DataFrame,
    other: Line | None = None,
    level: float = BOUND,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Median:
    """Median over cases of the share of the gap, with its lower bound.

    The bound is the quantile of medians over draws of the crossed bootstrap: source models, tasks,
    targets and seeds are drawn with replacement, and a case counts as often as the product of its
    units. Its distance from the median is put right as that of the mean is: by the ratio of the
    t-interval of :func:`analysis.stats.bootstrap.crossed_interval` to the same draws' quantile,
    since draws of few levels spread too little, and noise is in them more than once.

    Args:
        field: all lines.
        line: one of them.
        units: of ``field``, those to look at.
        other: a line to show beside it.
        level: of the one-sided bound.
        replicates: draws.
        seed: of the random numbers.
    """
    rows = case_shares(field, line, units).reset_index(drop=True)
    beside = math.nan
    if other is not None:
        beside = float(_case_means(case_shares(field, other, rows)).median())
    if rows.empty:
        return Median(math.nan, math.nan, beside, 0)
    cases = _case_means(rows)
    code = pd.MultiIndex.from_frame(rows[CASE]).map({key: n for n, key in enumerate(cases.index)})
    generator = np.random.default_rng(seed)
    weights = np.ones((len(rows), replicates))
    free = False
    for name in UNITS:
        members = membership(rows, name)
        levels = len(members.names)
        # A unit of one level, or of one set of all there is, stays as it is.
        if levels > len(members.row) / members.rows:
            counts = draw_counts(levels, replicates, generator)
            weights *= product_weights(members, counts)
            free = True
    if not free:
        return Median(float(cases.median()), math.nan, beside, len(cases))
    values = rows["share"].to_numpy(dtype=np.float64)
    low = _lower(_weighted_medians(values, np.asarray(code), weights), level)
    with np.errstate(invalid="ignore"):
        means = (values @ weights) / weights.sum(axis=0)
    mean = float(values.mean())
    distance = mean - crossed_interval(rows, "share", UNITS, 0, 2 * level - 1).low
    drawn = mean - _lower(means, level)
    ratio = distance / drawn if drawn > 0 and distance == distance else 1.0
    middle = float(cases.median())
    return Median(middle, middle - ratio * (middle - low), beside, len(cases))


def _lower(draws: np.ndarray, level: float) -> float:
    draws = draws[~np.isnan(draws)]
    return float(np.quantile(draws, 1 - level)) if len(draws) else math.nan


def _case_means(rows: pd.DataFrame) -> pd.Series:
    return rows.groupby(CASE)["share"].mean()


def _weighted_medians(values: np.ndarray, cases: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Per draw the median over cases of their weighted means, each as often as it was drawn."""
    count = int(cases.max()) + 1
    places = np.zeros((count, len(values)))
    places[cases, np.arange(len(values))] = 1.0
    total, size = places @ (values[:, None] * weights), places @ weights
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(size > 0, total / size, np.inf)
    order = np.argsort(means, axis=0)
    ranked = np.take_along_axis(means, order, axis=0)
    heavy = np.cumsum(np.take_along_axis(size, order, axis=0), axis=0)
    whole = heavy[-1]
    low = (heavy >= whole / 2 - 1e-9).argmax(axis=0)
    high = (heavy > whole / 2 + 1e-9).argmax(axis=0)
    pick = np.arange(weights.shape[1])
    medians = (ranked[low, pick] + ranked[high, pick]) / 2
    return np.where(whole > 0, medians, np.nan)


def acceptance(field: Field, units: pd.DataFrame, most: float = CHEAP) -> pd.DataFrame:
    """Median shares of the cheap ways that need neither label of the target nor the source.

    Args:
        field: all lines.
        units: of ``field``, those to look at.
        most: row equivalents that count as cheap.

    Returns:
        Columns line, product, access, work, median, low, empty (median of Empty, calibrated where
        that is known), n (cases) and above (whether ``low`` is above ``empty``).
    """
    level = field.empty
    lines = []
    for line in field.lines:
        price = line.price
        if line.kind == "way" and price.work <= most and not price.panel and not price.source:
            found = median_share(field, line, units, level)
            if found.n:
                lines.append((line.title, price.product, price.access, price.work, found.median,
                              found.low, found.other, found.n, found.low > found.other)
                             )  # fmt: skip
    names = ["line", "product", "access", "work", "median", "low", "empty", "n", "above"]
    return pd.DataFrame(lines, columns=names)
