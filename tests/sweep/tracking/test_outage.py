"""A sweep whose MLflow server is killed twice and whose driver is killed once."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.engine.runner import Options, run
from sweep.planning.plan import Plan
from sweep.testing.tabulated import EXECUTOR, SECONDS
from tests.sweep.drive import no_check, no_report
from tests.sweep.folders import check_complete, check_mlflow
from tests.sweep.samples import plan_of
from tests.sweep.tracking.servers import Server

RESULTS = 72
_PATIENCE = 240.0


def the_plan(uri: str) -> Plan:
    return plan_of(
        sources=["A", "B", "C", "D"],
        tasks=["t0", "t1"],
        seeds=3,
        methods={"soft": {"lambda": [0, 0.5], "steps": 4, "evaluations": 2}},
        pairs=[["A", "B"], ["A", "C"], ["B", "D"], ["A", "D"]],
        direct=True,
        mlflow={"tracking_uri": uri},
    )


def _driver(folder: Path, uri: str, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.sweep.tracking.test_outage", str(folder), uri],
            stderr=file,
            cwd=Path(__file__).resolve().parents[3],
        )


def _wait(
    until: Callable[[], bool], driver: "subprocess.Popen[bytes]", log: Path, ends: bool = False
) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not until():
        assert ends or driver.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_every_result_is_there_once_whatever_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(tmp_path, f"sqlite:///{tmp_path / 'server.db'}")
    plan = the_plan(server.uri)
    assert sum(cell.kind == "transfer" for cell in plan.cells) == RESULTS
    folder, log = tmp_path / "out", tmp_path / "driver.log"

    def records() -> int:
        return len(list(folder.glob("ledger/??/*.json")))

    def share(part: float) -> Callable[[], bool]:
        return lambda: records() >= part * len(plan.cells)

    monkeypatch.setenv(SECONDS, "0.5")
    server.start()
    server.wait()
    driver = _driver(folder, server.uri, log)
    try:
        _wait(share(0.25), driver, log)
        server.kill()
        _wait(share(0.35), driver, log)
        server.start()  # back in some seconds, while the sweep goes on
        _wait(share(0.5), driver, log)
        driver.kill()
        driver.wait()
        assert len(plan.by_id) > records() > 0
        driver = _driver(folder, server.uri, log)
        _wait(share(0.7), driver, log)
        server.kill()
        _wait(share(0.8), driver, log)
        server.start()
        assert driver.wait(_PATIENCE) == 0, log.read_text()
        check_complete(folder, plan)
        server.wait()
        if "catches up" in log.read_text():
            # On a machine that is very busy the server may come back too late: nothing is lost.
            assert _driver(folder, server.uri, log).wait(_PATIENCE) == 0
        check_mlflow(folder, plan, server.uri)
    finally:
        driver.kill()
        driver.wait()
        server.kill()
    assert "Traceback" not in log.read_text()


if __name__ == "__main__":
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    sys.exit(
        run(
            the_plan(sys.argv[2]),
            Path(sys.argv[1]),
            Options(executor=EXECUTOR, preflight=no_check, report=no_report),
        )
    )
