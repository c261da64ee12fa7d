"""Mean ranks of several rows over blocks: Friedman's test and Nemenyi's critical difference.

Ranks alone: sizes of differences do not enter (Demšar 2006). Both tests need independent blocks:
tasks, each averaged over its targets, source sets and seeds first. Blocks of task × target share
tunings and gave false differences in 27 to 55 % of sweeps with several targets.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

LEAST_BLOCKS = 5
"""Blocks below which there is no test and no diagram: the ranks describe, no more."""
ALPHA = 0.05


@dataclass(frozen=True)
class Ranking:
    """Mean ranks, the best (highest score) first.

    Attributes:
        ranks: mean rank by row; 1 is best; empty where nothing can be ranked.
        blocks: complete blocks.
        p: of Friedman's test; NaN where it cannot be told.
        critical: Nemenyi's critical difference of mean ranks at 0.05; NaN without a test.
        note: sentence on why there is no ranking or no test; empty if there is.
    """

    ranks: pd.Series
    blocks: int
    p: float
    critical: float
    note: str


def ranking(frame: pd.DataFrame, of: str, blocks: Sequence[str]) -> Ranking:
    """Ranks the values of column ``of`` by score, higher is better, within every complete block.

    Targets weigh equally within a block; only those count for which the block has every row, so
    that no row is averaged over easier ones.

    Args:
        frame: tidy table; several rows of a block and row are averaged.
        of: column whose values are compared.
        blocks: columns that make a block; blocks have to be independent of each other.
    """
    inner = [name for name in ("target",) if name in frame and name not in blocks]
    known = frame[frame["score"].notna()]
    parts = known.groupby([*blocks, *inner, of], observed=True)["score"].mean().unstack(of).dropna()
    table = parts.groupby(list(blocks), observed=True).mean() if inner else parts
    n, k = table.shape
    if k < 3 or not n:
        empty = pd.Series(dtype="float64")
        why = "A ranking needs at least three rows." if k < 3 else "No block has all rows."
        return Ranking(empty, n, math.nan, math.nan, why)
    # Equal but for the order of summation is equal.
    each = table.round(12).rank(axis=1, ascending=False)
    ranks = each.mean().sort_values(kind="stable")
    if n < LEAST_BLOCKS:
        note = (
            f"{n} complete blocks are too few for a test; it takes {LEAST_BLOCKS}. Mean ranks only "
            "describe them."
        )
        return Ranking(ranks, n, math.nan, math.nan, note)
    return Ranking(ranks, n, _friedman(each), critical_difference(k, n), "")


def critical_difference(rows: int, blocks: int) -> float:
    """Nemenyi's q · √(k(k+1) / 6N), with q the studentized range at infinity over √2."""
    return _studentized(rows) / math.sqrt(2) * math.sqrt(rows * (rows + 1) / (6 * blocks))


@lru_cache
def _studentized(rows: int) -> float:
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1 - ALPHA, rows, math.inf))


def _friedman(each: pd.DataFrame) -> float:
    """The p-value by the χ² approximation, corrected for ties; NaN where all rows tie."""
    from scipy.stats import friedmanchisquare

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all tied: 0 / 0
        return float(friedmanchisquare(*each.to_numpy().T).pvalue)
