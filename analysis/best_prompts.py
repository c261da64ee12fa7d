"""The best transferred prompt of each target and task, with the words it is nearest to."""

import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import pandas as pd

from analysis.combinations import titled
from analysis.tables import row_label, sources_name, targets, tasks

WORDS = 3
"""Nearest words shown per prompt vector."""


@dataclass(frozen=True)
class Reading:
    """A prompt on one model: per prompt vector its nearest words, best first.

    Attributes:
        model: alias of the model.
        role: ``target`` or ``source``.
        words: per vector up to :data:`WORDS` words.
        link: the prompt file relative to the report, quoted for a URL; empty where there is none.
        cell: id of the cell.
    """

    model: str
    role: str
    words: tuple[tuple[str, ...], ...]
    link: str
    cell: str


@dataclass(frozen=True)
class BestPrompt:
    """The prompt with the best validation score on one target and task; scores are 0 to 1."""

    target: str
    task: str
    metric: str
    label: str
    sources: str
    seed: str
    validation: float
    score: float
    gain: float
    similarity: float
    candidates: int
    readings: tuple[Reading, ...]

    @property
    def width(self) -> int:
        """Number of prompt vectors shown."""
        return max((len(reading.words) for reading in self.readings), default=0)


def best_prompts(frame: pd.DataFrame) -> list[BestPrompt]:
    """Per target and task the transferred prompt with the best validation score.

    Every seed, source set and weight is a candidate; ties go to the higher achieved similarity.

    Args:
        frame: table of :func:`analysis.results.load`.
    """
    moved = frame[frame["kind"] == "transfer"].dropna(subset=["validation_score"])
    cells = frame.drop_duplicates("cell").set_index("cell")
    found = []
    for target in targets(frame):
        for task in tasks(frame):
            rows = moved[(moved["target"] == target) & (moved["task"] == task)]
            if rows.empty:
                continue
            order = ["validation_score", "similarity"]
            best = rows.sort_values(order, ascending=False, kind="stable").iloc[0]
            found.append(_best(best, len(rows), cells))
    return found


def _best(row: pd.Series, candidates: int, cells: pd.DataFrame) -> BestPrompt:
    inputs = [name for name in json.loads(row["inputs"]) if name in cells.index]
    readings = [_reading(row, "target", str(row["cell"]))]
    readings += [_reading(cells.loc[name], "source", name) for name in inputs]
    return BestPrompt(
        target=row["target"],
        task=row["task"],
        metric=_text(row["metric"]),
        label=titled(row_label(row["row"], row["weight_label"]), _text(row["combination"])),
        sources=sources_name(row["sources"]),
        seed=_text(row["seed"]),
        validation=float(row["validation_score"]),
        score=float(row["score"]),
        gain=float(row["gain_over_empty"]),
        similarity=float(row["similarity"]),
        candidates=candidates,
        readings=tuple(readings),
    )


def _reading(row: pd.Series, role: str, cell: str) -> Reading:
    nearest = json.loads(row["nearest"]) if isinstance(row["nearest"], str) else []
    words = tuple(
        tuple(str(word) for word in (token if isinstance(token, list) else [token])[:WORDS])
        for token in nearest
    )
    return Reading(row["target"], role, words, _link(row["prompt_file"]), cell)


def _link(name: object) -> str:
    """URL of a prompt file beside the report; empty for a path that leads elsewhere."""
    if not isinstance(name, str) or not name:
        return ""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        return ""
    return quote(path.as_posix())


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)
