"""Clusters inside one machine, on the loopback interface, that leave nothing behind.

Every process is ended by its handle: ``ray stop`` would end other people's Ray too.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from sweep.engine.cluster import NO_IDLE, few_processes
from sweep.process.setup import variables

LOOPBACK = "127.0.0.1"
RAY = str(Path(sys.executable).with_name("ray"))
_GRACE = 20.0


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """Where Ray puts sessions and the note of its address: short, for sockets, and our own."""
    with own_ray_folder() as folder:
        yield folder


@contextmanager
def own_ray_folder() -> Iterator[Path]:
    """The same for longer than a test."""
    folder = Path(tempfile.mkdtemp(prefix="ps-", dir="/tmp"))
    try:
        with variables({"RAY_TMPDIR": str(folder), "RAY_USAGE_STATS_ENABLED": "0"}):
            yield folder
    finally:
        for process in processes_of(folder):
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def processes_of(folder: Path) -> list[psutil.Process]:
    """Processes whose command line names ``folder``: Ray's that were started to live in it."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(str(folder) in word for word in process.info["cmdline"] or ()):
            found.append(process)
    return found


@contextmanager
def cluster_of(*workers: Mapping[str, Any]) -> Iterator[Any]:
    """A ``ray.cluster_utils.Cluster``: a head that takes no trials, and ``workers``."""
    from ray.cluster_utils import Cluster

    with variables(NO_IDLE), few_processes():
        cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "num_gpus": 0, "node_ip_address": LOOPBACK},
        )
        try:
            for worker in workers:
                cluster.add_node(node_ip_address=LOOPBACK, **worker)
            yield cluster
        finally:
            cluster.shutdown()


@contextmanager
def started(command: list[str], log: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen]:
    """A process and what it starts, for the time of the ``with``."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **env},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
        # What is left of its process group was started by it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        return int(listener.getsockname()[1])


def wait_for(what: Callable[[], object], seconds: float, log: Path | None = None) -> None:
    """Wait until ``what`` holds; the test fails with the log when it does not."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            pytest.fail(log.read_text()[-3000:] if log else f"not within {seconds} s")
        time.sleep(0.05)


def answers(port: int) -> bool:
    """Whether somebody listens."""
    with socket.socket() as client:
        return client.connect_ex((LOOPBACK, port)) == 0
