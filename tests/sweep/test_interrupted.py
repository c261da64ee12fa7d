"""Ctrl-C and SIGTERM while packs take long: nobody waits for them, and nothing is left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sweep.ledger import Ledger
from sweep.testing.tabulated import SECONDS
from tests.sweep.clusters import wait_for
from tests.sweep.drive import the_plan
from tests.sweep.folders import check_complete, mlflow_runs

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0
"""Seconds; five where nothing else runs."""


def driver_of(folder: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        command = [sys.executable, "-m", "tests.sweep.drive", str(folder)]
        return subprocess.Popen(command, stderr=file, cwd=ROOT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_packs_that_take_long_are_dropped(
    tmp_path: Path, faults: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    plan, folder, log = the_plan(), tmp_path / "out", tmp_path / "log"
    monkeypatch.setenv(SECONDS, "600")
    driver = driver_of(folder, log)
    try:
        wait_for((faults / "packs.log").exists, 120, log)
        below = psutil.Process(driver.pid).children(recursive=True)
        assert any("Trainable" in " ".join(p.cmdline()) for p in below)
        began = time.monotonic()
        os.kill(driver.pid, number)
        assert driver.wait(PATIENCE) == 130, log.read_text()
        print(f"ended after {time.monotonic() - began:.1f} s")
    finally:
        driver.kill()
        driver.wait()
    assert psutil.wait_procs(below, timeout=10)[1] == []
    text = log.read_text()
    assert "0 of 172 cells are kept, the same command continues" in text
    assert "Traceback" not in text
    assert [run.info.status for run in mlflow_runs(folder)[0]] == ["KILLED"]
    assert list(Ledger(folder).failures()) == []
    monkeypatch.setenv(SECONDS, "0")
    assert driver_of(folder, log).wait(200) == 0, log.read_text()
    check_complete(folder, plan)
