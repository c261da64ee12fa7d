"""``kill -9`` at random moments: what is there afterwards is what an undisturbed run leaves."""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from sweep.ledger import Ledger
from sweep.runner import run
from sweep.search.plan import AnyPlan, SearchPlan
from sweep.search.point import Point
from sweep.search.records import DROPPED, POINT, WARM, read_study
from sweep.search.study import JOURNAL
from sweep.testing.tabulated import tabulated_prompt, tabulated_result
from tests.sweep.clusters import cluster_of
from tests.sweep.clusters import ray_folder as ray_folder
from tests.sweep.drive import ADDRESS, COMPUTES, PLANS, options
from tests.sweep.folders import VARYING, check_mlflow, mlflow_levels, trials_in
from tests.sweep.paced import EXECUTOR, PACE, records_in, set_pace
from trainables.tune import AGAIN

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
SEED = "PROMPTSWEEP_TEST_SEED"
KINDS = ["driver"] * 2 + ["worker"] * 7
"""Of the ten kills of a sweep; the first one hits a driver that is starting."""
STARTING, NAP = 4.0, 0.5
SLACK = 40  # records that may come before a killer that is late
PACE_SECONDS = 0.2
PATIENCE = 300.0
_UNSTEADY = ("pack", "mlflow.parentRunId")


def snapshot(folder: Path) -> dict[str, Any]:
    """Records, prompts, MLflow runs and trials, without what differs from run to run."""
    records = {
        record["id"]: {key: value for key, value in record.items() if key not in VARYING}
        for record in Ledger(folder).records()
    }
    prompts = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.glob("prompts/??/*")
    }
    levels = mlflow_levels(folder)
    runs = sorted(
        (
            item.info.status,
            item.info.run_name,
            sorted(item.data.params.items()),
            sorted(item.data.metrics.items()),
            sorted((k, v) for k, v in item.data.tags.items() if k not in _UNSTEADY),
        )
        for item in levels["result"]
    )
    trials = {
        _key(trial): (
            trial.state.name,
            trial.values,
            trial.intermediate_values,
        )
        for trial in trials_in(folder / JOURNAL)
        if trial.state.name == "COMPLETE"
    }
    return {
        "records": records,
        "prompts": prompts,
        "runs": runs,
        "points": sorted(item.info.run_name for item in levels["point"]),
        "parents": [item.info.status for item in levels["sweep"]],
        "trials": trials,
    }


def check(folder: Path, name: str) -> None:
    """Every cell and every point is there once, finished, with the values they stand for."""
    plan = PLANS[name]()
    if isinstance(plan, SearchPlan):
        check_trials(folder, plan)
    else:
        check_mlflow(folder, plan)
    check_cells(folder, plan)


def check_cells(folder: Path, plan: AnyPlan) -> None:
    """Ledger, prompts and MLflow have each cell once, finished, with its values."""
    states = Counter(item.info.status for level in mlflow_levels(folder).values() for item in level)
    assert states.keys() == {"FINISHED"}
    records = list(Ledger(folder).records())
    assert len(records) == records_in(folder)
    assert Counter(record["id"] for record in records) == Counter(cell.id for cell in plan.cells)
    for record in records:
        cell, prompt = plan.by_id[record["id"]], tabulated_prompt(plan.by_id[record["id"]])
        assert record["result"] == json.loads(json.dumps(tabulated_result(cell)))
        assert (record["prompt"] is None) == (prompt is None)
        assert prompt is None or (Ledger(folder).prompt(cell.id) == prompt).all()
    transfers = [cell.id for cell in plan.cells if cell.kind == "transfer"]
    shown = mlflow_levels(folder)["result"]
    assert Counter(item.data.tags["cell"] for item in shown) == Counter(transfers)
    for item in shown:
        score = tabulated_result(plan.by_id[item.data.tags["cell"]])["score"]
        assert item.data.metrics["transfer/score"] == score
    assert list((folder / "ledger").glob("failed/*")) == []
    assert list(folder.rglob("*.tmp")) == []


