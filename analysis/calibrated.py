"""Scores after label-free calibration, beside those without."""

import math

import pandas as pd

from analysis.layout import points
from analysis.selection import Choices
from analysis.tables import ALL_TASKS, ROW_NAMES, mark_better, summary, target_rows, tasks
from trainables.calibration import CALIBRATIONS

UNCALIBRATED = "none"
LEAST_SHIFT = 1.0
"""Points that a mean over tasks must move to be worth a sentence."""


def computed(frame: pd.DataFrame) -> list[str]:
    """Names of the calibrations that some result of the table has."""
    return [name for name in CALIBRATIONS if frame[f"score_{name}"].notna().any()]


def calibration_table(frame: pd.DataFrame, target: str, choices: Choices) -> pd.DataFrame:
    """Mean over tasks of each row on one target, before and after each calibration.

    Weights are those chosen on the uncalibrated validation scores.

    Args:
        frame: table of :func:`analysis.results.load`.
        target: alias of the target.
        choices: of :func:`analysis.selection.choose`.

    Returns:
        Columns as :func:`analysis.tables.transfer_table`; ``task`` names the calibration
        (:data:`UNCALIBRATED` or its title). Empty where none was computed.
    """
    rows, names = target_rows(frame, target, choices), tasks(frame)
    kept = ALL_TASKS if len(names) > 1 else names[0]
    parts = []
    for name in [UNCALIBRATED, *computed(rows)]:
        if name == UNCALIBRATED:
            title, here = name, rows
        else:
            title = CALIBRATIONS[name].title
            # Flags and histograms are those of the uncalibrated predictions.
            here = rows.assign(score=rows[f"score_{name}"], degenerate=False, histogram=None)
        table = summary(here, names)
        parts.append(table[table["task"] == kept].assign(task=title))
    filled = [part for part in parts if not part.empty] if len(parts) > 1 else []
    return mark_better(pd.concat(filled, ignore_index=True) if filled else parts[0][:0])


def calibration_finding(frame: pd.DataFrame, target: str, choices: Choices) -> str:
    """What calibration does to Empty and to the transfer, where it moves either; else empty.

    The transfer is Ours at the chosen weights, or else Single, averaged over sources, tasks and
    seeds.
    """
    rows = target_rows(frame, target, choices)
    row = "ours" if (rows["row"] == "ours").any() else "single"
    sentences = []
    for name in computed(rows):
        column = f"score_{name}"
        empty, moved = (
            rows[rows["row"] == kind].dropna(subset=[column]) for kind in ("empty", row)
        )
        common = set(empty["task"]) & set(moved["task"])
        empty, moved = (part[part["task"].isin(common)] for part in (empty, moved))
        levels = [
            100 * float(part.groupby("task")[score].mean().mean())
            for part in (empty, moved)
            for score in ("score", column)
        ]
        sentences.append(_sentence(CALIBRATIONS[name].title, ROW_NAMES[row], *levels))
    return " ".join(filter(None, sentences))


def missing_note(frame: pd.DataFrame) -> str:
    """How many results lack a calibration that others have; empty where none does."""
    notes = []
    for name in computed(frame):
        lacking = int(frame[f"score_{name}"].isna().sum())
        if lacking:
            notes.append(
                f"{lacking:,} of {len(frame):,} results were finished without "
                f"{CALIBRATIONS[name].title} calibration and are left out of its column."
            )
    return " ".join(notes)


def _sentence(
    title: str, row: str, empty: float, empty_after: float, moved: float, moved_after: float
) -> str:
    """Levels in points before and after; empty where both stay within :data:`LEAST_SHIFT`."""
    shift = max(abs(empty_after - empty), abs(moved_after - moved))
    if math.isnan(shift) or shift < LEAST_SHIFT:
        return ""
    text = (
        f"With {title} calibration, which needs neither labels nor a prompt, Empty goes from "
        f"{points(empty)} to {points(empty_after)} and {row} from {points(moved)} to "
        f"{points(moved_after)} on average."
    )
    gain, after = moved - empty, moved_after - empty_after
    if empty < moved <= empty_after:
        text += f" Calibrating Empty alone does as much as {row} does without calibration."
    return (
        f"{text} The gain of {row} over Empty is {points(after, signed=True)} points after it on "
        f"both sides, {points(gain, signed=True)} without."
    )
