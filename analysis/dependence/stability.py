"""How much a headline number rests on one model or one task: it is computed anew without each."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from analysis.contrasts.effects import PAIRS, case_means, narrow
from analysis.contrasts.verdict import QUESTIONS
from analysis.data.combinations import HARD, SOFT

Numbers = Mapping[str, float]


def soft_numbers(frame: pd.DataFrame, by: str = "pair") -> dict[str, float]:
    """Headline numbers of soft prompts, in points; λ is chosen anew on validation.

    Args:
        frame: rows of one combination of settings, or a part of them.
        by: by what λ is chosen, see :func:`analysis.contrasts.selection.choose`.

    Returns:
        ``Ours − Baseline``, ``cases up, %`` and the gain over Empty of Ours, Baseline and Single;
        those that the rows allow.
    """
    return _numbers(frame, SOFT, by, {"Ours": "ours", "Baseline": "baseline", "Single": "single"})


def hard_numbers(frame: pd.DataFrame, by: str = "") -> dict[str, float]:
    """Headline numbers of hard prompts, in points: neighbour agreement against all words.

    Args:
        frame: rows of one method and combination of settings, or a part of them.
        by: see :func:`analysis.contrasts.effects.hard_pairs`.
    """
    return _numbers(frame, HARD, by, {"agreement": "agreement", "all words": "all"})


NUMBERS: dict[str, Callable[..., dict[str, float]]] = {SOFT: soft_numbers, HARD: hard_numbers}
"""By family, what is computed anew."""


def leave_one_out(
    frame: pd.DataFrame, numbers: Callable[[pd.DataFrame], Numbers] = soft_numbers
) -> pd.DataFrame:
    """Every headline number without each source model, each target and each task.

    Without a model: without all rows that were tuned on it or carried to it.

    Args:
        frame: table of :func:`analysis.load`.
        numbers: table to headline numbers by name.

    Returns:
        Columns number, left_out (``model`` or ``task``), name, value (without it; NaN where nothing
        is left), all (with everything), change, and flips (the sign changes).
    """
    frame = narrow(frame)
    whole = numbers(frame)
    lines = []
    for kind, name, part in _without(frame):
        rest = numbers(part)
        for number, full in whole.items():
            value = rest.get(number, float("nan"))
            lines.append((number, kind, name, value, full, value - full, value * full < 0))
    columns = ["number", "left_out", "name", "value", "all", "change", "flips"]
    return pd.DataFrame(lines, columns=columns)


def _without(moved: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    sets = moved["sources"].astype("string").fillna("")
    distinct = {text: set(text.split("+")) for text in sets.unique()}
    carried = moved[moved["kind"] == "transfer"]
    named = set().union(*(distinct[text] for text in sets[carried.index].unique()))
    models = sorted((named | set(carried["target"])) - {""})
    parts = []
    for name in models:
        holds = sets.map({text: name in members for text, members in distinct.items()})
        kept = ~(holds.astype(bool) | (moved["target"] == name))
        parts.append(("model", str(name), moved[np.asarray(kept)]))
    for name in sorted(moved["task"].unique()):
        parts.append(("task", str(name), moved[np.asarray(moved["task"] != name)]))
    return parts


def _numbers(
    frame: pd.DataFrame, family: str, by: str, names: Mapping[str, str]
) -> dict[str, float]:
    moved = frame[(frame["kind"] == "transfer") & (frame["family"] == family)]
    pairs, numbers = PAIRS[family](frame, by, among=False).asked, {}
    if len(pairs):
        means = case_means(pairs)["difference"]
        numbers[QUESTIONS[family].name] = float(pairs["difference"].mean())
        numbers["cases up, %"] = 100 * float((means > 0).mean())
    for name, row in names.items():
        part = moved[moved["row"] == row]
        if row == QUESTIONS[family].row and len(pairs):
            part = part[part["cell"].isin(pairs["cell"])]
        mean = part["gain_over_empty"].mean()
        if mean == mean:
            numbers[f"{name} − Empty"] = 100 * float(mean)
    return numbers
