"""How much a headline number rests on one model or one task: it is computed anew without each."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.contrasts.effects import PAIRS, Pairs, case_means, narrow
from analysis.contrasts.verdict import QUESTIONS
from analysis.data.combinations import HARD, SOFT

ROWS: Mapping[str, Mapping[str, str]] = {
    SOFT: {"Ours": "ours", "Baseline": "baseline", "Single": "single"},
    HARD: {"agreement": "agreement", "all words": "all"},
}
"""By family, the rows whose gain over Empty is a headline number, by their name."""
_CHOSEN_APART = {SOFT}
"""Families that choose for each target and source set: no other model has a say in it."""


def family_numbers(
    frame: pd.DataFrame, family: str = SOFT, by: str = "pair", ways: Pairs | None = None
) -> dict[str, float]:
    """Headline numbers of a family, in points; what Ours stands at is chosen anew on validation.

    Args:
        frame: rows of one combination of settings, or a part of them.
        family: key of :data:`ROWS`.
        by: by what λ is chosen, see :func:`analysis.contrasts.selection.choose`.
        ways: the pairs of ``frame``, where they are known.

    Returns:
        The difference that the family's question asks for, ``cases up, %``, and the gain over
        Empty of each of :data:`ROWS`; those that the rows allow.
    """
    pairs = (ways or PAIRS[family](frame, by, among=False)).asked
    moved = frame[(frame["kind"] == "transfer") & (frame["family"] == family)]
    numbers = {}
    if len(pairs):
        means = case_means(pairs)["difference"]
        numbers[QUESTIONS[family].name] = float(pairs["difference"].mean())
        numbers["cases up, %"] = 100 * float((means > 0).mean())
    for name, row in ROWS[family].items():
        part = moved[moved["row"] == row]
        if row == QUESTIONS[family].row and len(pairs):
            part = part[part["cell"].isin(pairs["cell"])]
        mean = part["gain_over_empty"].mean()
        if mean == mean:
            numbers[f"{name} − Empty"] = 100 * float(mean)
    return numbers


def leave_one_out(
    frame: pd.DataFrame, family: str = SOFT, by: str = "pair", ways: Pairs | None = None
) -> pd.DataFrame:
    """Every headline number without each source model, each target and each task.

    Without a model: without all rows that were tuned on it or carried to it.

    Args:
        frame: table of :func:`analysis.load`.
        family: as for :func:`family_numbers`, like ``by`` and ``ways``.
        ways: the pairs of ``frame``, where they are known.

    Returns:
        Columns number, left_out (``model`` or ``task``), name, value (without it; NaN where nothing
        is left), all (with everything), change, and flips (the sign changes).
    """
    frame = narrow(frame)
    ways = ways or PAIRS[family](frame, by, among=False)
    whole = family_numbers(frame, family, by, ways)
    lines = []

    def add(kind: str, name: str, part: pd.DataFrame, left: Pairs | None = None) -> None:
        rest = family_numbers(part, family, by, left)
        for number, full in whole.items():
            value = rest.get(number, float("nan"))
            lines.append((number, kind, name, value, full, value - full, value * full < 0))

    for name in _models(frame):
        left = None
        if family in _CHOSEN_APART:
            chosen, every = (table[_without(table, name)] for table in (ways.chosen, ways.every))
            left = replace(ways, chosen=chosen, every=every)
        add("model", name, frame[_without(frame, name)], left)
    for name in sorted(frame["task"].unique()):
        add("task", str(name), frame[np.asarray(frame["task"] != name)])
    columns = ["number", "left_out", "name", "value", "all", "change", "flips"]
    return pd.DataFrame(lines, columns=columns)


def _models(frame: pd.DataFrame) -> list[str]:
    """Models that a prompt was carried from or to."""
    carried = frame[frame["kind"] == "transfer"]
    sets = carried["sources"].astype("string").fillna("").unique()
    named = {name for text in sets for name in text.split("+")}
    return sorted((named | set(carried["target"].astype(str))) - {""})


def _without(table: pd.DataFrame, name: str) -> npt.NDArray[np.bool_]:
    """Rows that were neither tuned on a model nor carried to it."""
    sets = table["sources"].astype("string").fillna("")
    tuned = sets.map({text: name in text.split("+") for text in sets.unique()}).astype(bool)
    return ~np.asarray(tuned | (table["target"] == name), dtype=bool)
