"""``kill -9`` at random moments: what is there afterwards is what an undisturbed run leaves.

A :class:`Sweep` says which program runs and what must hold of its folder, so that another kind of
sweep is one more of them.
"""

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from sweep.ledger import Ledger
from sweep.plan import Plan
from sweep.testing.tabulated import SECONDS
from tests.sweep.drive import the_plan
from tests.sweep.folders import VARYING, check_complete, check_mlflow, mlflow_runs

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
KILLS = 20
PATIENCE = 240.0
_UNSTEADY = ("pack", "mlflow.parentRunId")


@dataclass(frozen=True)
class Sweep:
    """A sweep to be killed.

    Attributes:
        module: run as ``python -m module FOLDER``; exit code 0 once all is done.
        check: what must hold of a finished folder.
        snapshot: of a finished folder, what must be equal whatever happened on the way.
    """

    module: str
    check: Callable[[Path], None]
    snapshot: Callable[[Path], Any]


def _check_plan(folder: Path) -> None:
    plan: Plan = the_plan()
    check_complete(folder, plan)
    check_mlflow(folder, plan)


def snapshot(folder: Path) -> dict[str, Any]:
    """Records, prompts and MLflow runs, without what differs from run to run."""
    records = {
        record["id"]: {key: value for key, value in record.items() if key not in VARYING}
        for record in Ledger(folder).records()
    }
    prompts = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.glob("prompts/??/*")
    }
    parents, children = mlflow_runs(folder)
    runs = sorted(
        (
            run.info.status,
            run.info.run_name,
            sorted(run.data.params.items()),
            sorted(run.data.metrics.items()),
            sorted((k, v) for k, v in run.data.tags.items() if k not in _UNSTEADY),
        )
        for run in children
    )
    return {
        "records": records,
        "prompts": prompts,
        "runs": runs,
        "parents": [run.info.status for run in parents],
    }


SWEEPS = {"grid": Sweep("tests.sweep.drive", _check_plan, snapshot)}


class Driver:
    """One start of the command."""

    def __init__(self, sweep: Sweep, folder: Path, log: Path) -> None:
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", sweep.module, str(folder)], stderr=file, cwd=ROOT
            )
        self._tree = psutil.Process(self._process.pid)

    def ended(self) -> int | None:
        return self._process.poll()

    def workers(self) -> list[psutil.Process]:
        """Ray's worker processes of this driver; they carry ``ray::`` in their names."""
        try:
            return [p for p in self._tree.children(recursive=True) if _is_worker(p)]
        except psutil.Error:
            return []

    def kill(self) -> None:
        """Kill the driver, and wait until the Ray it had started is gone too."""
        try:
            below = self._tree.children(recursive=True)
        except psutil.Error:
            below = []
        self._process.kill()
        self._process.wait()
        # Ray's processes go with their driver; those that are slow are helped, by handle.
        _, slow = psutil.wait_procs(below, timeout=20)
        for process in slow:
            process.kill()

    def finish(self) -> int:
        return self._process.wait(PATIENCE)


def _is_worker(process: psutil.Process) -> bool:
    try:
        return any("PackTrainable" in part for part in process.cmdline()[:1])
    except psutil.Error:
        return False


def _records(folder: Path) -> int:
    return len(list(folder.glob("ledger/??/*.json")))


class Killer:
    """Kills one process after another, driver or worker, at moments drawn from a seed."""

    def __init__(self, sweep: Sweep, folder: Path, log: Path, seed: int) -> None:
        self._sweep, self._folder, self._log = sweep, folder, log
        self._random = random.Random(seed)
        self._driver: Driver | None = None
        self.done: list[str] = []
        self.restarts = 0

    def run(self, kills: int) -> None:
        """Kill so often, and restart the command until it says that all is done."""
        deadline = time.monotonic() + PATIENCE
        try:
            while len(self.done) < kills:
                assert time.monotonic() < deadline, self.done
                self._once()
            code = None
            for _ in range(5):
                code = (self._driver or self._start()).finish()
                self._driver = None
                if code == 0:
                    return
            raise AssertionError(f"exit code {code} after {self.done}: {self._log.read_text()}")
        finally:
            if self._driver is not None:
                self._driver.kill()

    def _start(self) -> Driver:
        self.restarts += 1
        return Driver(self._sweep, self._folder, self._log)

    def _once(self) -> None:
        driver = self._driver = self._driver or self._start()
        if self._random.random() < 0.7:
            self._kill_worker(driver)
            return
        # Some die while Ray starts, some at the first record, some on the way.
        if self._random.random() < 0.5:
            self._wait(driver, lambda: _records(self._folder) > self._random.randrange(60))
        self._nap(3.0 if not driver.workers() else 0.3)
        if driver.ended() is None:
            driver.kill()
            self.done.append(f"driver at {_records(self._folder)} records")
        self._driver = None

    def _kill_worker(self, driver: Driver) -> None:
        self._wait(driver, lambda: bool(driver.workers()))
        self._nap(0.3)
        workers = driver.workers()
        if driver.ended() is not None:
            self._driver = None
        elif workers:
            victim = self._random.choice(workers)
            try:
                victim.kill()
            except psutil.Error:
                return
            psutil.wait_procs([victim], timeout=10)
            self.done.append(f"worker at {_records(self._folder)} records")

    def _wait(self, driver: Driver, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while driver.ended() is None and not condition() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _nap(self, longest: float) -> None:
        time.sleep(longest * self._random.random())


@pytest.fixture(params=SWEEPS)
def sweep(request: pytest.FixtureRequest) -> Iterator[Sweep]:
    yield SWEEPS[request.param]


def test_killed_twenty_times(
    tmp_path: Path,
    sweep: Sweep,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    seed, log = random.SystemRandom().randrange(10**6), tmp_path / "log"
    assert Driver(sweep, tmp_path / "undisturbed", log).finish() == 0, log.read_text()
    sweep.check(tmp_path / "undisturbed")
    # Slow enough for the killer to find something to kill.
    monkeypatch.setenv(SECONDS, "0.7")
    killer = Killer(sweep, tmp_path / "killed", log, seed)
    print(f"seed {seed}")
    try:
        killer.run(KILLS)
    finally:
        print(f"{killer.done}, {killer.restarts} starts")
    assert len(killer.done) == KILLS
    sweep.check(tmp_path / "killed")
    assert sweep.snapshot(tmp_path / "killed") == sweep.snapshot(tmp_path / "undisturbed")
    assert "Traceback" not in log.read_text()
