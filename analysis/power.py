"""What a design can detect, and how many seeds it would take.

Model: the difference of case c and seed s is δ + a_c + e_cs with independent normal a (variance
between cases) and e (variance between seeds); two-sided paired t-test. In one case only e counts
and n seeds give n-1 degrees of freedom. Over m cases the case means are tested, m-1 degrees of
freedom, standard deviation √(var_case + var_seed / n): seeds cannot push it below √var_case.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.effects import CASE

POWER = 0.8
ALPHA = 0.05
MOST_SEEDS = 10_000
"""Seeds beyond which a number is called out of reach."""
_LARGEST = 1e4


@dataclass(frozen=True)
class Spread:
    """Where paired differences spread.

    Attributes:
        between_cases: standard deviation of true case effects, points; NaN with one case.
        between_seeds: standard deviation of a case's seeds, points; NaN with one seed per case.
        cases: cases.
        seeds: seeds per case (mean).
    """

    between_cases: float
    between_seeds: float
    cases: int
    seeds: float


@dataclass(frozen=True)
class Detectable:
    """The smallest mean differences, in points, that the design finds with power 0.8.

    Attributes:
        spread: where the differences spread.
        one_case: in one case, by its seeds; NaN where unknown.
        over_cases: of the mean over all cases; NaN where unknown.
        note: sentence on what cannot be told; empty if nothing.
    """

    spread: Spread
    one_case: float
    over_cases: float
    note: str


def power_of(effect: float, sd: float, n: int, alpha: float = ALPHA) -> float:
    """Power of a two-sided paired t-test of ``n`` differences with mean and sd as given."""
    from scipy.special import stdtrit
    from scipy.stats import nct

    if n < 2:
        return 0.0
    if sd == 0:
        return 1.0 if effect else alpha
    bound, shift = stdtrit(n - 1, 1 - alpha / 2), abs(effect) / sd * math.sqrt(n)
    upper, lower = nct.sf(bound, n - 1, shift), nct.cdf(-bound, n - 1, shift)
    # The far tail underflows to NaN where it is nothing.
    return float(upper + (0.0 if math.isnan(lower) else lower))


def detectable(sd: float, n: int, power: float = POWER, alpha: float = ALPHA) -> float:
    """Smallest mean difference that ``n`` paired differences find; NaN where n < 2."""
    if n < 2 or math.isnan(sd):
        return math.nan
    from scipy.optimize import brentq

    def lacking(size: float) -> float:
        return power_of(size, 1.0, n, alpha) - power

    return sd * float(brentq(lacking, 0.0, _LARGEST / math.sqrt(n) if n > 3 else 200.0))


def seeds_needed(
    effect: float,
    between_seeds: float,
    between_cases: float = 0.0,
    cases: int = 1,
    power: float = POWER,
    alpha: float = ALPHA,
) -> int | None:
    """Fewest seeds per case that find ``effect``; None where no number of seeds does.

    Args:
        effect: mean difference to find, in points.
        between_seeds: standard deviation between seeds of a case.
        between_cases: standard deviation between cases; without meaning for one case.
        cases: 1 for a test in one case, else the number of cases whose mean is tested.
        power: wanted.
        alpha: of the two-sided test.
    """

    def reached(seeds: int) -> bool:
        if cases == 1:
            return power_of(effect, between_seeds, seeds, alpha) >= power
        sd = math.hypot(between_cases, between_seeds / math.sqrt(seeds))
        return power_of(effect, sd, cases, alpha) >= power

    if effect == 0 or math.isnan(between_seeds) or not reached(MOST_SEEDS):
        return None
    low, high = 0, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def spread(pairs: pd.DataFrame) -> Spread:
    """Method-of-moments split of the variance of differences into between cases and seeds."""
    pairs = pairs.groupby([*CASE, "seed"], observed=True)[["difference"]].mean().reset_index()
    groups = pairs.groupby(CASE, observed=True)["difference"]
    counts, means = groups.size().to_numpy(dtype=np.float64), groups.mean().to_numpy()
    n, m = len(pairs), len(counts)
    if not m:
        return Spread(math.nan, math.nan, 0, math.nan)
    inside = float(((pairs["difference"] - groups.transform("mean")) ** 2).sum())
    seeds = math.sqrt(inside / (n - m)) if n > m else math.nan
    if m < 2:
        return Spread(math.nan, seeds, m, n / m)
    square = float((counts * (means - (counts * means).sum() / n) ** 2).sum()) / (m - 1)
    per = (n - (counts**2).sum() / n) / (m - 1)
    cases = math.sqrt(max(square - (0.0 if math.isnan(seeds) else seeds**2), 0.0) / per)
    return Spread(cases, seeds, m, n / m)


def detectable_effects(pairs: pd.DataFrame) -> Detectable:
    """What the design at hand finds in one case and over all cases.

    Args:
        pairs: of :func:`analysis.effects.paired`.
    """
    found = spread(pairs)
    if not found.cases:
        return Detectable(found, math.nan, math.nan, "There is no paired result.")
    notes = []
    if math.isnan(found.between_seeds):
        notes.append("One seed per case: the spread between seeds is not known.")
    if found.cases < 2:
        notes.append("One case: the spread between cases is not known.")
    noise = 0.0 if math.isnan(found.between_seeds) else found.between_seeds
    over = math.hypot(found.between_cases, noise / math.sqrt(found.seeds))
    return Detectable(
        found,
        detectable(found.between_seeds, int(found.seeds)),
        detectable(over, found.cases),
        " ".join(notes),
    )