def check_trials(folder: Path, plan: SearchPlan) -> None:
    """The journal has each point of the space complete exactly once, and nothing under way."""
    every = [plan.space.at(index) for index in range(plan.space.size or 0)]
    for point in every:
        plan.open(point)
    trials = trials_in(folder / JOURNAL)
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "FAIL"}
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    assert not any(WARM in trial.user_attrs for trial in complete)
    found = Counter(_key(trial) for trial in complete)
    # A pack whose worker was killed once too often failed, and its point was asked for again.
    failed = [trial for trial in trials if trial.state.name == "FAIL"]
    assert {_key(trial) for trial in failed if DROPPED not in trial.user_attrs} <= found.keys()
    assert found == Counter({point.key for point in every})


def _key(trial: Any) -> str:
    return Point.from_json(trial.user_attrs[POINT]).key


def kills_of(total: int, rng: random.Random) -> list[tuple[str, int]]:
    """Whom to kill, each with the number of records that the ledger has by then."""
    kinds = rng.sample(KINDS, len(KINDS))
    moments = sorted(rng.choices(range(total - 2 * SLACK), k=len(kinds)))
    return [("starting", 0), *zip(kinds, moments, strict=True)]


class Killer:
    """Kills a sweep's driver or a worker, again and again."""

    def __init__(
        self,
        name: str,
        folder: Path,
        pace: Path,
        kills: list[tuple[str, int]],
        rng: random.Random,
    ) -> None:
        self._name, self._folder, self._pace, self._kills = name, folder, pace, kills
        self.log = folder.parent / "log"
        self._random = rng
        self._driver: subprocess.Popen[bytes] | None = None
        self.done: list[str] = []
        self.starts = 0

    def run(self) -> None:
        """Kill as planned, and restart the command until it says that all is done."""
        try:
            for kind, moment in self._kills:
                # A killer that is late, on a busy machine, finds the sweep there still.
                set_pace(self._pace, self._folder, PACE_SECONDS, moment + SLACK)
                self._kill(kind, moment)
            set_pace(self._pace, self._folder)
            # Packs whose worker was killed once too often have failed.
            for _ in range(3):
                if self._running().wait(PATIENCE) == 0:
                    return
            raise AssertionError(self.log.read_text())
        finally:
            if self._driver is not None:
                self._driver.kill()
                self._driver.wait()

    def _kill(self, kind: str, moment: int) -> None:
        if kind == "starting":
            self._running()
            time.sleep(STARTING * self._random.random())
            return self._kill_driver()
        deadline, nap = time.monotonic() + PATIENCE, NAP * self._random.random()
        while True:
            assert time.monotonic() < deadline, self.log.read_text()
            self._running()
            if records_in(self._folder) < moment:
                time.sleep(0.01)
                continue
            time.sleep(nap)
            if kind == "driver":
                return self._kill_driver()
            found = workers()
            if found and _killed(self._random.choice(found)):
                return self.done.append(f"worker at {records_in(self._folder)}")

    def _kill_driver(self) -> None:
        driver, self._driver = self._running(), None
        driver.kill()
        driver.wait()
        self.done.append(f"driver at {records_in(self._folder)}")
        psutil.wait_procs(workers(), timeout=20)

    def _running(self) -> subprocess.Popen[bytes]:
        code = None if self._driver is None else self._driver.poll()
        if self._driver is None or code is not None:
            assert code in (None, 1), self.log.read_text()
            self._start()
        assert self._driver is not None
        return self._driver

    def _start(self) -> None:
        self.starts += 1
        with self.log.open("ab") as log:
            self._driver = subprocess.Popen(
                [sys.executable, "-m", "tests.sweep.drive", str(self._folder), self._name],
                stderr=log,
                cwd=ROOT,
            )


def workers() -> list[psutil.Process]:
    """Processes that run packs, in the cluster that this process has started."""
    return [item for item in psutil.Process().children(recursive=True) if _is_worker(item)]


def _is_worker(process: psutil.Process, name: str = "Trainable") -> bool:
    try:
        return any(name in part for part in process.cmdline()[:1])
    except psutil.Error:
        return False


def _killed(victim: psutil.Process) -> bool:
    try:
        victim.kill()
    except psutil.Error:
        return False
    psutil.wait_procs([victim], timeout=10)
    return True


