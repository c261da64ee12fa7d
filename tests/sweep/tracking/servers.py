"""MLflow servers on the loopback interface, in process groups of their own."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

HOST = "127.0.0.1"
_PATIENCE = 120.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Server:
    """A server that can be killed and started again at the same address."""

    def __init__(
        self, folder: Path, store: str, *options: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.port = free_port()
        self.uri = f"http://{HOST}:{self.port}"
        self.log = folder / "server.log"
        self._command = [
            *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store),
            *("--artifacts-destination", (folder / "served").as_uri()),
            *("--host", HOST, "--port", str(self.port), "--workers", "1", *options),
        ]
        self._environment = {
            **os.environ,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            **(environment or {}),
        }
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._running = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=self._environment, start_new_session=True
            )

    def wait(self) -> None:
        """Until it answers."""
        assert self._running is not None
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            assert self._running.poll() is None, self.log.read_text()
            if self.answers():
                return
            time.sleep(0.2)
        raise AssertionError(self.log.read_text())

    def answers(self, path: str = "/health", headers: Mapping[str, str] | None = None) -> int:
        """HTTP status; 0 where nobody answers."""
        request = urllib.request.Request(self.uri + path, headers=dict(headers or {}))
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def kill(self) -> None:
        """SIGKILL to all of its processes; returns when the last of them is gone."""
        if self._running is None:
            return
        self._remember()
        group, deadline = self._running.pid, time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                break
            self._running.poll()  # a dead leader counts as one of the group until it is reaped
            time.sleep(0.05)
        self._running.wait()
        self._running = None

    def _remember(self) -> None:
        """What the command has started: it does so for seconds, and need not the next time."""
        assert self._running is not None
        with suppress(psutil.Error):
            for process in psutil.Process(self._running.pid).children():
                if "uvicorn" in process.cmdline():
                    self._command, self._environment = process.cmdline(), process.environ()


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    server.start()
    try:
        server.wait()
        yield server
    finally:
        server.kill()
