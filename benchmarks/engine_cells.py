"""What our engine takes per cell against Ray Tune with Optuna and MLflow's callback per trial.

Neither side computes anything: a cell is a fixed function of its settings, with its result in the
ledger, its run in MLflow and a report at the end; a trial is one too, with its run in MLflow.
"""

import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from typing import Any

from benchmarks.engine import CELLS
from benchmarks.finding import Finding, Skipped


def _last_line(module: str, *arguments: str, cells: int = 0) -> dict[str, Any]:
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | quiet | {CELLS: str(cells)},
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(cells: int = 1000, trials: int = 30) -> list[Finding | Skipped]:
    """A sweep of at least so many cells against so many trials."""
    with tempfile.TemporaryDirectory() as folder:
        ours = _last_line("benchmarks.engine", "--measure", "running", folder, cells=cells)
    with tempfile.TemporaryDirectory() as folder:
        theirs = _last_line("benchmarks.peers.ray_tune", "--trials", str(trials), folder)
    all_logged(theirs)
    return [
        Finding(
            claim=f"Run a cell that computes nothing (of {ours['cells']:,.0f}), 2 cores",
            peer=f"Ray Tune, OptunaSearch, MLflowLoggerCallback (of {trials} trials)",
            ours=ours["value"],
            theirs=1000 * theirs["seconds"] / trials,
            unit="ms",
            target=None,
            same="every cell in ledger, MLflow and report; every trial in MLflow",
            more={"ours_run": ours, "peer_run": theirs},
        )
    ]


def all_logged(theirs: dict[str, Any]) -> None:
    """Raise AssertionError unless MLflow has a run with a score of every trial."""
    if theirs["logged"] != theirs["trials"]:
        raise AssertionError(f"MLflow has {theirs['logged']} of {theirs['trials']} trials")


MEASURES = {"engine": partial(measure)}
