"""Rows with equal values in several columns, found by numbers.

pandas joins and groups by several columns of text in some ten milliseconds even in a table of a few
rows, and a report does so a thousand times.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

Codes = npt.NDArray[np.int64]


def codes_of(frame: pd.DataFrame, names: Sequence[str]) -> Codes:
    """Per row the number of its values, in the order of the values; one missing is the last."""
    columns = [pd.factorize(frame[name], sort=True, use_na_sentinel=False)[0] for name in names]
    return joint(columns)


def joint(columns: Sequence[Codes]) -> Codes:
    """Per row the number of its combination of numbers, in their order."""
    code = columns[0].astype(np.int64)
    for mine in columns[1:]:
        code = numbered(code * (int(mine.max(initial=0)) + 1) + mine)[1]
    return code


def numbered(code: Codes) -> tuple[Codes, Codes]:
    """First row of every number, and the rows numbered anew without gaps, in the same order."""
    _, first, dense = np.unique(code, return_index=True, return_inverse=True)
    return first, dense.reshape(-1)


def places(rows: pd.DataFrame, among: pd.DataFrame, on: Sequence[str]) -> Codes:
    """Per row, which line of ``among`` has the same values in ``on``: the first one, -1 for none.

    A missing value equals a missing value.
    """
    both = pd.concat([among[list(on)], rows[list(on)]], ignore_index=True)
    first, code = numbered(codes_of(both, on))
    line: Codes = first[code[len(among) :]]
    return np.where(line < len(among), line, -1)
