"""Signals while packs take long: nobody waits for them, and nothing is left behind."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from sweep.ledger.ledger import Ledger
from sweep.process.interrupts import children_undisturbed
from tests.sweep.clusters import processes_of, wait_for
from tests.sweep.clusters import ray_folder as ray_folder
from tests.sweep.drive import COMPUTES, the_plan
from tests.sweep.folders import check_complete, check_mlflow, mlflow_runs
from tests.sweep.paced import EXECUTOR, PACE, is_held, records_in, set_pace
from trainables.tune import AGAIN

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 90.0
"""Seconds; five where nothing else runs."""
STOPPED = 10.0
SHORT = {
    "health_check_period_ms": "300",
    "health_check_timeout_ms": "1000",
    "health_check_initial_delay_ms": "500",
    "grpc_keepalive_time_ms": "1000",
    "grpc_keepalive_timeout_ms": "1000",
    "grpc_client_keepalive_time_ms": "3000",
    "grpc_client_keepalive_timeout_ms": "1000",
    "gcs_rpc_server_reconnect_timeout_s": "6",
}
"""Ray's patience with others, a tenth of what it is: then ten seconds are like ninety."""
HOLD = """
import signal, sys, time
from sweep.process.interrupts import interruptible
signal.signal(getattr(signal, sys.argv[1]), getattr(signal, sys.argv[2]))
try:
    with interruptible():
        try:
            print("ready", flush=True)
            time.sleep(30)
        finally:
            print("in order", flush=True)
            time.sleep(float(sys.argv[3]))
except KeyboardInterrupt:
    sys.exit(130)
"""


def holding(name: str, before: str = "SIG_DFL", ends: float = 0.0) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", HOLD, name, before, str(ends)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_the_first_signal_ends_in_order(name: str) -> None:
    """Sent twice within a moment, as shells, ``timeout`` and ``uv run`` do, it is one."""
    with holding(name, ends=0.3) as process:
        for _ in range(2):
            process.send_signal(getattr(signal, name))
        assert process.communicate(timeout=20)[0] == "in order\n"
    assert process.returncode == 130


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGQUIT"])
def test_the_second_one_ends_at_once(name: str) -> None:
    with holding(name, ends=30) as process:
        process.send_signal(getattr(signal, name))
        assert process.stdout is not None
        assert process.stdout.readline() == "in order\n"
        time.sleep(0.7)
        process.send_signal(getattr(signal, name))
        assert process.wait(5) == 128 + getattr(signal, name)


@pytest.mark.slow
def test_a_terminal_that_is_gone_twice_is_no_second_signal() -> None:
    with holding("SIGHUP", ends=1.2) as process:
        process.send_signal(signal.SIGHUP)
        time.sleep(0.7)
        process.send_signal(signal.SIGHUP)
        assert process.wait(20) == 130


@pytest.mark.parametrize("name", ["SIGHUP", "SIGQUIT"])
def test_what_was_ignored_stays_so(name: str) -> None:
    """Under ``nohup``."""
    with holding(name, "SIG_IGN") as process:
        process.send_signal(getattr(signal, name))
        time.sleep(0.3)
        assert process.poll() is None
        process.terminate()
        assert process.wait(20) == 130


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT])
def test_children_are_undisturbed(number: signal.Signals) -> None:
    with children_undisturbed():
        child = subprocess.Popen(["sleep", "30"])
    child.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.2)
    child.kill()
    child.wait()
    assert number not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


CARED = """
import os, subprocess, sys, time
from pathlib import Path
from sweep.process.caretaker import caretaker
folder = Path(sys.argv[1])
(folder / "ray").mkdir()
mine = (folder / "ray" / "driver.log").open("w")  # as Ray's driver has one open
with (folder / "ray" / "worker.log").open("w") as log:
    user = subprocess.Popen(["sleep", "60"], stdout=log, start_new_session=True)
    other = subprocess.Popen(["sleep", "60"], start_new_session=True)
with caretaker(folder, folder / "ray", group=other.pid):
    print(user.pid, other.pid, flush=True)
    if sys.argv[2] == "kill":
        os.kill(os.getpid(), 9)
print("alive", flush=True)
"""


@pytest.mark.parametrize("how", ["kill", "leave"])
def test_a_caretaker_puts_away_however_a_process_ends(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    command = [sys.executable, "-c", CARED, str(folder), how]
    found = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=30, check=False
    )
    assert found.returncode == (-signal.SIGKILL if how == "kill" else 0)
    first, *rest = found.stdout.splitlines()
    assert rest == ([] if how == "kill" else ["alive"])
    wait_for(lambda: not folder.exists(), 10)
    for pid in map(int, first.split()):
        wait_for(lambda pid=pid: not _lives(pid), 10)  # type: ignore[misc]


@pytest.mark.slow
def test_a_check_under_way_ends_with_its_driver_or_its_use() -> None:
    code = (
        "import subprocess, sys\n"
        "from sweep.planning.preflight import abandoned_on_error, _UNDER_WAY\n"
        "child = 'from trainables.compute.process import end_with_parent as e; e();"
        " print(1, flush=True);"
        " import time; time.sleep(60)'\n"
        "def ask(): return subprocess.Popen([sys.executable, '-c', child], stdout=-1)\n"
        "dropped = ask(); _UNDER_WAY.add(dropped)\n"
        "try:\n with abandoned_on_error(): raise KeyboardInterrupt\n"
        "except KeyboardInterrupt: print(dropped.wait(5))\n"
        "left = ask(); left.stdout.readline(); print(left.pid, flush=True)\n"
        "import os; os._exit(0)\n"
    )
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    killed, pid = map(int, found.stdout.split())
    assert killed == -signal.SIGKILL
    wait_for(lambda: not _lives(pid), 5)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass(frozen=True)
