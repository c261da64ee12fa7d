"""Means, standard deviations and intervals, with the conventions the whole analysis shares."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
"""Coverage of every interval."""
PERCENT = f"{100 * LEVEL:.0f} %"
"""The same in words."""


@dataclass(frozen=True)
class Interval:
    """A mean with its Student-t interval.

    Attributes:
        mean: mean of the values; NaN where there is none.
        low: lower end; NaN where n < 2.
        high: upper end; NaN where n < 2.
        n: number of values.
    """

    mean: float
    low: float
    high: float
    n: int

    @property
    def direction(self) -> int:
        """1 or -1 where the interval lies above or below 0, else 0.

        An interval of no width (all values equal, which few seeds on few test examples give
        easily) counts as 0: it says nothing about the spread.
        """
        if not self.high > self.low:
            return 0
        return int(self.low > 0) - int(self.high < 0)


def t_interval(values: Iterable[float], examples: float = 0.0) -> Interval:
    """Mean and two-sided t-interval of independent values; NaN values are left out.

    The interval is mean ± t(ν) · √(sd²/n + e²) with the sample standard deviation (ddof=1),
    e the standard error from test examples that all values share (NaN counts as 0), and
    Satterthwaite's ν = (n-1) · ((sd²/n + e²) / (sd²/n))².
    """
    known = np.asarray([value for value in values if not math.isnan(value)], dtype=np.float64)
    n = len(known)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean, more = float(known.mean()), 0.0 if math.isnan(examples) else examples**2
    if n == 1 and not more:
        return Interval(mean, math.nan, math.nan, 1)
    variance = float(known.var(ddof=1)) / n if n > 1 else 0.0
    whole, degrees = with_known(variance, n - 1, more)
    half = t_quantile(degrees) * math.sqrt(whole) if whole else 0.0
    return Interval(mean, mean - half, mean + half, n)


def with_known(variance: float, degrees: float, more: float) -> tuple[float, float]:
    """A variance with another one that is known added, and its degrees (Satterthwaite)."""
    whole = variance + more
    return whole, degrees * (whole / variance) ** 2 if variance else math.inf


def t_quantile(degrees: float, level: float = LEVEL) -> float:
    """Half-width, in standard errors, of a two-sided t-interval with ``degrees`` of freedom."""
    from scipy.special import stdtrit  # imported late: scipy costs as much as all the rest

    return float(stdtrit(degrees, 0.5 + level / 2))
