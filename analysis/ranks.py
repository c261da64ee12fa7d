"""Mean ranks of several rows over blocks: Friedman's test and Nemenyi's critical difference.

Ranks alone: sizes of differences do not enter (Demšar 2006).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

LEAST_BLOCKS = 5
"""Blocks below which no diagram is drawn."""
ALPHA = 0.05


@dataclass(frozen=True)
class Ranking:
    """Mean ranks, the best (highest score) first.

    Attributes:
        ranks: mean rank by row; 1 is best; empty where nothing can be ranked.
        blocks: complete blocks.
        p: of Friedman's test; NaN where it cannot be told.
        critical: Nemenyi's critical difference of mean ranks at 0.05.
        note: sentence on why there is no ranking; empty if there is.
    """

    ranks: pd.Series
    blocks: int
    p: float
    critical: float
    note: str


def ranking(frame: pd.DataFrame, of: str, blocks: list[str], value: str = "score") -> Ranking:
    """Ranks the values of column ``of`` within every complete block.

    Args:
        frame: tidy table; several rows of a block and row are averaged.
        of: column whose values are compared.
        blocks: columns that make a block.
        value: column ranked by, higher is better.
    """
    empty = pd.Series(dtype="float64")
    table = frame.groupby([*blocks, of], observed=True)[value].mean().unstack(of).dropna()
    n, k = table.shape
    if k < 3:
        return Ranking(empty, n, math.nan, math.nan, "A ranking needs at least three rows.")
    if n < LEAST_BLOCKS:
        note = f"{n} complete blocks are too few for a ranking; it takes {LEAST_BLOCKS}."
        return Ranking(empty, n, math.nan, math.nan, note)
    # Equal but for the order of summation is equal.
    each = table.round(12).rank(axis=1, ascending=False)
    ranks = each.mean().sort_values(kind="stable")
    return Ranking(ranks, n, _friedman(each), critical_difference(k, n), "")


def critical_difference(rows: int, blocks: int, alpha: float = ALPHA) -> float:
    """Nemenyi's q · √(k(k+1) / 6N), with q the studentized range at infinity over √2."""
    return _studentized(rows, alpha) / math.sqrt(2) * math.sqrt(rows * (rows + 1) / (6 * blocks))


@lru_cache
def _studentized(rows: int, alpha: float) -> float:
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1 - alpha, rows, math.inf))


def _friedman(each: pd.DataFrame) -> float:
    """The p-value by the χ² approximation, corrected for ties; NaN where all rows tie."""
    from scipy.special import chdtrc

    n, k = each.shape
    ties = sum(
        float((counts**3 - counts).sum())
        for line in each.to_numpy()
        for counts in [np.unique(line, return_counts=True)[1]]
    )
    correction = 1 - ties / (n * k * (k * k - 1))
    if correction <= 0:
        return math.nan
    total = float((each.sum() ** 2).sum())
    statistic = (12 / (n * k * (k + 1)) * total - 3 * n * (k + 1)) / correction
    return float(chdtrc(k - 1, statistic))
