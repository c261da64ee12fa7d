"""The points of a search as tables: ``points.csv`` for people, ``points.json`` for the report."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sweep.search.records import Outcome
from sweep.search.study import Study
from sweep.spec.methods import LAMBDA
from trainables.files.atomic import replace_file

POINTS = "points.csv"
SUMMARY = "points.json"


def parameters_of(outcome: Outcome, names: Iterable[str]) -> dict[str, Any]:
    """A point's values of the search's parameters; only those that its method has."""
    point = outcome.point
    found: dict[str, Any] = {}
    for name in names:
        method, _, setting = name.rpartition(".")
        if name == "method":
            found[name] = point.method
        elif setting == "sources" and method in ("", point.method):
            found[name] = "+".join(point.sources)
        elif method == point.method and setting == LAMBDA:
            found[name] = point.weight
        elif method == point.method and setting in point.settings:
            found[name] = point.settings[setting]
    return found


def summary(study: Study) -> dict[str, Any]:
    """Objectives, counts, best points, importance and every point, as JSON has them."""
    # A number beside choices goes under the choice's name.
    names = [name for name in study.space.parameters if not name.endswith(".value")]
    best = [outcome.number for outcome in study.best()]
    return {
        "study": study.settings.name,
        "sampler": study.settings.sampler,
        "pruner": study.settings.pruner,
        "objectives": [[item.name, item.direction] for item in study.settings.objectives],
        "parameters": names,
        "counts": dict(vars(study.counts())),
        "best": best,
        "importance": study.importance(),
        "importance_of_noise": study.importance_of_noise(),
        "points": [
            {
                "point": outcome.number,
                "key": outcome.point.key,
                "state": outcome.state,
                "warm": outcome.warm,
                "values": dict(outcome.values),
                "constraints": dict(outcome.constraints),
                "reason": outcome.reason,
                "method": outcome.point.method,
                "sources": list(outcome.point.sources),
                "parameters": parameters_of(outcome, names),
            }
            for outcome in study.outcomes()
        ],
    }


def write_points(folder: Path, study: Study) -> None:
    """Write both files.

    Raises:
        OSError: they cannot be written.
    """
    found = summary(study)
    replace_file(folder / SUMMARY, json.dumps(found, indent=1, ensure_ascii=False).encode())
    replace_file(folder / POINTS, _csv(found).encode())


def _csv(found: Mapping[str, Any]) -> str:
    goals = [name for name, _ in found["objectives"]]
    text = io.StringIO()
    names = [name for name in found["parameters"] if name not in ("method", "sources")]
    writer = csv.DictWriter(
        text,
        ["point", "state", *goals, "method", "sources", *names, "best", "warm", "reason"],
        lineterminator="\n",
    )
    writer.writeheader()
    for row in found["points"]:
        writer.writerow(
            {
                "point": row["point"],
                "state": row["state"],
                **row["values"],
                "method": row["method"],
                "sources": "+".join(row["sources"]),
                **{name: row["parameters"].get(name) for name in names},
                "best": row["point"] in found["best"],
                "warm": row["warm"],
                "reason": row["reason"],
            }
        )
    return text.getvalue()
