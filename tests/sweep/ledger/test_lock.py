import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sweep.ledger.lock import LOCK_FILE, DriverLock, running_driver
from sweep.process.interrupts import interruptible
from trainables.errors import InputError

HOLD = """
import sys, time
from pathlib import Path
from sweep.ledger.lock import DriverLock
with DriverLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def _other_driver(folder: Path, program: str = HOLD) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, str(folder)]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    assert driver.stdout.readline() == "held\n"
    return driver


@pytest.mark.slow
def test_the_second_driver_is_refused_by_pid_until_the_first_dies(tmp_path: Path) -> None:
    driver = _other_driver(tmp_path)
    try:
        assert running_driver(tmp_path) == driver.pid
        with pytest.raises(InputError, match=f"process {driver.pid}"), DriverLock(tmp_path):
            pass
    finally:
        driver.kill()
        driver.wait()
    assert driver.stdout is not None
    driver.stdout.close()
    # What it left behind is no obstacle.
    assert (tmp_path / LOCK_FILE).read_text() == f"{driver.pid} {socket.gethostname()}\n"
    assert running_driver(tmp_path) is None
    with DriverLock(tmp_path):
        assert running_driver(tmp_path) == os.getpid()
        assert (tmp_path / LOCK_FILE).read_text() == f"{os.getpid()} {socket.gethostname()}\n"
    assert running_driver(tmp_path) is None


ELSEWHERE = HOLD.replace(
    "import sys, time", "import socket, sys, time\nsocket.gethostname = lambda: 'node-7'"
)


@pytest.mark.slow
def test_the_second_driver_hears_of_the_host_of_the_first(tmp_path: Path) -> None:
    """On a shared disk the first one may run on another machine."""
    driver = _other_driver(tmp_path, ELSEWHERE)
    try:
        with pytest.raises(InputError) as caught, DriverLock(tmp_path):
            pass
    finally:
        driver.kill()
        driver.communicate()
    assert str(caught.value) == (
        f"{tmp_path}: a sweep is running in this folder already (process {driver.pid} on node-7);"
        " allowed: one driver at a time"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "holder"),
    [("", "process unknown on a host"), ("12\n", "process 12 on a host"), ("\0\xff x", "process")],
)
def test_a_lock_that_says_little_is_a_lock(tmp_path: Path, text: str, holder: str) -> None:
    with DriverLock(tmp_path):
        (tmp_path / LOCK_FILE).write_text(text)
        with pytest.raises(InputError, match=holder), DriverLock(tmp_path):
            pass


def test_looking_does_not_keep_a_driver_out(tmp_path: Path) -> None:
    assert running_driver(tmp_path) is None
    with DriverLock(tmp_path):
        pass
    for _ in range(20):
        assert running_driver(tmp_path) is None
        with DriverLock(tmp_path):
            pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_in_order_and_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with interruptible() as interrupts:
        assert not interrupts.seen
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        assert interrupts.seen
    assert signal.getsignal(number) is before
