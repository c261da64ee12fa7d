"""``kill -9`` at random moments: ``python -m benchmarks.kills --rounds 200 --seed 0``.

Each round kills one of a sweep's processes, or all of them at once; the same command continues.
When a sweep is finished, its ledger must be that of an undisturbed run: each cell once, no value
changed. Then the next sweep begins. Cells are tabulated, so that a round takes seconds.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil

from sweep.engine.runner import Options, commit_of, package_versions, run
from sweep.ledger.ledger import Ledger
from sweep.planning.plan import AnyPlan, make_plan
from sweep.search.plan import SearchPlan, make_search_plan
from sweep.search.records import read_study
from sweep.search.study import JOURNAL
from sweep.spec.spec import parse_spec
from sweep.testing.tabulated import (
    EXECUTOR,
    SECONDS,
    find_model,
    find_task,
    tabulated_arrays,
    tabulated_result,
)
from trainables.core.cells import Cell

BLOCK = {"worker": 13, "driver": 3, "all": 1, "raylet": 1, "gcs": 1, "broker": 1}
"""Whom to kill, and how often in twenty rounds."""
VARYING = ("finished", "pack", "cost", "versions")
"""What may differ between two runs of the same cell; a commit while it runs changes versions."""
STARTING, NAP = 4.0, 0.4
PATIENCE, LEAVING = 600.0, 30.0
_PACK_SECONDS = 0.2
_SURROUNDINGS = {
    # A driver notices sooner that Ray's control process is gone; a minute otherwise.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "8",
    "PYTHONUNBUFFERED": "1",
}


def _spec(**more: Any) -> Any:
    return parse_spec(
        {
            "name": "kills",
            "sources": ["A", "B", "C"],
            "pairs": "all",
            "targets": ["T"],
            "tasks": ["x", "y"],
            "seeds": 2,
            **more,
        }
    )


def _grid() -> AnyPlan:
    methods = {"soft": {"lambda": [0, 0.5, "annealing"], "steps": 4, "evaluations": 2}}
    return make_plan(_spec(methods=methods, direct=True, tasks=["x"]), find_model, find_task)


def _tpe() -> AnyPlan:
    methods = {
        "soft": {"lambda": [{"low": 0, "high": 1}], "steps": 4, "evaluations": 2},
        "pez": {"k": {"low": 4, "high": 64}, "steps": 4, "evaluations": 2},
    }
    spec = _spec(methods=methods, search={"sampler": "tpe", "trials": 12})
    return make_search_plan(spec, find_model, find_task)


PLANS: dict[str, Callable[[], AnyPlan]] = {"grid": _grid, "tpe": _tpe}


def drive(name: str, folder: Path) -> int:
    """The command that is killed and continued."""
    options = Options(executor=EXECUTOR, preflight=lambda plan: [], report=lambda folder: None)
    return run(PLANS[name](), folder, options)


def compare(
    name: str, folder: Path, say: Callable[[str], None] = lambda line: None
) -> Counter[str]:
    """How a finished folder's ledger differs from that of an undisturbed run.

    Args:
        name: of the plan.
        folder: of the sweep.
        say: takes a line on everything that was changed.

    Returns:
        ``lost``, ``doubled`` and ``changed`` cells and points, ``left`` files of broken-off writes.
    """
    plan, found = PLANS[name](), Counter[str]()
    expected = {*plan.by_id}
    if isinstance(plan, SearchPlan):
        outcomes = read_study(folder / JOURNAL, plan.study).outcomes
        # A point one of whose packs was killed three times is given up, and another one takes its
        # place; where the budget is used up, its failed cells stay as they are.
        points = [(item.state, plan.open(item.point).cells) for item in outcomes]
        expected = {cell.id for state, cells in points if state != "failed" for cell in cells}
        complete = Counter(item.point.key for item in outcomes if item.state == "complete")
        found["doubled"] += complete.total() - len(complete)
        found["lost"] += max(0, (plan.section.trials or 0) - len(complete))
        found["left"] += sum(item.state == "running" for item in outcomes)
    records = [*Ledger(folder).records()]
    ids = Counter(record["id"] for record in records)
    files = len(list(folder.glob("ledger/??/*.json")))
    found["doubled"] += ids.total() - len(ids)
    found["changed"] += files - len(records)  # which nobody can read
    found["lost"] += len(expected - ids.keys())
    failed = {path.stem for path in folder.glob("ledger/failed/*")}
    found["left"] += len(list(folder.rglob("*.tmp"))) + len(failed & expected)
    with tempfile.TemporaryDirectory() as other:
        fill_undisturbed(Path(other), (cell for cell in plan.cells if cell.id in ids))
        wanted, there = _content(Path(other)), _content(folder)
        for name in (name for name in there if there[name] != wanted.get(name)):
            found["changed"] += 1
            say(f"changed: {name}, {_first_difference(there[name], wanted.get(name))}")
        found["lost"] += len(wanted.keys() - there.keys())
    return found


def fill_undisturbed(folder: Path, cells: Iterable[Cell]) -> None:
    """Write what a run that nobody disturbs would write."""
    ledger = Ledger(folder, package_versions() | commit_of(Path.cwd()))
    for cell in cells:
        ledger.write(cell, tabulated_result(cell), "", {}, *tabulated_arrays(cell))


def _first_difference(there: Any, wanted: Any) -> str:
    if isinstance(there, dict) and isinstance(wanted, dict):
        for key in sorted(there.keys() | wanted.keys()):
            if there.get(key) != wanted.get(key):
                return f"{key}: found {there.get(key)!r}, undisturbed {wanted.get(key)!r}"
    return "its bytes"


def _content(folder: Path) -> dict[str, Any]:
    """Records and the bytes of what they point at, by name."""
    found: dict[str, Any] = {
        record["id"]: {key: value for key, value in record.items() if key not in VARYING}
        for record in Ledger(folder).records()
    }
    for path in folder.glob("prompts/??/*"):
        found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


class Kills:
    """Rounds of kills over sweep after sweep.

    Attributes:
        counts: rounds, kills by kind, sweeps finished, commands resumed, drivers that hung,
            processes that stayed when their driver was killed, and what :func:`compare` finds.
        finished: names and folders of the sweeps that are.
    """

    def __init__(self, root: Path, rng: random.Random, say: Callable[[str], None]) -> None:
        """Nothing runs yet; all sweeps' folders lie below ``root``."""
        self._root, self._random, self._say = root, rng, say
        self._names, self._kinds = self._turns(), self._blocks()
        self._name, self._kind = "", next(self._kinds)
        self.folder = root
        self.finished: list[tuple[str, Path]] = []
        self._driver: subprocess.Popen[bytes] | None = None
        self._orphans: list[psutil.Process] = []
        self.counts: Counter[str] = Counter()
        self.log = root / "log"
        self._next()

    def run(self, rounds: int, until: float = float("inf")) -> Counter[str]:
        """So many rounds, or as many as fit until a moment of the monotonic clock; then finish."""
        try:
            while self.counts["rounds"] < rounds and time.monotonic() < until:
                if self._round(self._kind):
                    self.counts["rounds"] += 1
                    self._kind = next(self._kinds)
            while not (
                self._ended(self._running().wait(PATIENCE)) and self.counts["sweeps"] >= len(PLANS)
            ):
                pass
        finally:
            if self._driver is not None:
                self._end(self._everybody(self._driver.pid))
        stayed = psutil.wait_procs(self._orphans, LEAVING)[1]
        self.counts["stayed"] += len(stayed)
        return self.counts

    def _round(self, kind: str) -> bool:
        """Kill somebody; whether it came to that before the sweep was over."""
        driver = self._running()
        if kind in ("driver", "all") and self._random.random() < 0.3:
            while not self.folder.exists() and driver.poll() is None:
                time.sleep(0.02)
            time.sleep(STARTING * self._random.random())
        elif not self._at_work(driver):
            return False
        victims = self._victims(kind, driver.pid)
        if driver.poll() is not None:
            self._ended(driver.returncode)
            return False
        if not victims:  # of that kind
            return False
        if kind == "driver":
            self._orphans += self._everybody(driver.pid)[1:]
        self._end(victims)
        self.counts[f"killed {kind}"] += 1
        return True

    def _at_work(self, driver: "subprocess.Popen[bytes]") -> bool:
        """Wait for something new in the ledger and a moment more; False when the driver ends."""
        before, until = self._records(), time.monotonic() + PATIENCE
        while self._records() == before:
            if driver.poll() is not None:
                self._ended(driver.returncode)
                return False
            if time.monotonic() > until:
                self._say(f"nothing new for {PATIENCE:.0f} s")
                self.counts["hung"] += 1
                self._end(self._everybody(driver.pid))
                return False
            time.sleep(0.02)
        time.sleep(NAP * self._random.random())
        return True

    def _victims(self, kind: str, driver: int) -> list[psutil.Process]:
        everybody = self._everybody(driver)
        if kind == "all":
            return everybody
        found = [process for process in everybody if _kind(process, driver) == kind]
        return [self._random.choice(found)] if found else []

    def _everybody(self, driver: int) -> list[psutil.Process]:
        try:
            parent = psutil.Process(driver)
            return [parent, *parent.children(recursive=True)]
        except psutil.Error:
            return []

    def _end(self, victims: list[psutil.Process]) -> None:
        for process in victims:
            try:
                process.kill()
            except psutil.Error:
                continue
        if self._driver is not None and any(item.pid == self._driver.pid for item in victims):
            self._driver.wait()
            self._driver = None

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._driver is None or self._driver.poll() is not None:
            again = self.folder.exists()
            self.counts["resumed"] += again
            command = [sys.executable, "-m", "benchmarks.kills", "--drive", self._name]
            with self.log.open("ab") as log:
                self._driver = subprocess.Popen(
                    [*command, str(self.folder)],
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **_SURROUNDINGS, SECONDS: str(_PACK_SECONDS)},
                )
        return self._driver

    def _ended(self, code: int | None) -> bool:
        """Whether the sweep is over; if it is, look at it and go to the next one."""
        self._driver = None
        if code != 0:
            return False
        found = compare(self._name, self.folder, self._say)
        self.counts.update(found)
        self.counts["sweeps"] += 1
        self.finished.append((self._name, self.folder))
        self._say(f"{self._name}: {self.counts['rounds']} rounds so far, {dict(+found) or 'equal'}")
        self._next()
        return True

    def _next(self) -> None:
        self._name = next(self._names)
        self.folder = self._root / f"{self._name}-{self.counts['sweeps']}"

    def _blocks(self) -> Iterator[str]:
        """Every kind in every block, in an order of chance."""
        kinds = [kind for kind, often in BLOCK.items() for _ in range(often)]
        while True:
            yield from self._random.sample(kinds, len(kinds))

    def _turns(self) -> Iterator[str]:
        while True:
            yield from PLANS

    def _records(self) -> int:
        return len(list(self.folder.glob("ledger/??/*.json")))


