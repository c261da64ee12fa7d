"""MLflow's web view of one sweep, on the loopback interface."""

import os
import shlex
import signal
import socket
import subprocess
from pathlib import Path

from sweep.ledger.folder import read_meta
from sweep.process.caretaker import caretaker
from sweep.process.interrupts import interruptible
from sweep.process.setup import child_command, child_environment
from sweep.tracking.compare import compare
from sweep.tracking.facts import ARTIFACTS, DATABASE, HOST, USUAL_PORT, default_tracking_uri
from trainables.errors import InputError
from trainables.files.redact import redact

_PATIENCE = 5.0


def serve(folder: Path, port: int | None = None) -> int:
    """Run MLflow's server until it is stopped.

    Args:
        port: None takes :data:`USUAL_PORT` or, where that is taken, any free one.

    Returns:
        The server's exit code; 0 after Ctrl-C.

    Raises:
        InputError: no sweep's folder, its runs are elsewhere, or the port is taken.
    """
    meta = read_meta(folder)
    uri = meta["spec"]["mlflow"]["tracking_uri"]
    if uri is not None:
        raise InputError(
            f"{folder}: its runs are at {redact(uri)}, as its spec asks; open that instead"
        )
    if not (folder / DATABASE).is_file():
        raise InputError(
            f"{folder}: no {DATABASE} in it yet; sweep run or sweep sync --tracker mlflow writes it"
        )
    chosen = free_port() if port is None else port
    if not is_free(chosen):
        raise InputError(f"--port: {chosen} is taken; allowed: a free port, or none to choose one")
    command = server_command(folder, chosen)
    page = page_of(folder, f"http://{HOST}:{chosen}")
    print(f"MLflow of sweep {meta['name']}: {page}  (stop with Ctrl-C)", flush=True)
    with interruptible():
        # A group of its own, since the server starts processes which must end with it.
        server = subprocess.Popen(command, env=server_environment(), start_new_session=True)
        with caretaker(group=server.pid):
            try:
                return server.wait()
            except KeyboardInterrupt:
                return 0
            finally:
                _end_group(server)


def page_of(folder: Path, server: str) -> str:
    """The charts of the sweep's results; the server's first page where there are none yet."""
    try:
        return compare(folder, {}, server).charts
    except InputError:
        return server


def server_environment() -> dict[str, str]:
    """The environment of the server: what other servers of MLflow are told there is not for it."""
    environment = {
        name: value
        for name, value in child_environment().items()
        if not name.startswith(("MLFLOW_", "UVICORN_", "GUNICORN_"))
    }
    return environment | {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def server_command(folder: Path, port: int) -> list[str]:
    artifacts = (folder / ARTIFACTS).resolve().as_uri()
    return [
        *(*child_command("mlflow"), "server"),
        # Otherwise it would look for modules in the working folder first.
        *("--uvicorn-opts", f"--app-dir {shlex.quote(str((folder / ARTIFACTS).resolve()))}"),
        *("--backend-store-uri", default_tracking_uri(folder)),
        *("--artifacts-destination", artifacts),
        *("--host", HOST, "--port", str(port), "--workers", "1"),
    ]


def _end_group(server: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
            server.wait(_PATIENCE)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def free_port() -> int:
    """:data:`USUAL_PORT` if it is free, else some other port that is."""
    if is_free(USUAL_PORT):
        return USUAL_PORT
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
