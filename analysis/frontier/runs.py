"""Prompts that are tuned on the target with labels: what is taken from the same runs, by start."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.data.combinations import TRANSFER, titled
from analysis.frontier.lines import Field, Line
from analysis.present.words import ROW_NAMES

TUNE, CONTROL = "tune", "vocabulary"
_BEGINNING = ("start", "start_text", "norm")
"""Settings that say where a prompt begins, and nothing else of ``tune``."""
_TABLE = ("solver", "start", "steps", "shots")
"""Settings that the table has places for."""


@dataclass(frozen=True)
class Run:
    """What is taken from the same runs.

    Attributes:
        start: where they begin.
        shots: labels a class; 0: all.
        row: of their results.
        settings: those besides in which the sweep's ways differ.
        lines: by steps, which rise.
    """

    start: str
    shots: int
    row: str
    settings: Mapping[str, Any]
    lines: Mapping[int, Line]

    @property
    def first(self) -> Line:
        """The one with the fewest steps."""
        return next(iter(self.lines.values()))

    @property
    def aided(self) -> bool:
        """Whether something of a source is in the start."""
        return self.first.kind == "way"

    @property
    def labels(self) -> str:
        """The labels in words."""
        return f"{self.shots} labels a class" if self.shots else "all labels"

    def matches(self, other: "Run") -> bool:
        """Whether the two differ in nothing but where they begin."""
        mine, theirs = (
            {name: value for name, value in run.settings.items() if name not in _BEGINNING}
            for run in (self, other)
        )
        return self.shots == other.shots and mine == theirs

    def beside(self, control: "Run | None") -> dict[int, tuple[Line, Line]]:
        """By steps the lines of both, where both have them."""
        theirs: Mapping[int, Line] = {} if control is None else control.lines
        return {step: (line, theirs[step]) for step, line in self.lines.items() if step in theirs}


def runs(field: Field) -> list[Run]:
    """What is tuned on the target from a start of one's choice, few labels first, all last."""
    found: dict[tuple[str, int, str, str], dict[int, Line]] = {}
    for line in field.lines:
        first = line.rows.iloc[0]
        if line.calibrated or first.get("solver") != TUNE or pd.isna(first["steps"]):
            continue
        given = json.loads(first["settings"] if pd.notna(first["settings"]) else "{}")
        rest = {name.removeprefix(TRANSFER): value for name, value in given.items()
                if name.startswith(TRANSFER)}  # fmt: skip
        rest = {name: value for name, value in rest.items() if name not in _TABLE}
        shots = 0 if pd.isna(first["shots"]) else int(first["shots"])
        key = (str(first["start"]), shots, line.row, json.dumps(rest, sort_keys=True))
        found.setdefault(key, {})[int(first["steps"])] = line
    made = [
        Run(start, shots, row, json.loads(rest), dict(sorted(lines.items())))
        for (start, shots, row, rest), lines in found.items()
    ]
    return sorted(made, key=lambda run: run.shots or float("inf"))


def control_of(run: Run, every: Sequence[Run]) -> Run | None:
    """The same from the vocabulary; None where there is none, and for such a run itself."""
    found = [other for other in every if other.start == CONTROL and run.matches(other)]
    return found[0] if found and run.start != CONTROL else None


def run_title(run: Run, every: Sequence[Run], main: str) -> str:
    """The start, and what else tells the run from others."""
    more = [ROW_NAMES[run.row]] if run.aided and run.row != main else []
    for name, value in run.settings.items():
        if value is not None and len({json.dumps(other.settings.get(name)) for other in every}) > 1:
            more.append(f"{name} {value}")
    return titled(run.start.replace("_", " "), ", ".join(more))
