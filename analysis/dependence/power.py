"""What a design could have found, in words and as a table."""

import pandas as pd

from analysis.contrasts.power import Detectable, seeds_needed
from analysis.present.formats import plain_grid
from analysis.present.grid import DASH, Grid, points


def power_sentence(found: Detectable) -> str:
    """What the design could have found, the range over tasks, and the seeds it takes for a point.

    Args:
        found: of :func:`analysis.contrasts.power.detectable_effects`.
    """
    spread, (one, mean) = found.spread, found.examples
    texts = []
    if found.one_case == found.one_case:
        seeds = seeds_needed(1.0, spread.between_seeds, examples=one)
        many = f"finding 1 point there takes {seeds:,} seeds" if seeds else (
            "no number of seeds finds 1 point there"
        )  # fmt: skip
        texts.append(
            f"With {spread.seeds:g} seeds a single case shows differences from "
            f"{points(found.one_case)} points up (two-sided paired t-test, power 80 %, level 5 %"
            f"{_with(one)}){_range(found.by_task)}; {many}."
        )
    if found.over_cases == found.over_cases:
        texts.append(
            f"The mean over {spread.cases} cases shows differences from {points(found.over_cases)} "
            f"points up if cases were independent (spread between cases "
            f"{points(spread.between_cases)}, between seeds {points(spread.between_seeds)} points"
            f"{_with(mean)})."
        )
    return " ".join([*texts, found.note]).strip()


def power_grid(table: pd.DataFrame) -> Grid:
    """Spread between seeds and smallest difference by task, in points.

    Args:
        table: of :func:`analysis.contrasts.power.by_task`.
    """
    lines = [
        (
            str(line["task"]),
            [
                _points(line["between_seeds"]),
                _points(line["one_case"]),
                str(line["cases"]),
                f"{line['seeds']:g}",
            ],
        )
        for line in table.to_dict("records")
    ]
    heads = ("Spread between seeds", "A case shows from", "Cases", "Seeds")
    return plain_grid("Task", heads, lines)


def _range(table: pd.DataFrame) -> str:
    """The range over tasks; those where nothing varies are named so, not counted as 0."""
    if len(table) < 2:
        return ""
    known = table["one_case"].dropna()
    still = int((table["between_seeds"] == 0).sum())
    texts = []
    if len(known) > 1:
        texts.append(f"by task from {points(known.min())} to {points(known.max())}")
    if still:
        texts.append(f"on {still} of {len(table)} tasks seeds do not vary and nothing can be told")
    return "".join(f"; {text}" for text in texts)


def _with(error: float) -> str:
    return f", test examples with a standard error of {points(error)}" if error else ""


def _points(value: float) -> str:
    return DASH if value != value else points(value)
