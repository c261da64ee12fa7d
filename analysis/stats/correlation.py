"""Spearman's rank correlation with a bootstrap interval over clusters of points."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.stats.intervals import LEVEL

RESAMPLES = 1000
LEAST_CLUSTERS = 5
"""Clusters below which resampling them says nothing of the spread."""
_AT_ONCE = 250

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Correlation:
    """A rank correlation.

    Attributes:
        value: Spearman's ρ, midranks for ties; NaN where either side does not vary or n < 3.
        low: lower end of the percentile interval; NaN where it cannot be told.
        high: upper end.
        n: points.
        clusters: clusters they come from.
    """

    value: float
    low: float
    high: float
    n: int
    clusters: int

    @property
    def direction(self) -> int:
        """1 or -1 where the interval lies above or below 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)


def spearman(x: Any, y: Any, clusters: Any) -> Correlation:
    """Spearman's ρ of two columns; points with a NaN on either side are left out.

    Points of one cluster (a prompt on several targets) are dependent: whole clusters are drawn with
    replacement, :data:`RESAMPLES` times, with fixed random numbers. Draws without variation are
    left out of the interval.

    Args:
        x: one number a point.
        y: likewise.
        clusters: a name of its cluster for each point.
    """
    one, two = (np.asarray(side, dtype=np.float64) for side in (x, y))
    known = ~(np.isnan(one) | np.isnan(two))
    one, two = one[known], two[known]
    names, member = np.unique(np.asarray(clusters)[known], return_inverse=True)
    n, count = len(one), len(names)
    if n < 3:
        return Correlation(math.nan, math.nan, math.nan, n, count)
    value = float(_weighted(one, two, np.ones((1, n)))[0])
    if math.isnan(value) or count < LEAST_CLUSTERS:
        return Correlation(value, math.nan, math.nan, n, count)
    draws = np.random.default_rng(0).multinomial(count, [1 / count] * count, RESAMPLES)
    parts = [
        _weighted(one, two, draws[start : start + _AT_ONCE, member].astype(np.float64))
        for start in range(0, RESAMPLES, _AT_ONCE)
    ]
    resampled = np.concatenate(parts)
    resampled = resampled[~np.isnan(resampled)]
    ends = (
        np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        if len(resampled)
        else [math.nan] * 2
    )
    return Correlation(value, float(ends[0]), float(ends[1]), n, count)


def _weighted(x: Numbers, y: Numbers, weights: Numbers) -> Numbers:
    """ρ of B samples, in each of which point i occurs weights[b, i] times; NaN where undefined."""
    a, b = (_midranks(side, weights) for side in (x, y))
    total = weights.sum(axis=1, keepdims=True)
    a = a - (weights * a).sum(axis=1, keepdims=True) / total
    b = b - (weights * b).sum(axis=1, keepdims=True) / total
    both = (weights * a * b).sum(axis=1)
    spread = np.sqrt((weights * a * a).sum(axis=1) * (weights * b * b).sum(axis=1))
    defined = spread > 1e-9
    return np.where(defined, both / np.where(defined, spread, 1.0), math.nan)


def _midranks(values: Numbers, weights: Numbers) -> Numbers:
    """Rank [B, n] of every point in B samples; equal values share the mean of their ranks."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    sizes = np.add.reduceat(weights[:, order], starts, axis=1)
    below = np.cumsum(sizes, axis=1) - sizes
    ranks: Numbers = (below + (sizes + 1) / 2)[:, group]
    return ranks
