"""Which units a result belongs to: the models of its source set, its task, its target, its seed.

A factor is a column of the tidy table, or :data:`SOURCE`: the models of the column ``sources``,
of which a row has one or several. Two factors with a colon between them are their interaction.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

SOURCE = "source"
"""Factor of the single models that make a source set (column ``sources``, joined by ``+``)."""

Codes = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Membership:
    """Levels of a factor and the rows that belong to them.

    Attributes:
        row: row number of every entry, ascending.
        level: level number of every entry.
        share: part of its row that the entry is; the entries of a row sum to 1.
        names: name of every level.
        rows: number of rows.
    """

    row: Codes
    level: Codes
    share: Numbers
    names: tuple[str, ...]
    rows: int

    @property
    def single(self) -> bool:
        """Whether every row belongs to one level."""
        return len(self.row) == self.rows

    def matrix(self) -> Any:
        """The rows × levels matrix of shares, ``scipy.sparse.csr_array``."""
        from scipy.sparse import csr_array  # imported late: scipy costs as much as all the rest

        shape = (self.rows, len(self.names))
        return csr_array((self.share, (self.row, self.level)), shape=shape)


def column_of(factor: str) -> str:
    """The column of the tidy table that a factor is read from."""
    return "sources" if factor in (SOURCE, "pair") else factor


def membership(frame: pd.DataFrame, factor: str) -> Membership:
    """The levels of a factor, or of the interaction of several (``pair:task``).

    Args:
        factor: a column, :data:`SOURCE`, or several joined by ``:``; ``pair`` means ``sources``.

    Raises:
        KeyError: the table has no such column.
    """
    return reduce(_crossed, (_main(frame, name) for name in factor.split(":")))


def _main(frame: pd.DataFrame, name: str) -> Membership:
    if name == SOURCE:
        return _models(frame["sources"])
    codes, names = _levels(frame[column_of(name)])
    rows = np.arange(len(frame))
    return Membership(rows, codes, np.ones(len(frame)), tuple(names), len(frame))


def _levels(column: pd.Series) -> tuple[Codes, list[str]]:
    """Number of every row's value among the values as text, and these texts in their order."""
    codes, values = pd.factorize(column, use_na_sentinel=False)
    # A setting that a row does not have is a level of its own.
    texts = ["–" if pd.isna(value) else str(value) for value in values]
    names = sorted(set(texts))
    place = {name: number for number, name in enumerate(names)}
    return np.array([place[text] for text in texts], dtype=np.int64)[codes], names


def _models(column: pd.Series) -> Membership:
    codes, sets = _levels(column)
    members = [text.split("+") for text in sets]
    names = sorted({name for group in members for name in group})
    place = {name: number for number, name in enumerate(names)}
    sizes = np.array([len(group) for group in members], dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    flat = np.array([place[name] for group in members for name in group], dtype=np.int64)
    mine = sizes[codes]
    row = np.repeat(np.arange(len(column)), mine)
    within = np.arange(len(row)) - np.repeat(np.cumsum(mine) - mine, mine)
    level = flat[np.repeat(starts[codes], mine) + within]
    return Membership(row, level, 1.0 / np.repeat(mine, mine), tuple(names), len(column))


def _crossed(one: Membership, two: Membership) -> Membership:
    row, first, second = joined(one, two)
    code = one.level[first] * len(two.names) + two.level[second]
    codes, level = np.unique(code, return_inverse=True)
    names = tuple(
        f"{one.names[code // len(two.names)]} × {two.names[code % len(two.names)]}"
        for code in codes
    )
    return Membership(row, level, one.share[first] * two.share[second], names, one.rows)


def joined(one: Membership, two: Membership) -> tuple[Codes, Codes, Codes]:
    """Every pair of entries of the same row: the row, and the entry's number on either side."""
    if one.single:
        return two.row, two.row, np.arange(len(two.row))
    if two.single:
        return one.row, np.arange(len(one.row)), one.row
    count = np.bincount(two.row, minlength=two.rows)
    start = np.cumsum(count) - count
    times = count[one.row]
    first = np.repeat(np.arange(len(one.row)), times)
    within = np.arange(len(first)) - np.repeat(np.cumsum(times) - times, times)
    return one.row[first], first, start[one.row[first]] + within


def sets_of(members: Membership) -> Codes:
    """Per row, the number of its set of levels."""
    if members.single:
        return members.level
    starts = np.flatnonzero(np.diff(members.row, prepend=-1))
    # A set is told apart by two sums of irregular numbers, one per level.
    marks = np.random.default_rng(1).random((2, len(members.names)))
    sums = np.stack([np.add.reduceat(mark[members.level], starts) for mark in marks], axis=1)
    _, code = np.unique(sums.round(9), axis=0, return_inverse=True)
    return np.asarray(code, dtype=np.int64).reshape(-1)
