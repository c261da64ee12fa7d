"""How one prompt stands beside what its model does without it: no prompt, a template, Direct.

The numbers are the table's own; the interval of a difference is over new test examples, where both
cells keep their predictions. Of the rows that need no tuning the one that validation takes is the
bar.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.contrasts.examples import Examples
from analysis.data.combinations import agreeing
from analysis.frontier.lines import CALIBRATED, PLAIN, UNTUNED, hidden, strongest
from analysis.present.grid import points, span
from analysis.present.words import ROW_NAMES
from analysis.stats.intervals import Interval, t_interval

EMPTY, DIRECT = "Empty", "Direct"


@dataclass(frozen=True)
class Level:
    """What a prompt is compared with.

    Attributes:
        name: of the row.
        score: on test, points; of Direct the mean over seeds.
        lead: what the prompt has over it, points.
        validation: its score on validation, points; NaN where that is not known.
    """

    name: str
    score: float
    lead: Interval
    validation: float = math.nan

    @property
    def text(self) -> str:
        """Its score, and the prompt's lead with the interval in brackets."""
        ends = span(self.lead.low, self.lead.high)
        lead = f"{points(self.lead.mean, signed=True)}{f' {ends}' if ends else ''}"
        return f"{self.name} {points(self.score)} ({lead})"


@dataclass(frozen=True)
class Standing:
    """One prompt, or readout, beside what there is without it.

    Attributes:
        score: on test, points.
        metric: of the score.
        empty: the model without a prompt; None where that is not finished. So are the others.
        bar: the strongest row without tuning.
        direct: prompts tuned on the model itself; None also of such a prompt.
    """

    score: float
    metric: str
    empty: Level | None
    bar: Level | None
    direct: Level | None

    @property
    def text(self) -> str:
        """All of it in a line, each lead as prompt minus row."""
        parts = [f"{points(self.score)} on test"]
        parts += [self.empty.text] if self.empty else []
        if self.bar and not (self.empty and self.bar.name == self.empty.name):
            parts.append(f"strongest untuned row: {self.bar.text}")
        elif self.bar:
            parts[-1] += ", the strongest untuned row"
        parts += [self.direct.text] if self.direct else []
        return "; ".join(parts)

    @property
    def warning(self) -> str | None:
        """A sentence where the prompt is not shown to be worth using."""
        if self.bar is None:
            return None
        lead = self.bar.lead
        if lead.direction > 0 or (not lead.high > lead.low and lead.mean > 0):
            return None
        does = "is worse than" if lead.direction < 0 else "is not shown to be better than"
        ends = span(lead.low, lead.high)
        by = f"{points(lead.mean, signed=True)} points{f' {ends}' if ends else ''}"
        return f"this prompt {does} {self.bar.name}, which needs no tuning ({by} on test)"

    def facts(self) -> dict[str, Any]:
        """JSON-able, for manifests; in points."""
        levels = {"empty": self.empty, "strongest_untuned": self.bar, "direct": self.direct}
        return {
            "score": round(self.score, 2),
            "text": self.text,
            "warning": self.warning,
            **{
                name: {
                    "row": level.name,
                    "score": round(level.score, 2),
                    "difference": round(level.lead.mean, 2),
                    "low": _known(level.lead.low),
                    "high": _known(level.lead.high),
                }
                for name, level in levels.items()
                if level is not None
            },
        }


def standing(frame: pd.DataFrame, cell: str, examples: Examples | None = None) -> Standing | None:
    """How a finished cell stands; None where the table does not have it.

    Args:
        frame: table of :func:`analysis.load`.
        cell: its id.
        examples: reads the kept predictions; without it there are no intervals.
    """
    found = frame[frame["cell"] == cell]
    if found.empty or pd.isna(found["score"].iloc[0]):
        return None
    mine = found.iloc[0]
    here = frame[(frame["target"] == mine["target"]) & (frame["task"] == mine["task"])]
    untuned = list(_untuned(mine, here, examples))
    return Standing(
        score=100 * float(mine["score"]),
        metric=str(mine["metric"]),
        empty=next((level for level in untuned if level.name == EMPTY), None),
        bar=strongest(
            untuned, [level.validation for level in untuned], [level.score for level in untuned]
        ),
        direct=None if bool(mine["direct"]) else _direct(mine, here, examples),
    )


def _untuned(mine: pd.Series, here: pd.DataFrame, examples: Examples | None) -> Iterator[Level]:
    settings = mine["settings"] if isinstance(mine["settings"], str) else "{}"
    for row, columns in UNTUNED.items():
        rows = agreeing(here[(here["row"] == row) & (here["kind"] == "reference")], settings)
        for column in columns:
            known = rows[rows[column].notna()][:1] if column in rows else rows[:0]
            name = ROW_NAMES[row] + ("" if column == PLAIN else " + calibration")
            yield from _level(name, mine, known, column, examples)


def _direct(mine: pd.Series, here: pd.DataFrame, examples: Examples | None) -> Level | None:
    """Of the same method, and the same settings where there are several combinations."""
    rows = here[here["direct"] & (here["method"] == mine["method"])]
    if rows["combination"].nunique() > 1:
        rows = rows[rows["combination"] == mine["combination"]]
    return next(_level(DIRECT, mine, rows[rows["score"].notna()], PLAIN, examples), None)


def _level(
    name: str, mine: pd.Series, rows: pd.DataFrame, column: str, examples: Examples | None
) -> Iterator[Level]:
    """The mean of rows, if any, and what a cell has over it."""
    if rows.empty:
        return
    score = 100 * float(rows[column].astype("float64").mean())
    error = math.nan
    if examples is not None:
        own = {"task": mine["task"], "cell": mine["cell"], "weight": 1.0, "calibrated": False}
        theirs = [
            own | {"cell": cell, "weight": -1 / len(rows), "calibrated": column == CALIBRATED}
            for cell in rows["cell"]
        ]
        error = examples.spread(pd.DataFrame([own, *theirs]))
    lead = t_interval([100 * float(mine["score"]) - score], examples=error)
    name_of = hidden(column)
    told = 100 * float(rows[name_of].astype("float64").mean()) if name_of in rows else math.nan
    yield Level(name, score, lead, told)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 2)
