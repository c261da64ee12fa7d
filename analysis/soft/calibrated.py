"""Scores after label-free calibration, beside those without."""

import pandas as pd

from analysis.contrasts.selection import Choices
from analysis.present.grid import points
from analysis.present.words import ALL_TASKS, ROW_NAMES
from analysis.soft.tables import mark_better, summary, target_rows, tasks
from trainables.scoring.calibration import CALIBRATIONS

UNCALIBRATED = "none"
LEAST_SHIFT = 1.0
"""Points that a mean over tasks must move to be worth a sentence."""


def computed(frame: pd.DataFrame) -> list[str]:
    """Names of the calibrations that some result of the table has."""
    return [name for name in CALIBRATIONS if frame[f"score_{name}"].notna().any()]


def calibration_table(frame: pd.DataFrame, target: str, choices: Choices) -> pd.DataFrame:
    """Mean over tasks of each row on one target, before and after each calibration.

    Weights are those chosen on the uncalibrated validation scores.

    Returns:
        Columns as :func:`analysis.soft.tables.transfer_table`; ``task`` names the calibration
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
        known = rows.dropna(subset=[f"score_{name}"])
        common = set(known.loc[known["row"] == "empty", "task"])
        common &= set(known.loc[known["row"] == row, "task"])
        known = known[known["task"].isin(common)]
        before, after = (_levels(known, column) for column in ("score", f"score_{name}"))
        over = f"on average over {len(common)} tasks" if len(common) > 1 else "on the one task"
        if common:
            sentences.append(_sentence(CALIBRATIONS[name].title, over, row, before, after))
    return " ".join(filter(None, sentences))


def _levels(rows: pd.DataFrame, column: str) -> dict[str, float]:
    """Per row its mean over tasks in points, each task's mean over sources and seeds first."""
    means = rows.groupby(["row", "task"])[column].mean().groupby("row").mean()
    return {str(name): 100 * float(value) for name, value in means.items()}


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
    title: str, over: str, row: str, before: dict[str, float], after: dict[str, float]
) -> str:
    """Levels before and after; empty where both stay within :data:`LEAST_SHIFT`."""
    shifts = [abs(after[name] - before[name]) for name in ("empty", row)]
    if max(shifts) < LEAST_SHIFT:
        return ""
    name = ROW_NAMES[row]
    text = (
        f"With {title} calibration, which needs no labels, Empty goes from "
        f"{points(before['empty'])} to {points(after['empty'])} and {name} from "
        f"{points(before[row])} to {points(after[row])} {over}."
    )
    reached = [
        f"{ROW_NAMES[other]} ({points(before[other])})"
        for other in (row, "direct")
        if other in before and before["empty"] + LEAST_SHIFT <= after["empty"] >= before[other]
    ]
    if reached:
        text += f" Calibrating Empty alone does as much as {' and '.join(reached)} without it."
    gains = [points(level[row] - level["empty"], signed=True) for level in (after, before)]
    return (
        f"{text} The gain of {name} over Empty is {gains[0]} points with it on both sides, "
        f"{gains[1]} without."
    )
