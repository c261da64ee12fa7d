"""Shapley (LMG) shares of R²: a check of the variance shares that assumes no random effects."""

from itertools import combinations, pairwise
from math import factorial

import numpy as np
import pandas as pd

from analysis.stats.membership import column_of, membership
from analysis.stats.variance import MAINS

_MOST = 9
REST = "interactions and noise"


def shapley_shares(
    frame: pd.DataFrame, value: str, factors: tuple[str, ...] = MAINS
) -> pd.DataFrame:
    """Share of every main factor in R², averaged over all orders (Lindeman, Merenda, Gold).

    R² of a set of factors is that of least squares on their indicators (for sources: shares of the
    models), so that factors may overlap or nest and the design may have holes.

    Args:
        frame: tidy table; rows with a NaN in ``value`` are left out.
        value: column explained.
        factors: as far as the table has them and they vary; at most nine.

    Returns:
        Columns term and share; last :data:`REST`. Empty where the value does not vary.
    """
    frame = frame[frame[value].notna()]
    y = frame[value].to_numpy(dtype=np.float64)
    y = y - y.mean() if len(y) else y
    total = float(y @ y)
    if total <= 1e-12 * max(len(y), 1):
        return pd.DataFrame({"term": [], "share": []})
    members = {name: membership(frame, name) for name in factors if column_of(name) in frame}
    members = {name: item for name, item in members.items() if len(item.names) > 1}
    names = list(members)[:_MOST]
    blocks = [members[name].matrix() for name in names]
    if not blocks:
        return pd.DataFrame({"term": [REST], "share": [1.0]})
    gram, side, places = _normal(blocks, y)
    fit: dict[frozenset[int], float] = {frozenset(): 0.0}
    for size in range(1, len(names) + 1):
        for chosen in combinations(range(len(names)), size):
            index = np.concatenate([places[place] for place in chosen])
            # lstsq, as indicators of two factors always share the constant.
            solution = np.linalg.lstsq(gram[np.ix_(index, index)], side[index], rcond=1e-10)[0]
            fit[frozenset(chosen)] = float(solution @ side[index]) / total
    shares = [_value(place, len(names), fit) for place in range(len(names))]
    rest = 1 - fit[frozenset(range(len(names)))]
    return pd.DataFrame({"term": [*names, REST], "share": [*shares, rest]})


def _normal(blocks: list[object], y: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Normal equations of all indicators, centred; and the place of every block in them."""
    from scipy.sparse import hstack

    wide = hstack(blocks).tocsr()
    means = np.asarray(wide.mean(axis=0)).ravel()
    gram = (wide.T @ wide).toarray() - wide.shape[0] * np.outer(means, means)
    ends = np.cumsum([0, *(block.shape[1] for block in blocks)])  # type: ignore[attr-defined]
    places = [np.arange(start, end) for start, end in pairwise(ends)]
    return gram, wide.T @ y, places


def _value(player: int, count: int, fit: dict[frozenset[int], float]) -> float:
    others = [place for place in range(count) if place != player]
    total = 0.0
    for size in range(count):
        weight = factorial(size) * factorial(count - size - 1) / factorial(count)
        for before in combinations(others, size):
            total += weight * (fit[frozenset((*before, player))] - fit[frozenset(before)])
    return total
