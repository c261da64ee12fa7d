"""How well an order of source sets fits their gains, block by block.

A block is what is to be ordered: the source sets of one sweep, method, target and task.
Shapes: n rows.
"""

import math

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

LEAST_VARIATION = 1e-9
"""Spread below which values count as equal."""


def within_blocks(predicted: Numbers, gain: Numbers, blocks: Indices) -> tuple[float, int]:
    """Mean over blocks of Spearman's ρ, and the number of blocks where it is defined.

    A block in which all predictions are equal counts as 0: no order is no skill. One with fewer
    than two predicted rows or equal gains throughout is left out.
    """
    found = []
    for rows in block_rows(blocks):
        rows = rows[~np.isnan(predicted[rows])]
        if len(rows) < 2 or np.ptp(gain[rows]) <= LEAST_VARIATION:
            continue
        value = spearman(predicted[rows], gain[rows])
        found.append(0.0 if math.isnan(value) else value)
    return (float(np.mean(found)) if found else math.nan), len(found)


def regret(order: Numbers | None, gain: Numbers, blocks: Indices) -> float:
    """Mean over blocks of the best gain minus that of the row that ``order`` puts first.

    Between equals the mean of their gains counts. Blocks that are not wholly ordered are left out.
    """
    if order is None:
        return math.nan
    lost = [
        gain[rows].max() - gain[rows][order[rows] >= order[rows].max() - 1e-12].mean()
        for rows in block_rows(blocks)
        if len(rows) > 1 and not np.isnan(order[rows]).any()
    ]
    return float(np.mean(lost)) if lost else math.nan


def random_regret(gain: Numbers, blocks: Indices) -> float:
    """Regret of a source set at random: mean over blocks of the best minus the mean gain."""
    lost = [gain[rows].max() - gain[rows].mean() for rows in block_rows(blocks) if len(rows) > 1]
    return float(np.mean(lost)) if lost else math.nan


def block_rows(blocks: Indices) -> list[Indices]:
    """Rows of each block, in the order of the blocks' numbers [n]."""
    order = np.argsort(blocks, kind="stable")
    ends = np.flatnonzero(np.diff(blocks[order])) + 1
    return list(np.split(order, ends)) if len(order) else []


def midranks(values: Numbers) -> Numbers:
    """Ranks from 1; equal values share the mean of theirs."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Numbers = (np.cumsum(sizes) - (sizes - 1) / 2)[group]
    return ranks


def spearman(x: Numbers, y: Numbers) -> float:
    """Spearman's ρ, midranks for ties; NaN where a side does not vary."""
    if len(x) < 2:
        return math.nan
    a, b = midranks(x), midranks(y)
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else math.nan


def r_squared(predicted: Numbers, truth: Numbers) -> float:
    """1 - squared error over that of the mean of ``truth``; NaN where that does not vary."""
    spread = float(((truth - truth.mean()) ** 2).sum()) if len(truth) else 0.0
    if spread <= 0:
        return math.nan
    return 1 - float(((predicted - truth) ** 2).sum()) / spread
