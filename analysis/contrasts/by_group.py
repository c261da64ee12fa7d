"""On which tasks (or source sets) there is an effect: tests by group that know of shared tunings.

Within a group, pairs of results are not independent: an independent tuning of a source stands in
every pair that holds this source, and all targets read the same tunings. A rank test over cases
takes them for independent and calls noise an effect in most sweeps. The test here is the t-test
that goes with :func:`analysis.stats.bootstrap.crossed_interval` of the group's rows, over new
models, tasks, targets and seeds; the unit that makes the groups stays fixed.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.stats.bootstrap import UNITS, crossed_interval
from analysis.stats.intervals import LEVEL
from analysis.stats.membership import SOURCE

ALPHA = 1 - LEVEL
"""Level of statements over all groups together, both directions."""
COLUMNS = ("mean", "low", "high", "error", "degrees", "n", "p", "up", "down", "holm", "note")
"""What :func:`group_effects` tells of a group."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Conjunction:
    """In how many groups an effect is there.

    Attributes:
        count: at least so many, at the level asked for.
        which: their places among the p-values, ascending.
        known: p-values that were not NaN.
        p: p-value of "in at least u groups", at place u - 1; length ``known``.
    """

    count: int
    which: tuple[int, ...]
    known: int
    p: Numbers


@dataclass(frozen=True)
class Replicated:
    """In which groups the mean is above 0 and in which below, both at one level together.

    Attributes:
        better: names of groups where it is above 0.
        worse: names of groups where it is below 0.
        known: groups that have a test.
        groups: groups.
    """

    better: tuple[str, ...]
    worse: tuple[str, ...]
    known: int
    groups: int


def group_effects(
    pairs: pd.DataFrame,
    by: Sequence[str],
    value: str = "difference",
    units: Sequence[str] = UNITS,
    error: Callable[[pd.DataFrame], float] | None = None,
) -> pd.DataFrame:
    """Mean, interval and tests of every group.

    Args:
        pairs: tidy table, e.g. of :func:`analysis.contrasts.effects.paired`.
        by: columns that make a group, e.g. ``["task"]`` or ``["sources"]``.
        value: column tested against 0.
        units: what an interval within a group is over; those in ``by`` are left out.
        error: standard error of a group's mean from the drawing of test examples alone, where it
            is known.

    Returns:
        The columns of ``by``, then those of :data:`COLUMNS`: mean, low, high and error (standard
        error) in units of ``value``; degrees of freedom; n (rows); p (two-sided), up and down
        (one-sided: above 0, below 0), holm (p by Holm over the groups). All tests are NaN where
        nothing varies or only one unit is there, and such groups do not count in Holm.
    """
    fixed = {SOURCE if name == "sources" else name for name in by}
    free = [name for name in units if name not in fixed]
    lines = []
    for key, part in pairs.groupby(list(by), sort=True, observed=True):
        drawn = error(part) if error else 0.0
        effect = crossed_interval(part, value, free, replicates=0, examples=drawn)
        tests = [effect.p_value(), effect.p_value(1), effect.p_value(-1)]
        numbers = [effect.mean, effect.low, effect.high, effect.error, effect.degrees, effect.n]
        lines.append([*key, *numbers, *tests, math.nan, effect.note])
    table = pd.DataFrame(lines, columns=[*by, *COLUMNS])
    table["holm"] = holm(table["p"].to_numpy(dtype=np.float64))
    return table


def holm(p: Numbers) -> Numbers:
    """Holm's step-down correction of p-values; NaN stays NaN and does not count.

    As ``statsmodels.stats.multitest.multipletests``, whose call to the garbage collector is slow.
    """
    p = np.asarray(p, dtype=np.float64)
    adjusted = np.full(len(p), np.nan)
    adjusted[_ascending(p)] = _stepped(p)
    return adjusted


def partial_conjunction(p: Numbers, alpha: float = ALPHA) -> Conjunction:
    """In at least how many groups there is an effect (Dror et al. 2017, Benjamini & Heller 2008).

    "At least u of n" has p(u/n) = (n - u + 1) · p₍ᵤ₎ (the Bonferroni form, which needs no
    independence), made monotone in u. The u smallest p-values, rejected by Holm's procedure, name
    the groups. Number and names together are wrong in at most ``alpha`` of cases.

    Args:
        p: one p-value a group; NaN (no test) cannot count as an effect.
    """
    p = np.asarray(p, dtype=np.float64)
    order, each = _ascending(p), _stepped(p)
    count = int((each <= alpha).sum())
    which = sorted(int(place) for place in order[:count])
    return Conjunction(count, tuple(which), len(each), each)


def _ascending(p: Numbers) -> npt.NDArray[np.int64]:
    """Places of the p-values that are known, the smallest first."""
    known = np.flatnonzero(~np.isnan(p))
    return known[np.argsort(p[known], kind="stable")]


def _stepped(p: Numbers) -> Numbers:
    """(n - u + 1) p₍ᵤ₎ made monotone, for u = 1 … n."""
    rising = p[_ascending(p)]
    stepped: Numbers = np.minimum(
        np.maximum.accumulate(rising * np.arange(len(rising), 0, -1)), 1.0
    )
    return stepped


def replicated(table: pd.DataFrame, name: str) -> Replicated:
    """Where the mean is above and where it is below 0, by :func:`partial_conjunction`.

    Each direction is tested one-sided at half of :data:`ALPHA`, which bounds the chance of any
    false name.

    Args:
        table: of :func:`group_effects`.
    """
    up, down = (
        partial_conjunction(table[side].to_numpy(dtype=np.float64), ALPHA / 2)
        for side in ("up", "down")
    )
    names = [str(text) for text in table[name]]
    return Replicated(
        tuple(names[place] for place in up.which),
        tuple(names[place] for place in down.which),
        up.known,
        len(table),
    )


def replicated_sentence(item: Replicated) -> str:
    """On how many tasks there is an effect, in a sentence or two."""
    if not item.known:
        return "On how many tasks there is an effect cannot be told: none has a spread to test."
    texts = []
    for which, verb in ((item.better, "improves"), (item.worse, "worsens")):
        if which:
            listed = ", ".join(which)
            texts.append(f"it {verb} on at least {len(which)} of {item.groups} tasks ({listed})")
    told = " and ".join(texts) if texts else f"an effect on no single one of {item.groups} tasks"
    verb = "" if texts else " can be shown"
    text = f"At {100 * LEVEL:.0f} % confidence {told}{verb}"
    missing = item.groups - item.known
    return f"{text}; {missing} had no spread to test." if missing else f"{text}."
