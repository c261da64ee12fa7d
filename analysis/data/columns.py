"""The column dictionary: name, type, unit and meaning of the columns of :func:`analysis.load`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.data import hard_columns, records, results

SWEEP = "sweep"
"""Column that tells several sweeps apart; there where more than one was asked for."""

INTEGERS = (*results.INTEGERS, *hard_columns.INTEGERS)
NUMBERS = (
    *(*results.FLOATS, *hard_columns.FLOATS),
    *("gain_over_empty", "gap_recovered", "gain_over_no_prompt"),
)
BOOLEANS = ("degenerate", "direct", *hard_columns.BOOLEANS)
JSON = (*records.JSON, "ids", "inputs")
UNITS = {
    **{name: "0 to 1" for name in NUMBERS if "score" in name},
    **dict.fromkeys(("gain_over_empty", "gain_over_no_prompt"), "-1 to 1"),
    **dict.fromkeys(("similarity",), "cosine"),
    **dict.fromkeys(("gap_recovered", "dictionary_share"), "share"),
    **dict.fromkeys(("loss", "log_perplexity"), "nats"),
    **dict.fromkeys(("n_test", "n_validation"), "examples"),
    **dict.fromkeys(("steps", "best_step"), "steps"),
    "alignment": "1 - cosine",
    "prompt_length": "vectors or tokens",
    "n_tokens": "tokens",
    "s": "words",
    "k": "words",
    "train_seconds": "seconds",
    "finished": "ISO 8601",
}
_DTYPES: dict[str, Any] = {
    "integer": "Int64",
    "number": "float64",
    "true/false": "boolean",
    "text": pd.StringDtype(na_value=np.nan),
    "JSON": pd.StringDtype(na_value=np.nan),
}


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: of the column.
        type: ``text``, ``number``, ``integer``, ``true/false`` or ``JSON``.
        unit: of its values; empty where there is none.
        meaning: in words.
    """

    name: str
    type: str
    unit: str
    meaning: str


def _type(name: str) -> str:
    kinds = {"integer": INTEGERS, "number": NUMBERS, "true/false": BOOLEANS, "JSON": JSON}
    return next((kind for kind, names in kinds.items() if name in names), "text")


DICTIONARY: dict[str, Column] = {
    name: Column(name, _type(name), UNITS.get(name, ""), meaning)
    for name, meaning in {
        **results.COLUMNS,
        SWEEP: "name of the sweep; only where several were loaded together",
    }.items()
}
"""Every column by name. A set of n sources has further columns ``source_3`` to ``source_n``."""


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """A table's columns in the types of the dictionary; further sources are text."""
    text = Column("", "text", "", "")
    return table.astype(
        {name: _DTYPES[DICTIONARY.get(str(name), text).type] for name in table.columns}
    )