class Sweep:
    """One whose packs wait as the test wants it."""

    folder: Path
    pace: Path
    log: Path

    @contextmanager
    def driver(self, streams: str = "") -> "Iterator[subprocess.Popen[bytes]]":
        line = f"exec {sys.executable} -m tests.sweep.drive {self.folder}"
        command = ["bash", "-c", f"{line} {streams or f'2>>{self.log}'}"]
        driver = subprocess.Popen(command, cwd=ROOT)
        try:
            yield driver
        finally:
            driver.kill()
            driver.wait()

    def set_pace(self, seconds: float, most: int) -> None:
        set_pace(self.pace, self.folder, seconds, most)

    def wait(self, driver: "subprocess.Popen[bytes]", what: Callable[[], bool]) -> None:
        """Until ``what`` holds, which it has to while the driver lives."""
        wait_for(lambda: driver.poll() is not None or what(), 300, self.log)
        assert driver.poll() is None, self.log.read_text()

    def wait_for_packs(self, driver: "subprocess.Popen[bytes]", records: int) -> None:
        """Until there are so many records, and a worker is in a pack that does not end."""
        self.wait(driver, lambda: records_in(self.folder) >= records)
        self.wait(driver, lambda: any(is_held(self.pace, item.pid) for item in below(driver)))


def below(driver: "subprocess.Popen[bytes]", name: str = "") -> list[psutil.Process]:
    """Processes that a driver has started; of Ray's actors those of one kind."""
    found = psutil.Process(driver.pid).children(recursive=True)
    return [item for item in found if name in _title(item)]


def _title(process: psutil.Process) -> str:
    try:
        return (process.cmdline() or [""])[0]
    except psutil.Error:
        return ""


@pytest.fixture
def sweep(tmp_path: Path, ray_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sweep]:
    found = Sweep(tmp_path / "out", tmp_path / "pace.json", tmp_path / "log")
    monkeypatch.setenv("TMPDIR", str(ray_folder))
    monkeypatch.setenv(PACE, str(found.pace))
    monkeypatch.setenv(COMPUTES, EXECUTOR)
    # Drivers inherit it: under nohup they would take no notice of a terminal that is gone.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield found
    signal.signal(signal.SIGHUP, before)


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_stopped_in_every_way_and_continued(
    sweep: Sweep, ray_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a second Ctrl-C and by a terminal that is gone, in the middle of packs that take long.

    Then by SIGTERM, which Ray would like to have for itself, after the actor that hands out packs
    and all workers were killed, by the system, say, as memory ran short: the sweep went on by
    itself. The last driver has no standard streams, and is stopped for a while.
    """
    plan, folder, log = the_plan(), sweep.folder, sweep.log
    sweep.set_pace(0.0, 0)
    for number in (signal.SIGINT, signal.SIGHUP):
        with sweep.driver() as driver:
            sweep.wait_for_packs(driver, 0)
            family = below(driver)
            began = time.monotonic()
            for _ in range(2):
                driver.send_signal(number)
                time.sleep(0.7)
            assert driver.wait(PATIENCE) == 130, log.read_text()
            print(f"{number.name}: ended after {time.monotonic() - began:.1f} s")
        _nothing_is_left(family, ray_folder)
    assert "0 of 172 cells are kept, the same command continues" in log.read_text()
    assert [run.info.status for run in mlflow_runs(folder)[0]] == ["KILLED"]
    assert list(Ledger(folder).failures()) == []

    with sweep.driver() as driver:
        for name, limit in (("Broker", 6), ("Trainable", 20)):
            sweep.set_pace(0.2, limit)
            # All packs wait at the pace's limit: workers are killed in the middle of one.
            sweep.wait_for_packs(driver, limit)
            workers, victims = below(driver, "Trainable"), below(driver, name)
            assert victims
            for victim in victims:
                victim.kill()
            # Workers of a Ray that goes down with its broker are not those that come next.
            psutil.wait_procs({*workers, *victims}, timeout=PATIENCE)
        sweep.set_pace(0.2, 1000)
        sweep.wait(driver, lambda: AGAIN in log.read_text())
        family = below(driver)
        driver.terminate()
        assert driver.wait(PATIENCE) == 130, log.read_text()
    _nothing_is_left(family, ray_folder)
    lines = log.read_text().splitlines()
    (again,) = [line for line in lines if "goes on with a new Ray" in line]
    assert "the process that hands out packs was killed or crashed" in again
    assert "--workers" in again
    assert len([line for line in lines if AGAIN in line]) == 1
    assert "the same command continues" in lines[-1]
    assert "Traceback" not in log.read_text()
    assert [run.info.status for run in mlflow_runs(folder)[0]] == ["KILLED"]

    kept = records_in(folder)
    for name, value in SHORT.items():
        monkeypatch.setenv(f"RAY_{name}", value)
    with sweep.driver("<&- >&- 2>&-") as driver:
        sweep.wait(driver, lambda: records_in(folder) > kept)
        driver.send_signal(signal.SIGSTOP)
        time.sleep(STOPPED)
        driver.send_signal(signal.SIGCONT)
        assert driver.wait(200) == 0
    check_complete(folder, plan)
    check_mlflow(folder, plan)


def _nothing_is_left(family: list[psutil.Process], ray_folder: Path) -> None:
    """Of the processes of a driver that has ended, and of their files."""
    assert psutil.wait_procs(family, timeout=10)[1] == []
    assert list(ray_folder.iterdir()) == []
    assert processes_of(ray_folder) == []
