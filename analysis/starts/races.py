"""Tunings that start elsewhere beside those that start from words: what a start saves in steps.

A *race* is a tuning from another prompt and its control, the tuning of the same seed on the same
model and task from frequent words; both read the same examples in the same order. Their curves come
from the records of the sweep's folder.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.starts.convergence import DELTA, Curve, times
from analysis.starts.retrieval import interval
from analysis.starts.tries import UNIT, Tries, from_words
from analysis.starts.zero_shot import Matrix
from trainables.packs.records import read_record

ALL, ZERO_SHOT = "any source task", "best zero-shot source task"
"""Starts: the mean over all source tasks, and the one whose prompt is best as it is."""
SIMILAR = "most similar source task"
COLUMNS = [*UNIT, "start", "cell", "control", "score", "control_score"]
Curves = Mapping[str, Curve]


def races(frame: pd.DataFrame, every: Sequence[Tries], matrices: Sequence[Matrix]) -> pd.DataFrame:
    """Every race of one table; columns :data:`COLUMNS`, ``label`` and ``kind``.

    ``kind`` is ``task`` (from other tasks' prompts) or ``model`` (from a prompt carried over).
    """
    parts = [_from_tasks(tries, matrices) for tries in every]
    refined = frame[frame["row"] == "refined"]
    several = refined["settings"].nunique() > 1
    for settings, rows in refined.groupby("settings", sort=True):
        label = str(rows["combination"].fillna("").iloc[0]) if several else ""
        parts.append(_from_models(frame, rows, str(settings)).assign(label=label, kind="model"))
    known = [part for part in parts if len(part)]
    return pd.concat(known, ignore_index=True) if known else pd.DataFrame()


def _from_tasks(tries: Tries, matrices: Sequence[Matrix]) -> pd.DataFrame:
    """Of each unit: every source task, the most similar one by each similarity, the best as is."""
    words = tries.words[tries.words["draw"] == 0]
    control = words[[*UNIT, "cell", "score"]].rename(
        columns={"cell": "control", "score": "control_score"}
    )
    rows = tries.tasks.merge(control, on=UNIT)
    found = [rows.assign(start=ALL)]
    for name in tries.retrievals:
        found.append(_highest(rows, name).assign(start=f"{SIMILAR}, {name}"))
    alone = [
        matrix.scores.assign(target=matrix.target)
        for matrix in matrices
        if matrix.source == matrix.target
    ]
    if alone:
        seen = pd.concat(alone).rename(columns={"validation_score": "as_it_is"})
        keys = [*UNIT, "origin"]
        means = seen.groupby(keys, observed=True)["as_it_is"].mean().reset_index()
        found.append(_highest(rows.merge(means, on=keys), "as_it_is").assign(start=ZERO_SHOT))
    return pd.concat(found)[COLUMNS].assign(label=tries.label, kind="task")


def _highest(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """The row of each unit with the highest value; the first of equals."""
    known = rows.dropna(subset=[name]).reset_index(drop=True)
    return known.loc[known.groupby(UNIT, observed=True)[name].idxmax()]


def _from_models(frame: pd.DataFrame, refined: pd.DataFrame, settings: str) -> pd.DataFrame:
    """Prompts tuned on from what was carried over, each beside its control."""
    words = from_words(frame, settings)
    control = words.loc[words["draw"] == 0, [*UNIT, "cell", "score"]]
    control = control.rename(columns={"cell": "control", "score": "control_score"})
    carried = frame.set_index("cell")[["sources", "way"]]
    first = refined["inputs"].map(lambda text: json.loads(text)[0])
    source, way = (first.map(carried[name]).fillna("") for name in ("sources", "way"))
    named = "carried from " + source.where(way == "", source + ", " + way)
    return refined.assign(start=named).merge(control, on=UNIT)[COLUMNS]


def curves(folder: Path, cells: Iterable[str]) -> dict[str, Curve]:
    """Validation curves by cell; those whose record is gone or has none are left out."""
    found = {}
    for cell in dict.fromkeys(cells):
        path = folder / "ledger" / cell[:2] / f"{cell}.json"
        try:
            lines: list[dict[str, Any]] = read_record(str(path), cell)["result"]["curve"]
            steps = tuple(int(line["step"]) for line in lines)
            curve = Curve(steps, tuple(float(line["validation"]) for line in lines))
        except (OSError, ValueError, KeyError, TypeError):
            continue
        found[cell] = curve
    return found


def timed(found: pd.DataFrame, known: Curves, delta: float = DELTA) -> pd.DataFrame:
    """Races whose two curves are known, with the times of both.

    Returns:
        Also ``convergence`` and ``comparison`` (percent; infinite: never; NaN: no time of the
        control to divide by), ``steps`` (the control's convergence, in steps), ``width`` (its
        resolution) and ``gain`` (points over the control on test).
    """
    lines = []
    for row in found.to_dict("records"):
        if row["cell"] in known and row["control"] in known:
            pair = times(known[row["cell"]], known[row["control"]], delta)
            lines.append({
                **row, "convergence": pair.convergence, "comparison": pair.comparison,
                "steps": pair.control, "width": pair.width,
                "gain": 100 * (row["score"] - row["control_score"]),
            })  # fmt: skip
    return pd.DataFrame(lines)


def time_table(found: pd.DataFrame, by: Sequence[str] = ("start",)) -> pd.DataFrame:
    """Medians over runs of :func:`timed`, in the order in which starts come up.

    A median counts a run that never gets there as longer than any: it is infinite where more than
    half of them never do.

    Returns:
        Columns of ``by``, n (runs), undefined (runs without a time to divide by), never (runs that
        never are comparable), steps and width (the control's, medians), convergence and
        comparison (percent, medians), score and control (points), gain with its ends.
    """
    lines = []
    for key, part in found.groupby(list(by), sort=False, observed=True):
        defined = part.dropna(subset=["comparison"])
        gain = interval(part, part["gain"])
        lines.append({
            **dict(zip(by, key, strict=True)), "n": len(part),
            "undefined": len(part) - len(defined),
            "never": int(np.isinf(defined["comparison"]).sum()),
            "steps": float(part["steps"].median()), "width": float(part["width"].median()),
            "convergence": _median(defined["convergence"]),
            "comparison": _median(defined["comparison"]),
            "control": 100 * part["control_score"].mean(), "score": 100 * part["score"].mean(),
            "gain": gain.mean, "gain_low": gain.low, "gain_high": gain.high,
        })  # fmt: skip
    return pd.DataFrame(lines)


def _median(values: "pd.Series[float]") -> float:
    """The middle value, the upper one of two: infinities have no mean."""
    ordered = np.sort(values.to_numpy(float))
    return float(ordered[len(ordered) // 2]) if len(ordered) else float("nan")


def mean_curves(found: pd.DataFrame, known: Curves) -> pd.DataFrame:
    """Mean validation score over seeds, in points, by start, task and step; the control as one."""
    lines = []
    for row in found.to_dict("records"):
        for start, cell in ((row["start"], row["cell"]), ("", row["control"])):
            curve = known.get(cell, Curve((), ()))
            lines += [
                (row["task"], start, cell, step, 100 * value)
                for step, value in zip(curve.steps, curve.values, strict=True)
            ]
    table = pd.DataFrame(lines, columns=["task", "start", "cell", "step", "value"])
    table = table.drop_duplicates(["task", "start", "cell", "step"])
    return table.groupby(["task", "start", "step"])["value"].mean().reset_index()
