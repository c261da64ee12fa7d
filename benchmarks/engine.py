"""What the engine itself costs: ``python -m benchmarks.engine``. Its method computes nothing.

Each claim is one line: what was measured, the target and whether it is met. All are kept as JSON.
Every claim runs in a process of its own, so that none finds another's memory or imports.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.planning.plan import Plan, make_plan
from sweep.spec.spec import load_spec, parse_spec
from sweep.testing.tabulated import (
    EXECUTOR,
    find_model,
    find_task,
    tabulated_arrays,
    tabulated_result,
)

WEIGHTS = [0, 0.1, 0.3, 0.5, 0.7, 0.9, "annealing"]
CELLS = "PROMPTSWEEP_BENCHMARK_CELLS"
"""Environment variable: cells of the sweep that is run, at least (default 5,000)."""
_CELLS_DONE = re.compile(r"(\d+)/\d+ cells")


def plan_of(cells: int) -> Plan:
    """The smallest plan of the paper's shape with at least so many cells."""
    return make_plan(parse_spec(_content(cells)), find_model, find_task)


def _content(cells: int) -> dict[str, Any]:
    a_task = 1018  # five sources, their ten pairs, one target, five seeds
    return {
        "name": "engine",
        "sources": list("ABCDE"),
        "targets": ["T"],
        "tasks": [f"task{number:03}" for number in range(-(-cells // a_task))],
        "seeds": 5,
        "methods": {"soft": {"lambda": WEIGHTS, "steps": 100}},
        "direct": False,
        "resources": {"cpu": 1},
    }


def planning(folder: Path) -> dict[str, float]:
    content = _content(10_000)
    began = time.perf_counter()
    plan = make_plan(parse_spec(content), find_model, find_task)
    counts = plan.counts()
    plan.remaining(())
    return {"value": time.perf_counter() - began, "cells": counts["cells"]}


def reading(folder: Path) -> dict[str, float]:
    from sweep.ledger.ledger import Ledger

    plan = plan_of(10_000)
    began = time.perf_counter()
    ledger = Ledger(folder)
    for pack in plan.packs:
        name = pack.id
        for cell in pack.cells:
            result = tabulated_result(cell)
            ledger.write(cell, result, name, {"seconds": 1.0}, *tabulated_arrays(cell))
    written = time.perf_counter() - began
    began = time.perf_counter()
    found = len(Ledger(folder).done_ids())
    seconds = time.perf_counter() - began
    return {
        "value": seconds * 10_000 / found,
        "records": found,
        "write_ms_a_record": 1000 * written / found,
    }


def running(folder: Path) -> dict[str, float]:
    """A sweep on a local Ray of two cores, with ledger, MLflow and report."""
    import mlflow  # noqa: F401

    import sweep.engine.progress
    from sweep.engine.runner import Options, run

    sweep.engine.progress.PLAIN_EVERY = 0.5
    plan = plan_of(int(os.environ.get(CELLS, "5000")))
    watched = _Watched()
    reported = [0.0]

    def report(place: Path) -> None:
        from analysis.report.page import write_report

        began = time.perf_counter()
        write_report(place)
        reported[0] = time.perf_counter() - began

    options = Options(executor=EXECUTOR, preflight=lambda plan: [], report=report, workers=2)
    began, computed = time.perf_counter(), time.process_time()
    with contextlib.redirect_stderr(watched):  # type: ignore[type-var]
        code = run(plan, folder, options)
    seconds, computed = time.perf_counter() - began, time.process_time() - computed
    if code:
        raise RuntimeError("".join(watched.lines[-20:]))
    cells = len(plan.cells)
    return {
        "value": 1000 * seconds / cells,
        "cells": cells,
        "packs": len(plan.packs),
        "seconds": seconds,
        "driver_cpu_seconds": computed,
        "seconds_to_the_last_record": watched.last - began,
        "report_seconds": reported[0],
        "growth_mb_10000_cells": watched.growth(),
        "rss_mb": resident_mb(),
    }


class _Watched:
    """Standard error that notes the driver's memory beside each count of cells."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.seen: list[tuple[int, float]] = []
        self.last = 0.0

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return 2

    def flush(self) -> None:
        return None

    def write(self, text: str) -> int:
        self.lines.append(text)
        if found := _CELLS_DONE.match(text):
            self.seen.append((int(found[1]), resident_mb()))
            self.last = time.perf_counter()
        return len(text)

    def growth(self) -> float:
        """MB for each 10,000 cells, from the first tenth (all imports are done) to the end."""
        last = self.seen[-1]
        first = next(item for item in self.seen if item[0] >= 0.1 * last[0])
        return 10_000 * (last[1] - first[1]) / (last[0] - first[0])


def resident_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def replaying(folder: Path) -> dict[str, float]:
    """Preset ``paper_a`` as a whole, through planner, agenda, outcomes and ledger."""
    from sweep.testing.simulated import simulate_sweep

    began = time.perf_counter()
    plan = make_plan(load_spec("paper_a"), find_model, find_task)
    transfers = sum(cell.kind == "transfer" for cell in plan.cells)
    found = simulate_sweep(plan, folder, workers=8)
    seconds = time.perf_counter() - began
    if found.done != len(plan.cells) or found.failures:
        raise RuntimeError(f"{found.done} of {len(plan.cells)} cells: {found.failures}")
    return {
        "value": seconds,
        "cells": found.done,
        "transfer_cells": transfers,
        "packs": len(found.schedule.turns),
        "workers": found.schedule.workers,
        "utilisation": found.schedule.utilisation,
    }


def resuming(folder: Path) -> dict[str, float]:
    """A finished sweep of 1,000 cells once more, with Ray forbidden."""
    import mlflow  # noqa: F401
    import ray

    from sweep.engine.runner import Options, run
    from sweep.testing.simulated import simulate_sweep

    plan = plan_of(1_000)
    simulate_sweep(plan, folder)

    def refuse(*arguments: object, **options: object) -> None:
        raise RuntimeError("Ray was started")

    ray.init = refuse
    spent = []
    for _ in range(2):  # the first writes the views, which the simulation leaves out
        began = time.perf_counter()
        code = run(plan, folder, Options(executor=EXECUTOR, say=lambda line: None))
        spent.append(time.perf_counter() - began)
        if code:
            raise RuntimeError(f"exit code {code}")
    return {"value": spent[-1], "cells": len(plan.cells), "first_with_views_seconds": spent[0]}


@dataclass(frozen=True)
class Claim:
    """What is promised of a measurement: ``key`` of its figures stays below ``target``."""

    text: str
    target: float
    unit: str
    measure: Callable[[Path], dict[str, float]]
    key: str = "value"


CLAIMS = (
    Claim("plan 10,000 cells", 2, "s", planning),
    Claim("read 10,000 ledger records, digests checked", 1, "s", reading),
    Claim("run a finished sweep of 1,000 cells again, no trial started", 5, "s", resuming),
    Claim("replay all of paper_a on a simulated clock", 60, "s", replaying),
    Claim("engine time per cell (Ray, ledger, MLflow, report; 2 cores)", 20, "ms", running),
    Claim("driver memory per 10,000 cells", 50, "MB", running, "growth_mb_10000_cells"),
)


def figures_of(measure: str) -> dict[str, float]:
    """One measurement, in a process and a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="engine-") as folder:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.engine", "--measure", measure, folder],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/engine.json"))
    parser.add_argument("--only", nargs="*", help="names of measurements, such as planning")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    by_name = {claim.measure.__name__: claim.measure for claim in CLAIMS}
    if options.measure:
        name, folder = options.measure
        print(json.dumps(by_name[name](Path(folder) / "sweep")))
        return
    names = options.only or by_name
    figures = {name: figures_of(name) for name in by_name if name in names}
    record: dict[str, Any] = {
        "machine": {"processor": platform.machine(), "processors": os.cpu_count()},
        "claims": [],
        "figures": figures,
    }
    for claim in CLAIMS:
        if claim.measure.__name__ in figures:
            value = figures[claim.measure.__name__][claim.key]
            met = value < claim.target
            record["claims"].append(
                {"claim": claim.text, "value": value, "target": claim.target, "met": met}
            )
            verdict = "met" if met else "MISSED"
            print(f"{claim.text}: {value:.2f} {claim.unit} (below {claim.target:g}: {verdict})")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