@pytest.fixture
def pace(tmp_path: Path, ray_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Drivers come and go, one cluster stays: starting Ray anew each time would take minutes."""
    file = tmp_path / "pace.json"
    # Workers inherit it from their node.
    monkeypatch.setenv(PACE, str(file))
    monkeypatch.setenv(COMPUTES, EXECUTOR)
    with cluster_of({"num_cpus": 1}, {"num_cpus": 1}) as found:
        monkeypatch.setenv(ADDRESS, found.address)
        yield file


@pytest.fixture
def seed() -> Iterator[int]:
    """Another one each time; shown where the test fails, to be set for the next time."""
    found = int(os.environ.get(SEED) or random.SystemRandom().randrange(10**6))
    yield found
    print(f"{SEED}={found}")


@pytest.mark.parametrize("name", ["grid", "search"])
def test_killed_at_random_moments(tmp_path: Path, name: str, pace: Path, seed: int) -> None:
    """Ten kills each of a grid and of a search of a finite space, twenty in all."""
    rng, quiet, lines = random.Random(seed), tmp_path / "quiet", list[str]()
    set_pace(pace, quiet)
    assert run(PLANS[name](), quiet, options(say=lines.append)) == 0, lines
    check(quiet, name)
    killer = Killer(name, tmp_path / "killed", pace, kills_of(records_in(quiet), rng), rng)
    try:
        killer.run()
    finally:
        print(f"{killer.done}, {killer.starts} starts")
    assert len(killer.done) == 1 + len(KINDS)
    check(tmp_path / "killed", name)
    assert snapshot(tmp_path / "killed") == snapshot(quiet)
    assert "Traceback" not in killer.log.read_text()


def test_a_search_of_sixty_points_is_killed_twice(tmp_path: Path, pace: Path, seed: int) -> None:
    """TPE over vectors and texts, on two nodes: exact counts, whatever it has chosen."""
    rng, folder = random.Random(seed), tmp_path / "out"
    moments = sorted(rng.sample(range(20, 250), 2))
    killer = Killer("tpe", folder, pace, [("driver", moment) for moment in moments], rng)
    killer.run()
    assert (len(killer.done), killer.starts) == (2, 3), killer.log.read_text()
    plan = PLANS["tpe"]()
    assert isinstance(plan, SearchPlan)
    outcomes = read_study(folder / JOURNAL, plan.study).outcomes
    assert Counter(item.state for item in outcomes) == {"complete": 60}
    assert len({item.point.key for item in outcomes}) == 60
    assert {item.point.method for item in outcomes} == {"soft", "pez"}
    for item in outcomes:
        cells = [cell for cell in plan.open(item.point).cells if cell.kind == "transfer"]
        scores = [tabulated_result(cell)["validation_score"] for cell in cells]
        assert item.values == {"transfer/score": pytest.approx(sum(scores) / len(scores))}
    check_cells(folder, plan)


def test_the_actor_that_hands_out_packs_and_workers_are_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the system, say, as memory ran short: the sweep goes on by itself."""
    folder, pace = tmp_path / "out", tmp_path / "pace.json"
    monkeypatch.setenv(PACE, str(pace))
    monkeypatch.setenv(COMPUTES, EXECUTOR)
    set_pace(pace, folder, PACE_SECONDS, 6)
    command = [sys.executable, "-m", "tests.sweep.drive", str(folder)]
    with (tmp_path / "log").open("wb") as log:
        driver = subprocess.Popen(command, stderr=log, cwd=ROOT)
    told = (tmp_path / "log").read_text
    try:
        for name, limit, most in (("Broker", 6, 20), ("Trainable", 20, 1000)):
            deadline, found = time.monotonic() + PATIENCE, list[psutil.Process]()
            # All packs wait at the pace's limit: workers are killed in the middle of one.
            while not found or records_in(folder) < limit:
                assert driver.poll() is None, told()
                assert time.monotonic() < deadline, told()
                time.sleep(0.05)
                family = psutil.Process(driver.pid).children(recursive=True)
                found = [item for item in family if _is_worker(item, name)]
            gone = [_killed(item) for item in found]
            assert all(gone)
            set_pace(pace, folder, PACE_SECONDS, most)
        assert driver.wait(PATIENCE) == 0, told()
    finally:
        driver.kill()
        driver.wait()
    check(folder, "small")
    lines = told().splitlines()
    assert "Traceback" not in told()
    (again,) = [line for line in lines if "goes on with a new Ray" in line]
    assert "the process that hands out packs was killed or crashed" in again
    assert "--workers" in again
    assert len([line for line in lines if AGAIN in line]) == 1
