"""Time of a report and of its tables for a large ledger, as JSON.

    python -m benchmarks.report [--cells 100000] [--out FILE]

Writes a made-up ledger of about so many cells (paper A's shape) into a temporary folder, then runs
``sweep report`` on it as a user does, each time in a process of its own.
"""

import argparse
import hashlib
import itertools
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from analysis import load
from analysis.present.formats import write_tables
from analysis.report.sections import report_tables
from sweep.ledger.folder import FORMAT, META_FILE
from trainables.packs.records import file_place, seal

TASKS = tuple(f"task{number}" for number in range(7))
TARGETS = tuple(f"target{number}" for number in range(4))
WEIGHTS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, None)
SEEDS = range(5)
N_TEST = 1000
GOALS = {"full report": 60.0, "tables of the papers alone": 10.0}
"""Seconds on two cores that 100,000 cells may take, from the start of Python to the files."""
SOFT = {"prompt_length": 5, "position": "prefix", "init": "normal"}


def cells(sources: int) -> Iterator[dict[str, Any]]:
    """Every cell of a sweep of so many source models."""
    names = [f"source{number:02d}" for number in range(sources)]
    for row, model, task in itertools.product(
        ("empty", "manual", "constant"), (*names, *TARGETS), TASKS
    ):
        yield cell("reference", row, task, model, ())
    for task, seed in itertools.product(TASKS, SEEDS):
        for name in names:
            yield cell("source", "independent", task, name, (name,), seed, 0.0)
            for target in TARGETS:
                yield cell("transfer", "single", task, target, (name,), seed, 0.0)
        for pair, weight in itertools.product(itertools.combinations(names, 2), WEIGHTS):
            row = "baseline" if weight == 0.0 else "ours"
            for name in pair if row == "ours" else ():
                yield cell("source", "joint", task, name, pair, seed, weight)
            for target in TARGETS:
                yield cell("transfer", row, task, target, pair, seed, weight)


def cell(kind: str, row: str, task: str, target: str, sources: tuple[str, ...],
         seed: int | None = None, weight: float | None = None) -> dict[str, Any]:  # fmt: skip
    schedule = "none" if row not in ("ours", "joint") else "constant"
    if schedule == "constant" and weight is None:
        schedule = "annealing"
    return {
        "kind": kind, "row": row, "method": "none" if kind == "reference" else "soft",
        "task": task, "target": target, "sources": list(sources), "seed": seed, "weight": weight,
        "schedule": schedule, "settings": {} if kind == "reference" else SOFT, "inputs": [],
        "digests": {},
    }  # fmt: skip


def write_ledger(folder: Path, wanted: int) -> int:
    """Write a ledger of at least ``wanted`` cells; returns their number."""
    sources = next(n for n in range(3, 100) if sum(1 for _ in cells(n)) >= wanted)
    for shard in range(256):
        (folder / "ledger" / f"{shard:02x}").mkdir(parents=True)
        (folder / "prompts" / f"{shard:02x}").mkdir(parents=True)
    generator, count = np.random.default_rng(0), 0
    golds = {task: generator.integers(0, 2, N_TEST) for task in TASKS}
    levels: dict[str, float] = {}
    for item in cells(sources):
        score = 0.5
        for name in (item["task"], item["target"], *item["sources"]):
            level = levels.setdefault(name, float(generator.normal(0, 0.05)))
            score += level / (len(item["sources"]) if name in item["sources"] else 1)
        test, validation = np.clip(score + generator.normal(0, 0.02, 2), 0, 1)
        text = json.dumps(item, sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        result = {
            "score": float(test), "validation_score": float(validation), "metric": "accuracy",
            "n_test": N_TEST, "n_validation": 200, "histogram": [400, 600], "degenerate": False,
        }  # fmt: skip
        kept = None
        if item["kind"] != "source":
            content = predictions(golds[item["task"]], test, generator)
            (folder / file_place(name)).write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            kept = {"file": file_place(name), "sha256": digest, "splits": ["test"]}
        record = {"id": name, "cell": item, "result": result, "pack": name[:8], "prompt": None,
                  "predictions": kept, "cost": {"seconds": 1.0}, "versions": {},
                  "finished": "2031-05-04T10:00:00+00:00"}  # fmt: skip
        (folder / "ledger" / name[:2] / f"{name}.json").write_bytes(seal(record))
        count += 1
    meta = {"name": "made up", "format": FORMAT, "spec_hash": "0" * 16, "spec": {},
            "planned_cells": count}  # fmt: skip
    (folder / META_FILE).write_text(json.dumps(meta))
    return count


def predictions(gold: np.ndarray, score: float, generator: np.random.Generator) -> bytes:
    """A file of kept predictions on test that are right as often as the score says."""
    right = generator.random(len(gold)) < score
    values = np.full((len(gold), 2), -2.0, dtype="<f2")
    values[np.arange(len(gold)), np.where(right, gold, 1 - gold)] = -0.125
    parts = {"test": ("F16", values), "test_gold": ("U8", gold.astype("u1"))}
    header, end = {}, 0
    for name, (dtype, array) in parts.items():
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    arrays = (array.tobytes() for _, array in parts.values())
    return b"".join([len(text).to_bytes(8, "little"), text, *arrays])


def measured(arguments: list[str]) -> dict[str, float]:
    """Seconds by the clock and of processor time of one run of a module."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", *arguments], check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": round(wall, 2), "processor_s": round(used, 2)}


def papers_tables(folder: Path) -> None:
    """Write the tables in the papers' layout, and none of effects and variance."""
    write_tables(report_tables(load(folder), answers=[]), folder / "tables", ["csv"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--out", type=Path, help="Write the JSON here as well.")
    parser.add_argument("--tables", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.tables:
        papers_tables(options.tables)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        count = write_ledger(folder, options.cells)
        found: dict[str, Any] = {
            "cells": count,
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "full report": measured(["sweep.cli", "report", place]),
            # The tables follow a report: results.parquet is there and is read.
            "tables of the papers alone": measured(["benchmarks.report", "--tables", place]),
            "all tables, with effects": measured(["sweep.cli", "report", place, "--csv"]),
            "report_bytes": (folder / "report.html").stat().st_size,
        }
    found["goals_s"] = GOALS
    text = json.dumps(found, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
