"""Nothing of a sweep or of its web view listens beyond the loopback interface."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from sweep.commands.ui import free_port
from sweep.tracking.facts import DATABASE
from tests.sweep.clusters import ray_folder  # noqa: F401

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(300)]

LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def listening(root: psutil.Process) -> set[tuple[str, str, int]]:
    """Name, address and port of whatever the process and all below it listen on (TCP and UDP)."""
    found = set()
    for process in [root, *root.children(recursive=True)]:
        try:
            for item in process.net_connections(kind="inet"):
                bound = item.status in (psutil.CONN_LISTEN, psutil.CONN_NONE)
                if bound and item.laddr and not item.raddr:
                    found.add((process.name(), item.laddr.ip, item.laddr.port))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def watched(
    command: list[str], folder: Path, enough: Callable[[set[tuple[str, str, int]]], bool]
) -> set[tuple[str, str, int]]:
    """All that listened while a command ran, until it ended or ``enough`` was seen."""
    found: set[tuple[str, str, int]] = set()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        root = psutil.Process(process.pid)
        deadline = time.monotonic() + 200
        while process.poll() is None and time.monotonic() < deadline and not enough(found):
            found |= listening(root)
            time.sleep(0.1)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(60)
    assert found, (folder / "log").read_text()[-2000:]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("listening")


@pytest.mark.usefixtures("ray_folder")
def test_a_sweep(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As for users: what this test's own environment sets for Ray is taken out.
    for name in ("RAY_AUTH_MODE", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"):
        monkeypatch.delenv(name)
    command = [sys.executable, "-m", "tests.sweep.drive", str(folder / "sweep"), "tiny"]
    found = watched(command, folder, lambda seen: False)
    assert {"gcs_server", "raylet"} <= {name for name, *_ in found}
    assert {item for item in found if item[1] not in LOOPBACK} == set()
    assert (folder / "sweep" / DATABASE).is_file()


def test_the_web_view(folder: Path) -> None:
    if not (folder / "sweep" / DATABASE).is_file():
        pytest.skip("the sweep of the test before is not there")
    port = free_port()
    command = [sys.executable, "-m", "sweep.cli", "ui", str(folder / "sweep"), "--port", str(port)]
    found = watched(command, folder, lambda seen: port in {number for *_, number in seen})
    assert {item for item in found if item[1] not in LOOPBACK} == set()
    assert port in {number for *_, number in found}
