"""Intervals over new models, tasks, targets and seeds: crossed variance, crossed bootstrap.

Results of one model or task are no independent draws, so that resampling rows gives intervals that
are too short. The crossed ("pigeonhole") bootstrap resamples the units, each kind on its own; a row
counts as often as the product of its units' counts (Owen 2007). A source set counts through its
models: the product over them. As it stands it counts pure noise once per combination of units (15
times with four) and few levels too little; :func:`crossed_interval` therefore also gives the
interval from the same units' linear variance with both set right, and that one is the headline.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.stats.intervals import LEVEL, t_quantile, with_known
from analysis.stats.membership import SOURCE, Membership, membership, sets_of

UNITS = (SOURCE, "task", "target", "seed")
"""What is resampled unless told otherwise."""
REPLICATES = 2000
LEAST_LEVELS = 5
"""Levels of a unit below which an interval deserves a warning."""
_AT_ONCE = 250
_NAMES = {SOURCE: "source set"}

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Crossed:
    """A mean with its crossed-bootstrap interval.

    Attributes:
        mean: mean over all rows; NaN where there is none.
        low: lower end of the t-interval; NaN where nothing could be resampled.
        high: upper end; likewise.
        boot_low: lower end of the plain crossed bootstrap's percentile interval, wider; NaN without
            draws.
        boot_high: upper end; likewise.
        n: rows.
        units: levels by kind of unit that was resampled.
        degrees: degrees of freedom of the t-quantile.
        note: what weakens the interval, in a sentence; empty where nothing does.
        error: standard error of the mean; 0 where nothing varies, NaN where nothing can be told.
    """

    mean: float
    low: float
    high: float
    boot_low: float
    boot_high: float
    n: int
    units: Mapping[str, int]
    degrees: float
    note: str
    error: float = math.nan

    def p_value(self, side: int = 0) -> float:
        """Of the t-test of a mean of 0 that goes with the interval.

        Args:
            side: 0 for two-sided; 1 for the mean being above 0, -1 for below.

        Returns:
            NaN where nothing could be resampled or nothing varies: no spread, no test.
        """
        if not self.error > 0:
            return math.nan
        from scipy.special import stdtr  # imported late: scipy costs as much as all the rest

        t = self.mean / self.error
        if side:
            return float(stdtr(self.degrees, -side * t))
        return float(2 * stdtr(self.degrees, -abs(t)))

    @property
    def direction(self) -> int:
        """1 or -1 where the interval lies above or below 0, else 0."""
        return (int(self.low > 0) - int(self.high < 0)) if self.high > self.low else 0


@dataclass(frozen=True)
class _Unit:
    """One kind of unit: its members, the distinct sets of them, and which set a row has."""

    name: str
    members: Membership
    correction: float  # of the linear variance of a mean, for few levels

    @property
    def levels(self) -> int:
        return len(self.members.names)


def crossed_interval(
    frame: pd.DataFrame,
    value: str,
    units: Sequence[str] = UNITS,
    replicates: int = REPLICATES,
    level: float = LEVEL,
    seed: int = 0,
    examples: float = 0.0,
) -> Crossed:
    """Mean of a column with its intervals over new models, tasks, targets and seeds.

    With v_u the linear variance of the mean over units u alone, c_u = n/(n-1) (for sets of m models
    n/(n-1)·((n-1)/(n-m))²) and r the variance of the mean from noise about the main effects, the
    variance is Σ c_u v_u - (U-1) r, at least r and every c_u v_u. The t-quantile has
    Satterthwaite's degrees of freedom from the parts c_u v_u - r, n_u-1 each. Noise shared by two
    units (interactions) counts twice, on the wide side.

    Test examples add their own variance. Where tasks are units, their variance includes that of
    their examples; the interval is at least as wide as for fixed tasks with new examples.

    Args:
        frame: tidy table with the units' columns; rows with a NaN in ``value`` are left out.
        value: column to average.
        units: factors of :func:`analysis.stats.membership.membership`; those with one level stay
            fixed.
        replicates: bootstrap draws; 0 for the t-interval alone.
        seed: of the random numbers; equal input gives equal output.
        examples: standard error of the mean from the drawing of test examples
            (:meth:`analysis.contrasts.examples.Examples.error`); NaN where it is not known.
    """
    frame = frame[frame[value].notna()]
    nothing = (math.nan,) * 4
    if frame.empty:
        return Crossed(math.nan, *nothing, 0, {}, math.nan, "There is no result.")
    y = frame[value].to_numpy(dtype=np.float64)
    mean = float(y.mean())
    every = [_unit(frame, name) for name in units if name == SOURCE or name in frame]
    free = [unit for unit in every if math.isfinite(unit.correction)]
    note = _note(every, free)
    drawn = 0.0 if math.isnan(examples) else examples**2
    if not free and not drawn:
        return Crossed(mean, *nothing, len(y), {}, math.nan, note)
    counts = {unit.name: unit.levels for unit in free}
    others = [unit for unit in free if unit.name != "task"]
    variance, degrees = max(_spread(y, free), with_known(*_spread(y, others), drawn))
    error = math.sqrt(variance)
    half = t_quantile(degrees, level) * error if variance else 0.0
    boot = (math.nan, math.nan)
    if replicates and free:
        draws = _means(y, free, replicates, np.random.default_rng(seed))
        draws = draws[~np.isnan(draws)]
        ends = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2]) if len(draws) else boot
        boot = (float(ends[0]), float(ends[1]))
    return Crossed(mean, mean - half, mean + half, *boot, len(y), counts, degrees, note, error)


def draw_counts(levels: int, replicates: int, generator: np.random.Generator) -> Numbers:
    """How often each of ``levels`` units is drawn, [levels, replicates]; ``levels`` draws each."""
    return generator.multinomial(levels, [1 / levels] * levels, replicates).T.astype(np.float64)


def product_weights(members: Membership, counts: Numbers) -> Numbers:
    """Weight [rows, B] of every row: the product of the counts [levels, B] of its levels."""
    if members.single:
        weights: Numbers = counts[members.level]
        return weights
    starts = np.flatnonzero(np.diff(members.row, prepend=-1))
    product: Numbers = np.multiply.reduceat(counts[members.level], starts, axis=0)
    return product


def _unit(frame: pd.DataFrame, name: str) -> _Unit:
    members = membership(frame, name)
    n, size = len(members.names), len(members.row) / members.rows
    # Sets of all there is (one pair of two models) leave nothing to resample.
    correction = n / (n - 1) * ((n - 1) / (n - size)) ** 2 if n > size else math.inf
    return _Unit(name, members, correction)


def _note(every: Sequence[_Unit], free: Sequence[_Unit]) -> str:
    fixed = [_NAMES.get(unit.name, unit.name) for unit in every if unit not in free]
    few = [f"{unit.levels} {unit.name}s" for unit in free if unit.levels < LEAST_LEVELS]
    notes = []
    if fixed:
        notes.append(f"There is one {' and one '.join(fixed)}: the interval does not reach beyond.")
    if few:
        notes.append(f"With {' and '.join(few)} the interval is rough.")
    return " ".join(notes)


def _means(y: Numbers, units: Sequence[_Unit], count: int, generator: Any) -> Numbers:
    """Weighted means of ``count`` draws; NaN where a draw leaves no row."""
    sets = [sets_of(unit.members) for unit in units]
    # The unit with the most sets is summed last; rows alike in all others are one group.
    order = sorted(range(len(units)), key=lambda place: -int(sets[place].max()))
    inner, outer = order[-1], order[:-1]
    group = np.zeros(len(y), dtype=np.int64)
    for place in outer:
        group = group * (int(sets[place].max()) + 1) + sets[place]
    _, first, member = np.unique(group, return_index=True, return_inverse=True)
    totals, sizes = (_table(member, sets[inner], values) for values in (y, np.ones(len(y))))
    means = []
    for start in range(0, count, _AT_ONCE):
        size = min(_AT_ONCE, count - start)
        weights = [
            _set_weights(unit, code, draw_counts(unit.levels, size, generator))
            for unit, code in zip(units, sets, strict=True)
        ]
        top, bottom = totals @ weights[inner], sizes @ weights[inner]
        for place in outer:
            factor = weights[place][sets[place][first]]
            top *= factor
            bottom *= factor
        weight = bottom.sum(axis=0)
        with np.errstate(invalid="ignore"):
            means.append(top.sum(axis=0) / np.where(weight > 0, weight, math.nan))
    return np.concatenate(means)


def _set_weights(unit: _Unit, code: npt.NDArray[np.int64], counts: Numbers) -> Numbers:
    """Weight [sets, B] of every distinct set of levels."""
    if unit.members.single:
        return counts
    _, first = np.unique(code, return_index=True)
    kept = np.isin(unit.members.row, first)
    rank = np.full(unit.members.rows, -1)
    rank[first] = np.arange(len(first))
    row = rank[unit.members.row[kept]]
    weights = np.ones((len(first), counts.shape[1]))
    np.multiply.at(weights, row, counts[unit.members.level[kept]])
    return weights


def _table(member: Any, inner: Any, values: Numbers) -> Any:
    from scipy.sparse import csr_array

    shape = (int(member.max()) + 1, int(inner.max()) + 1)
    return csr_array((values, (member, inner)), shape=shape)


def _spread(y: Numbers, units: Sequence[_Unit]) -> tuple[float, float]:
    """Variance of the mean over new units, and its degrees of freedom."""
    if not units:
        return 0.0, math.nan
    noise = _noise(y, units)
    centred = y - y.mean()
    parts = []
    for unit in units:
        totals = np.bincount(unit.members.level, centred[unit.members.row], unit.levels)
        parts.append(unit.correction * float((totals**2).sum()) / len(y) ** 2)
    variance = max(sum(parts) - (len(parts) - 1) * noise, noise, *parts)
    if variance <= 1e-24:
        return 0.0, math.nan
    each = [
        max(part - noise, 0.0) ** 2 / (unit.levels - 1)
        for part, unit in zip(parts, units, strict=True)
    ]
    rest = noise**2 / max(len(y) - 1, 1)
    return variance, variance**2 / (sum(each) + rest)


def _noise(y: Numbers, units: Sequence[_Unit]) -> float:
    """Variance of the mean from noise about additive means of the units; 0 where none is left."""
    left, used = y - y.mean(), 1
    for unit in units:
        code = sets_of(unit.members)
        counts = np.bincount(code)
        left = left - (np.bincount(code, left) / np.maximum(counts, 1))[code]
        used += int((counts > 0).sum()) - 1
    free = len(y) - used
    return float((left**2).sum()) / free / len(y) if free > 0 else 0.0
