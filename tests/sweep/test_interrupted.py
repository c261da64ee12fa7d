"""Signals while packs take long: nobody waits for them, and nothing is left behind."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sweep.interrupts import children_undisturbed
from sweep.ledger import Ledger
from sweep.testing.tabulated import SECONDS
from tests.sweep.clusters import processes_of, wait_for
from tests.sweep.clusters import ray_folder as ray_folder
from tests.sweep.drive import the_plan
from tests.sweep.folders import check_complete, mlflow_runs
from tests.sweep.paced import records_in

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
from sweep.interrupts import interruptible
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


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGQUIT"])
def test_the_second_one_ends_at_once(name: str) -> None:
    with holding(name, ends=30) as process:
        process.send_signal(getattr(signal, name))
        assert process.stdout is not None
        assert process.stdout.readline() == "in order\n"
        time.sleep(0.7)
        process.send_signal(getattr(signal, name))
        assert process.wait(5) == 128 + getattr(signal, name)


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
from sweep.caretaker import caretaker
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


def test_a_check_under_way_ends_with_its_driver_or_its_use() -> None:
    code = (
        "import subprocess, sys; from sweep.preflight import abandoned_on_error, _UNDER_WAY\n"
        "child = 'from trainables.parent import end_with_parent as e; e(); print(1, flush=True);"
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


def driver_of(folder: Path, log: Path, streams: str = "") -> "subprocess.Popen[bytes]":
    line = f"exec {sys.executable} -m tests.sweep.drive {folder} {streams or f'2>>{log}'}"
    return subprocess.Popen(["bash", "-c", line], cwd=ROOT)


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_packs_that_take_long_are_dropped(
    tmp_path: Path, faults: Path, ray_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended by ``kill -9``, by a second Ctrl-C and by a terminal that is gone.

    The driver that continues then has no standard streams, and is stopped for a while.
    """
    plan, folder, log = the_plan(), tmp_path / "out", tmp_path / "log"
    monkeypatch.setenv(SECONDS, "600")
    monkeypatch.setenv("TMPDIR", str(ray_folder))
    for numbers, code in (
        ([signal.SIGKILL], -signal.SIGKILL),
        ([signal.SIGINT, signal.SIGINT], 128 + signal.SIGINT),
        ([signal.SIGHUP, signal.SIGHUP], 130),
    ):
        (faults / "packs.log").unlink(missing_ok=True)
        driver = driver_of(folder, log)
        try:
            wait_for((faults / "packs.log").exists, 300, log)
            below = psutil.Process(driver.pid).children(recursive=True)
            assert any("Trainable" in " ".join(p.cmdline()) for p in below)
            began = time.monotonic()
            for number in numbers:
                driver.send_signal(number)
                time.sleep(0.7)
            assert driver.wait(PATIENCE) == code, log.read_text()
            print(f"{numbers[0].name}: ended after {time.monotonic() - began:.1f} s")
        finally:
            driver.kill()
            driver.wait()
        assert psutil.wait_procs(below, timeout=10)[1] == []
        assert list(ray_folder.iterdir()) == []
        assert processes_of(ray_folder) == []
    text = log.read_text()
    assert "0 of 172 cells are kept, the same command continues" in text
    assert "Traceback" not in text
    assert [run.info.status for run in mlflow_runs(folder)[0]] == ["KILLED"]
    assert list(Ledger(folder).failures()) == []
    monkeypatch.setenv(SECONDS, "0.1")
    for name, value in SHORT.items():
        monkeypatch.setenv(f"RAY_{name}", value)
    driver = driver_of(folder, log, "<&- >&- 2>&-")
    try:
        wait_for(lambda: records_in(folder) > 10, 300)
        driver.send_signal(signal.SIGSTOP)
        time.sleep(STOPPED)
        driver.send_signal(signal.SIGCONT)
        assert driver.wait(200) == 0
    finally:
        driver.kill()
        driver.wait()
    check_complete(folder, plan)
