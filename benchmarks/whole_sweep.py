"""A whole sweep, from the command to the report, against one process per cell.

The naive side is not run whole: of every kind of its processes two are run, each on one of two
cores at a time as our packs are, and the others taken to be as long.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Container, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from benchmarks.finding import Finding, Skipped
from sweep.planning.plan import make_plan
from sweep.spec.spec import parse_spec
from trainables.core.cells import Cell
from trainables.models.names import resolve_model
from trainables.tasks import resolve_task

WORKERS = 2


@dataclass(frozen=True)
class Load:
    """What is swept, and how often each kind of naive process is run."""

    sources: tuple[str, ...] = ("pocket-bert", "pocket-gpt2")
    target: str = "pocket-gpt2-large"
    tasks: tuple[str, ...] = ("mini/reviews", "mini/topics", "mini/paraphrase")
    weights: tuple[float | str, ...] = (0, 0.1, 0.3, 0.5, 0.7, 0.9, "annealing")
    seeds: int = 5
    steps: int = 24
    batch_size: int = 8
    text_tokens: int = 20
    runs: int = 2

    def spec(self) -> dict[str, Any]:
        """The spec, with the quickstart's settings."""
        return {
            "name": "benchmark",
            "sources": list(self.sources),
            "targets": [self.target],
            "tasks": list(self.tasks),
            "seeds": self.seeds,
            "methods": {
                "soft": {
                    "lambda": list(self.weights),
                    "steps": self.steps,
                    "batch_size": self.batch_size,
                    "learning_rate": 0.05,
                    "evaluations": 2,
                    "text_tokens": self.text_tokens,
                }
            },
            "resources": {"cpu": 1},
        }


@dataclass(frozen=True)
class Kind:
    """Naive processes that do the same but for the seed and λ.

    Attributes:
        task: name.
        sources: models tuned together.
        target: model the prompt is carried to; None where it is evaluated where it was tuned.
        joint: whether L_ra is in the loss.
    """

    task: str
    sources: tuple[str, ...]
    target: str | None
    joint: bool


def kinds(cells: Iterable[Cell], targets: Container[str]) -> Counter[Kind]:
    """Processes that the cells ask for, by kind.

    Prompts evaluated on their own source come out of the processes that carry them over, and rows
    without a prompt are left out: both to the naive side's advantage.
    """
    found: Counter[Kind] = Counter()
    for cell in cells:
        if cell.kind == "transfer":
            joint = cell.row == "ours"
            found[Kind(cell.task, cell.sources, cell.target, joint)] += 1
        elif cell.kind == "source" and cell.target in targets:
            found[Kind(cell.task, (cell.target,), None, False)] += 1
    return found


def naive_seconds(kind: Kind, seed: int, load: Load) -> dict[str, Any]:
    """One process of a kind, run: its seconds, with those of the interpreter's start."""
    target = ["--target", kind.target] if kind.target else []
    began = time.perf_counter()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.peers.naive_cell"),
            *("--task", kind.task, "--sources", *kind.sources, *target),
            *("--seed", str(seed), "--weight", "0.5" if kind.joint else "0"),
            *("--steps", str(load.steps), "--batch-size", str(load.batch_size)),
            *("--text-tokens", str(load.text_tokens)),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found | {"wall": time.perf_counter() - began}


def sweep_seconds(load: Load, folder: Path) -> tuple[float, int]:
    """Our sweep with the command a user types, report included; how many cells have a result."""
    spec = folder / "spec.yaml"
    spec.write_text(yaml.safe_dump(load.spec()), encoding="utf-8")
    command = (sys.executable, "-m", "sweep.cli", "run", str(spec), "--out", str(folder / "out"))
    began = time.perf_counter()
    subprocess.run(
        [*command, "--store", "none", "--workers", str(WORKERS)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - began
    if not (folder / "out" / "report.html").is_file():
        raise AssertionError("the sweep left no report")
    return seconds, sum(1 for _ in (folder / "out" / "ledger").glob("??/*.json"))


def measure(load: Load) -> list[Finding | Skipped]:
    """Both sides."""
    plan = make_plan(parse_spec(load.spec()), resolve_model, resolve_task)
    asked = kinds(plan.cells, (load.target,))
    by_kind: dict[Kind, list[dict[str, Any]]] = {kind: [] for kind in measured(asked)}

    def naive(seeds: Iterable[int]) -> None:
        jobs = [(kind, seed, load) for kind in by_kind for seed in seeds]
        with ThreadPoolExecutor(WORKERS) as pool:
            runs = list(pool.map(lambda job: naive_seconds(*job), jobs))
        for (kind, _, _), run in zip(jobs, runs, strict=True):
            by_kind[kind].append(run)

    # Some of them before our sweep and some after it: a machine's speed changes over minutes.
    half = load.runs // 2
    naive(range(half))
    with tempfile.TemporaryDirectory() as folder:
        seconds, cells = sweep_seconds(load, Path(folder))
    all_there(cells, len(plan.cells))
    naive(range(half, load.runs))
    walls = {kind: [one["wall"] for one in many] for kind, many in by_kind.items()}
    return [
        Finding(
            claim=f"Sweep of {cells} cells, from the command to the report, {WORKERS} cores",
            peer="one process per transferred or direct prompt: load, PEFT, Adam, evaluate",
            ours=seconds,
            theirs=estimate(asked, walls),
            unit="s",
            target=10.0,
            same=f"{len(plan.cells)} cells planned and in the ledger, report written",
            estimated=(
                f"{sum(asked.values())} processes, {load.runs} of each of {len(by_kind)} kinds run,"
                f" {WORKERS} at a time"
            ),
            more={
                "processes": sum(asked.values()),
                "naive": [{"kind": vars(kind), "runs": many} for kind, many in by_kind.items()],
            },
        )
    ]


def measured(asked: Iterable[Kind]) -> list[Kind]:
    """Kinds that are run: those of the first task stand for the other tasks too."""
    asked = list(asked)
    return [kind for kind in asked if kind.task == asked[0].task]


def estimate(asked: Counter[Kind], seconds: dict[Kind, list[float]]) -> float:
    """Seconds of all processes, :data:`WORKERS` at a time.

    Raises:
        KeyError: no process like one that is asked for was run.
    """
    alike = {(kind.sources, kind.target, kind.joint): each for kind, each in seconds.items()}
    total = sum(
        count * statistics.median(alike[kind.sources, kind.target, kind.joint])
        for kind, count in asked.items()
    )
    return total / WORKERS


def all_there(found: int, planned: int) -> None:
    """Raise AssertionError unless every planned cell has a result."""
    if found != planned:
        raise AssertionError(f"{found} of {planned} cells have a result")


MEASURES = {"whole_sweep": partial(measure, Load())}
