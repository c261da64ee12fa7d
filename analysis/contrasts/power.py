"""What a design can detect, and how many seeds it would take.

Model: the difference of case c and seed s is δ + a_c + e_cs with independent normal a (variance
between cases) and e (variance between seeds); two-sided paired t-test. In one case only e counts
and n seeds give n-1 degrees of freedom. Over m cases the case means are tested, m-1 degrees of
freedom, standard deviation √(var_case + var_seed / n): seeds cannot push it below √var_case.

All seeds and cases read the same test examples. For new examples of the same tasks, the variance of
a mean has the square of its standard error over examples on top, which no seed makes smaller; the
degrees of freedom are then Satterthwaite's, with that error taken as known. Over cases some of it
is already in the variance between cases: what is told errs on the large side.

Where nothing varies nothing can be told: a spread of 0 among a few results on a few hundred test
examples is no promise that further seeds give the same.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from analysis.contrasts.effects import CASE
from analysis.stats.intervals import with_known

POWER = 0.8
ALPHA = 0.05
MOST_SEEDS = 10_000
"""Seeds beyond which a number is called out of reach."""
_LARGEST_SHIFT = 200.0
_MANY_DEGREES = 1e5  # beyond, t is normal
_NOTHING = 1e-9


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
        by_task: of :func:`by_task`; a pooled spread hides tasks without and with a large one.
        examples: standard error from test examples in it, points: of one case and of the mean;
            0 where it is not counted.
    """

    spread: Spread
    one_case: float
    over_cases: float
    note: str
    by_task: pd.DataFrame
    examples: tuple[float, float] = (0.0, 0.0)


def power_of(effect: float, sd: float, n: int, examples: float = 0.0) -> float:
    """Power of a two-sided paired t-test of ``n`` differences.

    Args:
        effect: mean difference.
        sd: standard deviation of the differences.
        n: differences.
        examples: standard error from test examples, which ``n`` does not make smaller.

    Returns:
        0 with fewer than two differences; NaN where they do not vary.
    """
    if n < 2:
        return 0.0
    if not sd > 0:
        return math.nan
    # An error taken as known lends degrees of freedom; it must never help.
    return min(
        _power(abs(effect) / error, degrees)
        for error, degrees in (_error(sd, n, 0.0), _error(sd, n, examples))
    )


def detectable(sd: float, n: int, examples: float = 0.0) -> float:
    """Smallest mean difference that ``n`` paired differences find with :data:`POWER`.

    Args:
        sd: standard deviation of the differences.
        n: differences.
        examples: standard error from test examples, which ``n`` does not make smaller.

    Returns:
        NaN with fewer than two differences and where they do not vary.
    """
    if n < 2 or not sd > 0:
        return math.nan
    return max(
        error * _shift(degrees) for error, degrees in (_error(sd, n, 0.0), _error(sd, n, examples))
    )


@cache
def _shift(degrees: float) -> float:
    """Standard errors from 0 at which a two-sided t-test has so much power."""
    from scipy.optimize import brentq

    return float(brentq(lambda shift: _power(shift, degrees) - POWER, 0.0, _LARGEST_SHIFT))


def _error(sd: float, n: int, examples: float) -> tuple[float, float]:
    """Standard error of a mean and its degrees of freedom."""
    variance, degrees = with_known(sd**2 / n, n - 1, examples**2)
    return math.sqrt(variance), degrees


def _power(shift: float, degrees: float) -> float:
    """Of a two-sided t-test whose mean lies ``shift`` standard errors from 0."""
    from scipy.special import ndtr, ndtri, stdtrit
    from scipy.stats import nct

    if degrees > _MANY_DEGREES:
        bound = float(-ndtri(ALPHA / 2))
        return float(ndtr(shift - bound) + ndtr(-shift - bound))
    bound = stdtrit(degrees, 1 - ALPHA / 2)
    upper, lower = nct.sf(bound, degrees, shift), nct.cdf(-bound, degrees, shift)
    # The far tail underflows to NaN where it is nothing.
    return float(upper + (0.0 if math.isnan(lower) else lower))


