"""The best candidate by validation, from all seeds and with each seed left out.

A candidate that is chosen and reported on the same seeds had its luck there twice. Choosing for
every seed on the others removes that: the mean of what is so chosen is free of the choice's bias,
as long as seeds are independent.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.contrasts.keys import Codes, codes_of, joint, numbered

ALL_SEEDS = -1
"""In place of a seed: chosen on all of them."""
_UNIT = ["task", "seed"]
# Means of equal scores may differ in the last bits with the order of summation.
_DECIMALS = 12


def complete(rows: pd.DataFrame, by: list[str], column: str) -> tuple[pd.Series, list[Any]]:
    """Mean of ``column`` for the groups that hold every (task, seed) found in ``rows``.

    Args:
        by: columns that make a group.
        column: score to average, 0 to 1.

    Returns:
        Means by group, and the groups left out because a (task, seed) is missing.
    """
    rows = rows.dropna(subset=[column])
    wanted = len(rows.drop_duplicates(_UNIT))
    counts = rows.drop_duplicates([*by, *_UNIT]).groupby(by).size()
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
    by, heads = [*group, candidate], [*group, "seed", candidate, "mean", "compared"]
    if rows.empty:
        return pd.DataFrame(columns=heads), pd.DataFrame(columns=by)
    sums = _Sums.of(rows, group, candidate, units, column)
    every = sums.names
    may = (sums.count == sums.wanted[sums.group]).all(axis=1)
    if allowed is not None:
        may &= every[candidate].isin(list(allowed)).to_numpy()
    names = every[candidate][may].tolist()
    rank = {name: number for number, name in enumerate(sorted(set(names), key=order))}
    place = sums.group[may]
    best, seeds, means = sums.best(may, np.array([rank[name] for name in names], dtype=np.int64))
    compared: dict[int, tuple[Any, ...]] = {}
    for at, name in zip(place.tolist(), names, strict=True):
        compared[at] = (*compared.get(at, ()), name)
    choices = every[may].take(best).reset_index(drop=True).assign(seed=seeds, mean=means)
    choices["compared"] = [compared[at] for at in place[best].tolist()]
    return choices[heads], every[~may].reset_index(drop=True)


@dataclass(frozen=True)
class _Sums:
    """Results of C candidates by S seeds, summed over their units.

    Attributes:
        names: the candidates, one a line: their group and name.
        group: number of each candidate's group [C].
        seeds: the seeds [S].
        total: sum of one number a unit [C, S].
        count: units in it [C, S].
        wanted: units that any candidate of a group has [groups, S].
    """

    names: pd.DataFrame
    group: Codes
    seeds: Codes
    total: npt.NDArray[np.float64]
    count: Codes
    wanted: Codes

    @classmethod
    def of(
        cls, rows: pd.DataFrame, group: list[str], candidate: str, units: list[str], column: str
    ) -> "_Sums":
        by = [*group, candidate]
        rows = rows[rows[[*by, *units, "seed"]].notna().all(axis=1)]
        codes = {name: codes_of(rows, [name]) for name in (*by, *units, "seed")}
        place, both, cell, task, seed = (
            joint([codes[name] for name in names])
            for names in (group, by, [*by, *units, "seed"], [*group, *units, "seed"], ["seed"])
        )
        # First one number a group, candidate, unit and seed, then sums of these over the units.
        once, cell = numbered(cell)
        values = pd.Series(rows[column].to_numpy()).groupby(cell).mean().to_numpy()
        shape = (int(both.max()) + 1, int(seed.max()) + 1)
        code = both[once] * shape[1] + seed[once]
        total, count = np.zeros(shape), np.zeros(shape, dtype=np.int64)
        there, count_of = np.unique(code, return_counts=True)
        total.flat[there] = pd.Series(values).groupby(code).sum().to_numpy()
        count.flat[there] = count_of
        once, _ = numbered(task)
        wanted = np.bincount(
            place[once] * shape[1] + seed[once], minlength=(int(place.max()) + 1) * shape[1]
        )
        first, _ = numbered(both)
        names = rows[by].take(first).reset_index(drop=True)
        seeds = np.array(sorted(rows["seed"].unique()))
        return cls(names, place[first], seeds, total, count, wanted.reshape(-1, shape[1]))

    def best(
        self, may: npt.NDArray[np.bool_], ranks: Codes
    ) -> tuple[list[int], Codes, npt.NDArray[np.float64]]:
        """Per group the best of those that ``may`` be chosen, on all seeds and on all but each.

        Args:
            may: which candidates [C].
            ranks: by which ties go to the smallest, of those that may.

        Returns:
            The best candidates, by their place among those that may; the seed that was left out
            (:data:`ALL_SEEDS` for none); the mean they were chosen by.
        """
        total, count, place = self.total[may], self.count[may], self.group[may]
        chosen: list[tuple[int, int, float]] = []
        for at, seed in enumerate([ALL_SEEDS, *self.seeds], -1):
            kept = np.arange(len(self.seeds)) != at
            size = (count * kept).sum(axis=1)
            with np.errstate(invalid="ignore", divide="ignore"):
                mean = (total * kept).sum(axis=1) / size
            known = np.flatnonzero(size > 0)
            best = known[np.lexsort((ranks[known], -mean[known].round(_DECIMALS), place[known]))]
            best = best[np.diff(place[best], prepend=-1) > 0]
            if seed != ALL_SEEDS:  # a seed that the group does not have has nothing to report
                best = best[self.wanted[place[best], at] > 0]
            chosen += [(one, seed, mean[one]) for one in best.tolist()]
        places, seeds, means = zip(*chosen, strict=True) if chosen else ((), (), ())
        return list(places), np.array(seeds, dtype=np.int64), np.array(means, dtype=np.float64)
