"""What MLflow costs a sweep: ``python -m benchmarks.tracking``.

Three questions. How many of the client's calls, and how many seconds, does a result cost in SQLite:
with new results inserted a batch a transaction, and through the client alone? And does the sweep
itself get slower while its server is down? The sweeps are tabulated ones: no model is loaded, the
time is that of packs that sleep, of Ray, the ledger and the writer beside them.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from sweep.engine.runner import Options, run
from sweep.ledger.ledger import Ledger, Record
from sweep.planning.plan import Plan, make_plan
from sweep.spec.spec import parse_spec
from sweep.testing.tabulated import (
    EXECUTOR,
    SECONDS,
    find_model,
    find_task,
    tabulated_arrays,
    tabulated_result,
)
from sweep.tracking.artifacts import PromptFiles
from sweep.tracking.facts import facts_of_plan, target_of
from sweep.tracking.sink import Sink
from sweep.tracking.view import View
from sweep.tracking.writer import MlflowTracker

NOBODY = "http://127.0.0.1:9"


def sample(tasks: int, uri: str | None = None, artifacts: bool = True) -> Plan:
    """60 results a task."""
    content = {
        "name": "tracking",
        "sources": ["A", "B", "C", "D"],
        "pairs": [["A", "B"], ["A", "C"], ["B", "D"], ["A", "D"]],
        "targets": ["T"],
        "tasks": [f"t{number}" for number in range(tasks)],
        "seeds": 5,
        "methods": {"soft": {"lambda": [0, 0.5], "steps": 4, "evaluations": 2}},
        "mlflow": {"tracking_uri": uri, "artifacts": artifacts},
    }
    return make_plan(parse_spec(content), find_model, find_task)


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Calls of MLflow's client by method."""
    from mlflow.tracking import MlflowClient

    names = (
        *("create_run", "log_batch", "set_terminated", "update_run", "log_inputs"),
        *("search_runs", "delete_run", "log_artifacts"),
    )
    calls: Counter[str] = Counter()
    real = {name: getattr(MlflowClient, name) for name in names}

    def counting(name: str) -> Callable[..., Any]:
        @wraps(real[name])
        def call(*arguments: Any, **options: Any) -> Any:
            calls[name] += 1
            return real[name](*arguments, **options)

        return call

    for name in names:
        setattr(MlflowClient, name, counting(name))
    try:
        yield calls
    finally:
        for name, method in real.items():
            setattr(MlflowClient, name, method)


def fill(plan: Plan, folder: Path) -> list[Record]:
    ledger = Ledger(folder)
    for pack in plan.packs:
        for cell in pack.cells:
            cost = {"seconds": 1.0}
            ledger.write(cell, tabulated_result(cell), pack.id, cost, *tabulated_arrays(cell))
    return list(ledger.records())


def writing(tasks: int, bulk: bool, artifacts: bool) -> dict[str, Any]:
    """Seconds and calls for writing all results of a ledger into a database that is there."""
    plan = sample(tasks, artifacts=artifacts)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        records = fill(plan, folder)
        facts = facts_of_plan(plan)

        def write(given: list[Record]) -> tuple[float, float]:
            files = PromptFiles(folder, facts)
            tracker = MlflowTracker(target_of(folder, None), facts, files, bulk)
            sink = Sink("MLflow", tracker, View(facts))
            began = (time.perf_counter(), time.process_time())
            sink.start(given)
            told = sink.close()
            assert told is None, told
            return time.perf_counter() - began[0], time.process_time() - began[1]

        write([])  # creates the tables
        idle = write([])
        with counted() as calls:
            wall, work = write(records)
    seconds, work = wall - idle[0], work - idle[1]
    results = sum(cell.kind == "transfer" for cell in plan.cells)
    tracking = sum(count for name, count in calls.items() if name != "log_artifacts")
    # Four calls a pack with results (its data set is one of them), and those of the sweep's run.
    own = calls["create_run"] - calls["log_inputs"]
    own += calls["log_batch"] - calls["log_inputs"]
    own += calls["set_terminated"] - calls["log_inputs"] - 1
    return {
        "bulk": bulk,
        "artifacts": artifacts,
        "results": results,
        "packs": calls["log_inputs"],
        "results_per_second": round(results / seconds, 1),
        "processor_ms_per_result": round(1000 * work / results, 1),
        "calls_per_result": round(own / results, 2),
        "calls_per_result_with_packs": round(tracking / results, 2),
        "calls": dict(calls),
    }


def sweeping(tasks: int, uri: str | None, pause: float) -> float:
    """Seconds that the packs of a sweep take, from the first record to the last."""
    plan = sample(tasks, uri)
    os.environ[SECONDS] = str(pause)
    options = Options(
        executor=EXECUTOR,
        preflight=lambda plan: [],
        report=lambda folder: None,
        say=lambda line: None,
    )
    with tempfile.TemporaryDirectory() as place:
        assert run(plan, Path(place), options) == 0
        import ray

        ray.shutdown()
        times = [path.stat().st_mtime for path in Path(place).glob("ledger/??/*.json")]
    return max(times) - min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=5, help="60 results each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pause", type=float, default=0.4, help="seconds a pack sleeps")
    parser.add_argument("--no-sweeps", action="store_true")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/tracking.json"))
    options = parser.parse_args()
    found: dict[str, Any] = {
        "processors": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "writing": [],
    }
    for bulk, artifacts in ((True, True), (True, False), (False, True), (False, False)):
        measured = writing(options.tasks, bulk, artifacts)
        found["writing"].append(measured)
        print(json.dumps(measured))
    if not options.no_sweeps:
        # In turn, so that what else the machine does falls on both.
        rounds: dict[str, list[float]] = {"up": [], "down": []}
        for _ in range(options.rounds):
            rounds["up"].append(sweeping(options.tasks, None, options.pause))
            rounds["down"].append(sweeping(options.tasks, NOBODY, options.pause))
        middle = {name: statistics.median(values) for name, values in rounds.items()}
        found["sweep_seconds"] = {
            **{name: [round(value, 2) for value in values] for name, values in rounds.items()},
            "down_over_up": round(middle["down"] / middle["up"], 3),
        }
        print(json.dumps(found["sweep_seconds"]))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
