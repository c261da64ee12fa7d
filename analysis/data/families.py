"""Soft and hard prompts of one sweep, taken apart: no table or mean ever holds both.

Soft prompts are vectors that a solver carries over; hard prompts are tokens, carried over as text.
Whatever reads a frame asks :func:`of_family` first; reference rows belong to both.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from trainables.core.registries import METHODS

SOFT, HARD = "soft", "hard"


def family_of(cell: Mapping[str, Any], result: Mapping[str, Any]) -> str | None:
    """Family of a record's cell: its method's; None for references.

    A method that names none, or that this program does not know, is hard where its result holds
    token ids.
    """
    if cell["kind"] == "reference":
        return None
    named = getattr(METHODS.get(str(cell.get("method"))), "family", None)
    return str(named) if named else HARD if "ids" in result else SOFT


def of_family(frame: pd.DataFrame, family: str) -> pd.DataFrame:
    """The rows of one family and the references, numbered anew.

    Args:
        frame: table of :func:`analysis.load`.
        family: :data:`SOFT` or :data:`HARD`.
    """
    kept = (frame["family"] == family) | (frame["kind"] == "reference")
    return frame[kept].reset_index(drop=True)


def has(frame: pd.DataFrame, family: str) -> bool:
    """Whether a table holds a prompt of that family."""
    return bool((frame["family"] == family).any())
