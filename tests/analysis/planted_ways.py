"""A made-up sweep with several ways of transfer whose gains are known, as a table or as records.

Scores are true levels of each target, task and way, plus what seeds add, plus what a test split of
n examples adds. Nothing is drawn from a model.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.records import row_of
from analysis.data.results import _frame
from tests.analysis.builder import write_record
from trainables.core.cells import Cell


@dataclass(frozen=True)
class Way:
    """One way of transfer.

    Attributes:
        settings: of the transfer.
        share: of the gap between Empty and Direct that it truly recovers.
        cost: keys of its results.
        rows: rows it carries.
        own: whether nothing of a source comes in.
    """

    settings: Mapping[str, Any]
    share: float
    cost: Mapping[str, Any] = field(default_factory=dict)
    rows: Sequence[str] = ("single",)
    own: bool = False


def cost(forward: int = 0, backward: int = 0, **more: Any) -> dict[str, Any]:
    """Cost keys of a result."""
    found = {
        "target_forward_rows": forward, "target_backward_rows": backward,
        "target_forward_tokens": 20 * forward, "target_labels": 0, "unlabelled_texts": 0,
        "source_rows": 0, "source_at_inference": False, "access": "none", "product": "prompt",
    }  # fmt: skip
    return found | more


CLOSED = Way({"solver": "closed_form", "norm": "match"}, 0.05, cost())
READOUT = Way(
    {
        "solver": "readout",
        "norm": "match",
        "features": "states",
        "teacher": "sources",
        "texts": 512,
    },
    0.6,
    cost(512, unlabelled_texts=512, access="states", product="readout", source_rows=512),
)
DISTIL = tuple(
    Way(
        {"solver": "distil", "norm": "match", "start": "vocabulary", "teacher": "sources",
         "texts": 512, "steps": steps},
        share,
        cost(32 * steps, 32 * steps, unlabelled_texts=512, access="gradients", source_rows=512),
    )
    for steps, share in ((15, 0.3), (30, 0.45), (60, 0.55))
)  # fmt: skip
PROXY = Way(
    {"solver": "proxy", "norm": "match"}, 0.5,
    cost(access="labels", source_at_inference=True, product="none"),
)  # fmt: skip
TUNE = Way(
    {"solver": "tune", "norm": "match", "start": "carried", "steps": 60, "shots": 16}, 0.7,
    cost(1920, 1920, target_labels=64, access="gradients"),
)  # fmt: skip
SELF = Way(
    {"solver": "distil", "norm": "match", "start": "vocabulary", "teacher": "own", "texts": 512,
     "steps": 60}, 0.2, cost(1920, 1920, unlabelled_texts=512, access="gradients"), own=True,
)  # fmt: skip
WAYS = (CLOSED, READOUT, *DISTIL, PROXY, TUNE, SELF)


@dataclass(frozen=True)
class Sweep:
    """What a made-up sweep is made of; scores are 0 to 1.

    Attributes:
        empty: level of Empty on the first task; each further one has ``shift`` more.
        calibrated: what calibration adds to Empty.
        manual: what Manual has over Empty.
        gap: what Direct has over Empty.
        source: what the source itself has over Empty.
        case: standard deviation of a case's true share, about the way's.
        tuning: of what the seed of a source's tuning adds on a task.
        reading: of what each result adds.
        direct: of what the seed of Direct adds.
        n: test examples; 0 for scores without their noise.
    """

    ways: Sequence[Way] = WAYS
    sources: Sequence[str] = ("ant", "bee", "cat", "dog")
    targets: Sequence[str] = ("elk",)
    tasks: Sequence[str] = ("mini/a", "mini/b", "mini/c")
    seeds: Sequence[int] = (0, 1, 2, 3, 4)
    empty: float = 0.45
    shift: float = 0.03
    calibrated: float = 0.06
    manual: float = 0.02
    gap: float = 0.3
    source: float = 0.25
    case: float = 0.0
    tuning: float = 0.01
    reading: float = 0.01
    direct: float = 0.01
    n: int = 0


def records(sweep: Sweep, rng: np.random.Generator) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Every cell with its result."""
    tuned_with = {"prompt_length": 5}
    drawn: dict[Any, float] = {}

    def once(sd: float, *key: Any) -> float:
        if key not in drawn:
            drawn[key] = sd * float(rng.normal())
        return drawn[key]

    def result(level: float, calibrated: float, more: Mapping[str, Any]) -> dict[str, Any]:
        both = []
        for part in ("validation", "test"):
            noise = 0.5 / np.sqrt(sweep.n) if sweep.n else 0.0
            both.append((part, level + noise * float(rng.normal())))
        scores = dict(both)
        return {
            "metric": "accuracy", "n_test": 400, "n_validation": 200, "degenerate": False,
            "histogram": [200, 200], "loss": 0.6,
            "score": scores["test"], "validation_score": scores["validation"],
            "score_batch": scores["test"] + calibrated,
            "validation_score_batch": scores["validation"] + calibrated, **more,
        }  # fmt: skip

    for place, (task, target) in enumerate(itertools.product(sweep.tasks, sweep.targets)):
        empty = sweep.empty + sweep.shift * (place // len(sweep.targets))
        flat = {"empty": empty, "manual": empty + sweep.manual, "constant": empty - 0.05}
        for row, level in flat.items():
            add = sweep.calibrated if row == "empty" else 0.0
            yield Cell("reference", row, "none", task, target), result(level, add, {})
    for task, seed in itertools.product(sweep.tasks, sweep.seeds):
        base = sweep.empty + sweep.shift * list(sweep.tasks).index(task)
        tuned = {}
        for name in (*sweep.sources, *sweep.targets):
            level = base + (sweep.gap if name in sweep.targets else sweep.source)
            level += once(sweep.direct, "direct", name, task, seed)
            cell = Cell("source", "independent", "soft", task, name, (name,), seed, 0.0,
                        settings=tuned_with)  # fmt: skip
            tuned[name] = cell
            paid = cost(20_000, 20_000, target_labels=1000, access="gradients")
            yield cell, result(level, 0.0, paid)
        for target, way in itertools.product(sweep.targets, sweep.ways):
            settings = {**tuned_with, **way.settings}
            if way.own:
                level = base + way.share * sweep.gap + once(sweep.reading, way.share, target, seed)
                yield Cell("transfer", "own", "soft", task, target, (target,), seed, 0.0,
                           settings=settings), result(level, 0.0, way.cost)  # fmt: skip
                continue
            sets = {"single": [(name,) for name in sweep.sources if name != target]}
            sets["baseline"] = list(itertools.combinations(sweep.sources, 2))
            for row in way.rows:
                for names in sets[row]:
                    share = way.share + once(sweep.case, "case", names, task, target)
                    level = base + share * sweep.gap
                    level += once(sweep.tuning, "tuning", names, task, seed)
                    level += sweep.reading * float(rng.normal())
                    inputs = tuple(tuned[name].id for name in names)
                    yield Cell("transfer", row, "soft", task, target, names, seed, 0.0, "none",
                               inputs, settings), result(level, 0.0, way.cost)  # fmt: skip


def table(sweep: Sweep, rng: np.random.Generator) -> pd.DataFrame:
    """The table of :func:`analysis.load`, without a folder."""
    rows = [row_of(cell.id, _record(cell, found)) for cell, found in records(sweep, rng)]
    return _frame(rows, sweep.targets)


def _record(cell: Cell, found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": cell.id, "cell": cell.to_json(), "result": dict(found), "pack": "pack",
        "cost": {"seconds": 1.0}, "finished": "2031-05-04T10:00:00+00:00",
        "versions": {"torch": "9.9.9"}, "prompt": None,
    }  # fmt: skip


def build_ways(folder: Path, sweep: Sweep, seed: int = 0) -> None:
    """Write the sweep's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    made = list(records(sweep, np.random.default_rng(seed)))
    meta = {"format": 1, "name": "ways", "spec": {"targets": list(sweep.targets)},
            "planned_cells": len(made)}  # fmt: skip
    (folder / "sweep.json").write_text(json.dumps(meta))
    for cell, found in made:
        write_record(folder, cell.id, _record(cell, found))