def _kind(process: psutil.Process, driver: int) -> str:
    if process.pid == driver:
        return "driver"
    try:
        title = f"{process.name()} {(process.cmdline() or [''])[0]}"
    except psutil.Error:
        return ""
    marks = {"Trainable": "worker", "raylet": "raylet", "gcs_server": "gcs", "Broker": "broker"}
    return next((kind for mark, kind in marks.items() if mark in title), "")


def main() -> int:
    """Kill, compare and count; 1 if anything was lost, doubled, changed or left, hung or stayed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="no round after those")
    parser.add_argument("--drive", nargs=2, metavar=("PLAN", "DIR"), help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.drive:
        return drive(wanted.drive[0], Path(wanted.drive[1]))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kills-") as root:
        kills = Kills(Path(root), random.Random(wanted.seed), lambda line: print(line, flush=True))
        counts = kills.run(wanted.rounds, began + 60 * wanted.minutes)
    told = [f"{name} {counts[name]}" for name in sorted(counts) if name not in FAULTS]
    print(", ".join([*told, *(f"{name} {counts[name]}" for name in FAULTS)]))
    print(f"{time.monotonic() - began:.0f} seconds")
    return int(any(counts[name] for name in FAULTS))


FAULTS = ("lost", "doubled", "changed", "left", "hung", "stayed")

if __name__ == "__main__":
    sys.exit(main())