def seeds_needed(effect: float, between_seeds: float, examples: float = 0.0) -> int | None:
    """Fewest seeds that find ``effect`` in one case; None where no number does or nothing varies.

    Args:
        effect: mean difference to find, in points.
        between_seeds: standard deviation between seeds of a case.
        examples: standard error from the test examples of the case.
    """

    def reached(seeds: int) -> bool:
        return power_of(effect, between_seeds, seeds, examples) >= POWER

    if effect == 0 or math.isnan(between_seeds) or not reached(MOST_SEEDS):
        return None
    return bisect_left(range(MOST_SEEDS), True, key=reached)


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
    seeds = 0.0 if seeds < _NOTHING else seeds
    if m < 2:
        return Spread(math.nan, seeds, m, n / m)
    square = float((counts * (means - (counts * means).sum() / n) ** 2).sum()) / (m - 1)
    per = (n - (counts**2).sum() / n) / (m - 1)
    cases = math.sqrt(max(square - (0.0 if math.isnan(seeds) else seeds**2), 0.0) / per)
    return Spread(cases, seeds, m, n / m)


def by_task(pairs: pd.DataFrame, case_error: float | pd.Series = 0.0) -> pd.DataFrame:
    """The spread between seeds on every task, and what a single case of it shows.

    Args:
        pairs: of :func:`analysis.contrasts.effects.paired`.
        case_error: standard error of a case from its test examples, points; by task, or one.

    Returns:
        Columns task, cases, seeds (mean per case), between_seeds (points; NaN with one seed) and
        one_case (smallest difference found with power 0.8; NaN where unknown or nothing varies).
    """
    lines = []
    for task, part in pairs.groupby("task", observed=True, sort=True):
        spreads = spread(part)
        error = _of_task(case_error, task)
        smallest = detectable(spreads.between_seeds, int(spreads.seeds), examples=error)
        lines.append((task, spreads.cases, spreads.seeds, spreads.between_seeds, smallest))
    return pd.DataFrame(lines, columns=["task", "cases", "seeds", "between_seeds", "one_case"])


def detectable_effects(
    pairs: pd.DataFrame, case_error: float | pd.Series = 0.0, mean_error: float = 0.0
) -> Detectable:
    """What the design at hand finds in one case and over all cases.

    Args:
        pairs: of :func:`analysis.contrasts.effects.paired`.
        case_error: standard error from test examples of one case's mean, points; by task (index) or
            one for all; NaN counts as 0.
        mean_error: the same of the mean over all cases.
    """
    spreads = spread(pairs)
    tasks = by_task(pairs, case_error)
    if not spreads.cases:
        return Detectable(spreads, math.nan, math.nan, "There is no paired result.", tasks)
    errors = np.array([_of_task(case_error, task) for task in tasks["task"]])
    weights = tasks["cases"].to_numpy(dtype=np.float64)
    examples = (
        math.sqrt(float(np.average(errors**2, weights=weights))),
        0.0 if math.isnan(mean_error) else mean_error,
    )
    values = pairs["difference"].to_numpy(dtype=np.float64)
    if len(values) > 1 and float(np.ptp(values)) < _NOTHING:
        note = "No difference varies: what the design could detect cannot be told."
        return Detectable(spreads, math.nan, math.nan, note, tasks, examples)
    notes = []
    if math.isnan(spreads.between_seeds):
        notes.append("One seed per case: the spread between seeds is not known.")
    elif spreads.between_seeds == 0:
        notes.append(
            "No case varies between its seeds: what a single case could show cannot be told."
        )
    if spreads.cases < 2:
        notes.append("One case: the spread between cases is not known.")
    noise = 0.0 if math.isnan(spreads.between_seeds) else spreads.between_seeds
    over = math.hypot(spreads.between_cases, noise / math.sqrt(spreads.seeds))
    return Detectable(
        spreads,
        detectable(spreads.between_seeds, int(spreads.seeds), examples=examples[0]),
        detectable(over, spreads.cases, examples=examples[1]),
        " ".join(notes),
        tasks,
        examples,
    )


def _of_task(errors: float | pd.Series, task: object) -> float:
    error = float(errors.get(task, 0.0)) if isinstance(errors, pd.Series) else errors
    return 0.0 if math.isnan(error) else error
