"""How well an order of source sets fits their gains, block by block.

A block is what is to be ordered: the source sets of one method, target and task.
Shapes: n rows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

LEAST_VARIATION = 1e-9
"""Spread up to which values count as equal."""


def unit_ranks(values: Any, present: Any = None) -> Numbers:
    """Midranks along the last axis, centred and of length 1: ρ is the product of two such rows.

    Args:
        values: [..., n].
        present: which of them are ranked, an array of booleans that fits ``values``; all if None.

    Returns:
        [..., n]; 0 where a value is not ranked, and in rows that do not vary.
    """
    from scipy.stats import rankdata  # imported late: scipy costs as much as all the rest

    numbers = np.asarray(values, dtype=np.float64)
    here = (
        np.ones(numbers.shape, dtype=bool) if present is None else np.asarray(present, dtype=bool)
    )
    here = np.broadcast_to(here, numbers.shape)
    # Those left out are put last, where they move the rank of nothing else.
    ranks = rankdata(np.where(here, numbers, np.inf), axis=-1)
    count = np.maximum(here.sum(-1, keepdims=True), 1)
    centred = np.where(here, ranks - (count + 1) / 2, 0.0)
    length = np.sqrt((centred * centred).sum(-1, keepdims=True))
    scaled: Numbers = centred / np.where(length > LEAST_VARIATION, length, 1.0)
    return scaled


def within_blocks(order: Numbers, gain: Numbers, blocks: Indices) -> tuple[float, int]:
    """Mean over blocks of Spearman's ρ, and the number of blocks where it is defined.

    Rows without an order (NaN) are left out. So is a block that then has fewer than two rows or
    equal gains throughout; one in which nothing is ordered counts as 0.
    """
    rhos = []
    for rows in block_rows(blocks):
        rows = rows[~np.isnan(order[rows])]
        if len(rows) > 1 and np.ptp(gain[rows]) > LEAST_VARIATION:
            rhos.append(float(unit_ranks(order[rows]) @ unit_ranks(gain[rows])))
    return (float(np.mean(rhos)) if rhos else math.nan), len(rhos)


def regret(order: Numbers, gain: Numbers, blocks: Indices) -> float:
    """Mean over blocks of the best gain minus that of the row that ``order`` puts first.

    Between equals the mean of their gains counts. Blocks of one row, or that are not wholly
    ordered, are left out.
    """
    lost = [
        gain[rows].max() - gain[rows][order[rows] >= order[rows].max() - 1e-12].mean()
        for rows in block_rows(blocks)
        if len(rows) > 1 and not np.isnan(order[rows]).any()
    ]
    return float(np.mean(lost)) if lost else math.nan


def block_rows(blocks: Indices) -> list[Indices]:
    """Rows of each block, in the order of the blocks' numbers [n]."""
    order = np.argsort(blocks, kind="stable")
    ends = np.flatnonzero(np.diff(blocks[order])) + 1
    return list(np.split(order, ends)) if len(order) else []


def orderable(gains: Numbers) -> npt.NDArray[np.bool_]:
    """Which blocks have two gains or more that are not all equal.

    Args:
        gains: [..., S]; NaN where there is none.
    """
    here = ~np.isnan(gains)
    highest = np.where(here, gains, -np.inf).max(-1, initial=-np.inf)
    spread = highest - np.where(here, gains, np.inf).min(-1, initial=np.inf)
    several: npt.NDArray[np.bool_] = (here.sum(-1) > 1) & (spread > LEAST_VARIATION)
    return several


@dataclass(frozen=True)
class Alike:
    """Blocks of one target in which the same source sets have gains.

    Attributes:
        target: number of the target.
        sets: numbers of the source sets [n].
        ranks: :func:`unit_ranks` of the gains [b, n], one row a block.
    """

    target: int
    sets: Indices
    ranks: Numbers


def alike_blocks(gains: Numbers, scored: npt.NDArray[np.bool_]) -> list[Alike]:
    """The scored blocks of gains [T targets, K tasks, S sets], by target and sets."""
    by_sets: dict[tuple[int, bytes], list[Numbers]] = {}
    for target, task in np.argwhere(scored):
        row = gains[target, task]
        by_sets.setdefault((int(target), np.isnan(row).tobytes()), []).append(row)
    return [
        Alike(target, np.flatnonzero(here), unit_ranks(rows[:, here]))
        for (target, _), rows in ((key, np.array(rows)) for key, rows in by_sets.items())
        for here in [~np.isnan(rows[0])]
    ]


def feature_rho(values: Numbers, parts: Sequence[Alike], orders: Indices) -> Numbers:
    """Mean over blocks of ρ between gains and a feature, when source sets are exchanged.

    Args:
        values: the feature on every target and of every source set [T, S].
        parts: the blocks, one at least.
        orders: permutations of the source sets [P, S]: set s is given the value of ``orders[p, s]``
            on the same target.

    Returns:
        [P].
    """
    total = np.zeros(len(orders))
    for part in parts:
        moved = unit_ranks(values[part.target][orders[:, part.sets]])
        total += (moved @ part.ranks.T).sum(1)
    mean: Numbers = total / sum(len(part.ranks) for part in parts)
    return mean


_AT_ONCE = 1_000_000
"""Numbers worked on at once."""


def with_past(gains: Numbers) -> Numbers:
    """Gains [L, U, S] of sets that have gains in two units of the lane or more, NaN elsewhere."""
    kept: Numbers = np.where((~np.isnan(gains)).sum(1, keepdims=True) > 1, gains, math.nan)
    return kept


def past_rho(gains: Numbers, orders: Indices) -> Numbers:
    """Mean over blocks of ρ between gains and the same set's mean gain in the lane's other units.

    Args:
        gains: as in :func:`past_rhos`; in one block at least something can be ordered.
        orders: likewise.

    Returns:
        [P].
    """
    scored = orderable(gains)
    mean: Numbers = past_rhos(gains, orders)[:, scored].mean(1)
    return mean


def past_rhos(gains: Numbers, orders: Indices) -> Numbers:
    """ρ between gains and the same set's mean gain in the lane's other units, block by block.

    A lane is a target and a unit a task (or the other way round); a block is a unit of a lane.

    Args:
        gains: of :func:`with_past` [L lanes, U units, S sets], relative to their block.
        orders: permutations of the sets in every unit [P, U, S]: set s is given the gains of
            ``orders[p, u, s]`` in all lanes of unit u. They must map the sets with gains in a block
            onto themselves.

    Returns:
        [P, L, U]; 0 where nothing can be ordered.
    """
    here = ~np.isnan(gains)
    filled, ranks = np.where(here, gains, 0.0), unit_ranks(gains, here)
    others = np.maximum(here.sum(1, keepdims=True) - 1, 1)
    rhos = np.empty((len(orders), *gains.shape[:2]))
    step = max(1, _AT_ONCE // gains.size)
    for start in range(0, len(orders), step):
        moves = orders[start : start + step, None]
        moved = np.take_along_axis(filled[None], moves, axis=-1)
        past = (moved.sum(2, keepdims=True) - moved) / others
        moved = np.take_along_axis(ranks[None], moves, axis=-1)
        rhos[start : start + step] = (unit_ranks(past, here) * moved).sum(-1)
    return rhos
