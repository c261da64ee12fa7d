"""The best candidate by validation, from all seeds and with each seed left out.

A candidate that is chosen and reported on the same seeds had its luck there twice. Choosing for
every seed on the others removes that: the mean of what is so chosen is free of the choice's bias,
as long as seeds are independent.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd

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
    values = rows.groupby([*by, *units, "seed"], sort=True)[column].mean()
    totals = values.groupby([*by, "seed"]).sum().unstack("seed", fill_value=0)
    counts = values.groupby([*by, "seed"]).size().unstack("seed", fill_value=0)
    once = rows.drop_duplicates([*group, *units, "seed"])
    wanted: Any = once.groupby([*group, "seed"]).size().unstack("seed", fill_value=0)
    outer: Any = totals.index
    place = wanted.index.get_indexer(outer.droplevel(candidate))
    full = (counts.to_numpy() == wanted.to_numpy()[place]).all(axis=1)
    names = totals.index.get_level_values(candidate)
    may = full if allowed is None else full & names.isin(list(allowed))
    lacking = totals.index[~may].to_frame(index=False)
    total, count, place, names = (
        totals.to_numpy()[may],
        counts.to_numpy()[may],
        place[may],
        names[may],
    )
    rank = {name: number for number, name in enumerate(sorted(set(names), key=order))}
    ranks = np.array([rank[name] for name in names], dtype=np.int64)
    compared = pd.Series(names).groupby(place).agg(tuple)
    keys = wanted.index.to_frame(index=False)
    seeds = list(wanted.columns)
    chosen = []
    for seed, kept in [(ALL_SEEDS, np.ones(len(seeds), bool))] + [
        (seed, np.arange(len(seeds)) != at) for at, seed in enumerate(seeds)
    ]:
        size = (count * kept).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (total * kept).sum(axis=1) / size
        known = np.flatnonzero(size > 0)
        table = pd.DataFrame({"place": place[known], "score": -mean[known].round(_DECIMALS),
                              "rank": ranks[known], "at": known})  # fmt: skip
        best = table.sort_values(["place", "score", "rank"]).drop_duplicates("place")
        if seed != ALL_SEEDS:  # a seed that the group does not have has nothing to report
            there = wanted[seed].to_numpy()[best["place"]] > 0
            best = best[there]
        at = best["at"].to_numpy()
        part = keys.iloc[best["place"].to_numpy()].assign(seed=seed)
        part[candidate], part["mean"] = names[at], mean[at]
        part["compared"] = compared.reindex(best["place"]).to_numpy()
        chosen.append(part)
    return pd.concat(chosen, ignore_index=True)[heads], lacking
