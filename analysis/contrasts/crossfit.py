"""The best candidate by validation, from all seeds and with each seed left out.

A candidate that is chosen and reported on the same seeds had its luck there twice. Choosing for
every seed on the others removes that: the mean of what is so chosen is free of the choice's bias,
as long as seeds are independent.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.contrasts.keys import codes_of, joint, numbered

ALL_SEEDS = -1
"""In place of a seed: chosen on all of them."""
_UNIT = ["task", "seed"]
# Means of equal scores may differ in the last bits with the order of summation.
_DECIMALS = 12


def complete(
    rows: pd.DataFrame, by: list[str], column: str, unit: Sequence[str] = _UNIT
) -> tuple[pd.Series, list[Any]]:
    """Mean of ``column`` for the groups that hold every (task, seed) found in ``rows``.

    Args:
        rows: rows to compare.
        by: columns that make a group.
        column: score to average, 0 to 1.
        unit: columns that tell the results of a group apart.

    Returns:
        Means by group, and the groups left out because a (task, seed) is missing.
    """
    rows = rows.dropna(subset=[column])
    wanted = len(rows.drop_duplicates(unit))
    counts = rows.drop_duplicates([*by, *unit]).groupby(by).size()
    means = rows.groupby(by)[column].mean()
    return means[counts == wanted], list(counts[counts != wanted].index)


def best_candidates(
    rows: pd.DataFrame,
    group: list[str],
    candidate: str,
    units: list[str],
    column: str,
    order: Callable[[Any], Any],
    allowed: Collection[Any] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Per group the candidate with the best mean, on all seeds and on all but each one.

    Only candidates with every unit and seed that any candidate of the group has are compared.

    Args:
        rows: results, one a group, candidate, unit and seed (else their mean is taken).
        group: columns within which one candidate is chosen.
        candidate: column that names the candidates.
        units: columns, beside the seed, that tell the results of a candidate apart.
        column: what is best when high; rows without it are missing.
        order: key by which ties go to the smallest candidate.
        allowed: candidates that may be chosen; None for all.

    Returns:
        Two tables. The choices: the columns of ``group``, seed (:data:`ALL_SEEDS`, then each seed
        that is left out, where there are two or more), ``candidate``, mean (of the seeds it was
        chosen on) and compared (tuple of the complete candidates). And ``group`` with each
        candidate left out as incomplete.
    """
    rows = rows.dropna(subset=[column])
    heads = [*group, "seed", candidate, "mean", "compared"]
    if rows.empty:
        return pd.DataFrame(columns=heads), pd.DataFrame(columns=[*group, candidate])
    by = [*group, candidate]
    rows = rows[rows[[*by, *units, "seed"]].notna().all(axis=1)]
    codes = {name: codes_of(rows, [name]) for name in (*by, *units, "seed")}
    place, both, cell, task, at_seed = (
        joint([codes[name] for name in names])
        for names in (group, by, [*by, *units, "seed"], [*group, *units, "seed"], ["seed"])
    )
    # First one number a group, candidate, unit and seed, then sums of these over the units.
    once, cell = numbered(cell)
    values = pd.Series(rows[column].to_numpy()).groupby(cell).mean().to_numpy()
    shape = (int(both.max()) + 1, int(at_seed.max()) + 1)
    code = both[once] * shape[1] + at_seed[once]
    total, count = np.zeros(shape), np.zeros(shape, dtype=np.int64)
    there, size_of = np.unique(code, return_counts=True)
    total.flat[there] = pd.Series(values).groupby(code).sum().to_numpy()
    count.flat[there] = size_of
    once, _ = numbered(task)
    heads_at, _ = numbered(place)
    code = place[once] * shape[1] + at_seed[once]
    wanted = np.bincount(code, minlength=len(heads_at) * shape[1]).reshape(-1, shape[1])
    names_at, _ = numbered(both)
    every = rows[by].take(names_at).reset_index(drop=True)
    place = place[names_at]
    may = (count == wanted[place]).all(axis=1)
    if allowed is not None:
        may &= every[candidate].isin(list(allowed)).to_numpy()
    lacking = every[~may].reset_index(drop=True)
    total, count, place, names = total[may], count[may], place[may], every[candidate][may].tolist()
    rank = {name: number for number, name in enumerate(sorted(set(names), key=order))}
    ranks = np.array([rank[name] for name in names], dtype=np.int64)
    compared: dict[int, tuple[Any, ...]] = {}
    for at, name in zip(place.tolist(), names, strict=True):
        compared[at] = (*compared.get(at, ()), name)
    seeds = np.array(sorted(rows["seed"].unique()))
    chosen: list[tuple[Any, ...]] = []
    for seed, kept in [(ALL_SEEDS, np.ones(len(seeds), bool))] + [
        (seed, np.arange(len(seeds)) != at) for at, seed in enumerate(seeds)
    ]:
        size = (count * kept).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (total * kept).sum(axis=1) / size
        known = np.flatnonzero(size > 0)
        best = known[np.lexsort((ranks[known], -mean[known].round(_DECIMALS), place[known]))]
        best = best[np.diff(place[best], prepend=-1) > 0]
        if seed != ALL_SEEDS:  # a seed that the group does not have has nothing to report
            best = best[wanted[place[best], kept.argmin()] > 0]
        chosen += [(at, seed, mean[at]) for at in best]
    at, seed_of, means = zip(*chosen, strict=True) if chosen else ((), (), ())
    found = every[may].take(list(at)).reset_index(drop=True)
    found = found.assign(seed=np.array(seed_of, dtype=np.int64), mean=np.array(means, dtype=float))
    found["compared"] = [compared[number] for number in place[list(at)].tolist()]
    return found[heads], lacking
