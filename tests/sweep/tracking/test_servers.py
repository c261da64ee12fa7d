"""Shared servers as the documentation sets them up: PostgreSQL, passwords, allowed hosts."""

import base64
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweep.ledger.folder import bind
from sweep.ledger.ledger import Ledger
from sweep.planning.plan import Plan
from sweep.tracking.sink import sync
from tests.sweep.folders import check_mlflow
from tests.sweep.ledger.test_ledger import fill
from tests.sweep.samples import plan_of
from tests.sweep.tracking.servers import Server, free_port, serving
from trainables.errors import InputError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
_SERVERS = "/usr/lib/postgresql"
"""Where Debian and Ubuntu keep the programs of the server, by version."""


@pytest.fixture
def sweep(tmp_path: Path) -> tuple[Plan, Path]:
    plan = plan_of()
    folder = tmp_path / "sweep"
    folder.mkdir()
    bind(folder, plan, {})
    fill(Ledger(folder), plan.cells)
    return plan, folder


def _program(name: str) -> str | None:
    found = sorted(Path(_SERVERS).glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """URI of a database of a cluster of our own, on loopback."""
    programs = [_program(name) for name in ("initdb", "pg_ctl")]
    if None in programs:
        pytest.skip("no PostgreSQL server is installed (initdb, pg_ctl): see .ci/postgres")
    pytest.importorskip("psycopg2", reason="psycopg2-binary is not installed")
    initdb, pg_ctl = map(str, programs)
    # Not in pytest's folder, which is for its owner only: initdb refuses to work for root.
    folder = Path(tempfile.mkdtemp(prefix="promptsweep-postgres-"))
    user = _user()
    if user is not None:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    data, port = folder / "data", free_port()

    def call(*command: str) -> None:
        done = subprocess.run(command, user=user, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    password = folder / "password"
    password.write_text("only-for-this-test\n")
    password.chmod(0o644)
    call(initdb, "-D", str(data), "-U", "mlflow", "-A", "scram-sha-256", f"--pwfile={password}")
    listen = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
    call(pg_ctl, "-D", str(data), "-w", "-l", str(folder / "log"), "-o", listen, "start")
    try:
        yield f"postgresql+psycopg2://mlflow:only-for-this-test@127.0.0.1:{port}/postgres"
    finally:
        call(pg_ctl, "-D", str(data), "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder)


def _user() -> str | None:
    """Who runs the database: not root."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in known)


def test_a_server_with_postgresql(postgres: str, sweep: tuple[Plan, Path], tmp_path: Path) -> None:
    """As the documentation has it: the server beside its database, sweeps write over HTTP.

    The whole Host header is compared, its port with it: both forms of a host have to be listed.
    """
    plan, folder = sweep
    hosts = "mlflow.lab,mlflow.lab:*,half.lab,localhost,localhost:*,127.0.0.1,127.0.0.1:*"
    path = "/api/2.0/mlflow/experiments/search?max_results=1"
    with serving(Server(tmp_path, postgres, "--allowed-hosts", hosts)) as server:
        told = {
            host: server.answers(path, {"Host": host})
            for host in ("mlflow.lab", "mlflow.lab:5000", "half.lab", "half.lab:5000", "evil.com")
        }
        for _ in range(2):
            sync(folder, server.uri)
        check_mlflow(folder, plan, server.uri)
        assert list((tmp_path / "served").rglob("prompt/prompt.safetensors"))
    assert told == {
        "mlflow.lab": 200,
        "mlflow.lab:5000": 200,
        "half.lab": 200,
        "half.lab:5000": 403,
        "evil.com": 403,
    }
    # Straight into the database, a batch a transaction.
    other = plan_of(name="straight", sources=["A", "B", "C"], seeds=3)
    place = tmp_path / "other"
    place.mkdir()
    bind(place, other, {})
    fill(Ledger(place), other.cells)
    for _ in range(2):
        sync(place, postgres)
    check_mlflow(place, other, postgres)
    assert list((place / "mlartifacts").rglob("prompt/prompt.safetensors"))


@pytest.mark.usefixtures("short_pauses")
def test_a_server_with_passwords(
    sweep: tuple[Plan, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("flask_wtf", reason="mlflow[auth] is not installed")
    plan, folder = sweep
    config = tmp_path / "auth.ini"
    config.write_text(
        "[mlflow]\n"
        "default_permission = READ\n"
        f"database_uri = sqlite:///{tmp_path / 'auth.db'}\n"
        "admin_username = admin\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    environment = {
        "MLFLOW_AUTH_CONFIG_PATH": str(config),
        "MLFLOW_AUTH_ADMIN_PASSWORD": "a-long-word-for-tests",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "another-long-word",
    }
    server = Server(
        *(tmp_path, f"sqlite:///{tmp_path / 'server.db'}", "--app-name", "basic-auth"),
        environment=environment,
    )
    with serving(server):
        assert server.answers("/api/2.0/mlflow/experiments/search?max_results=1") == 401
        with pytest.raises(InputError, match="could not be written") as told:
            sync(folder, server.uri)
        assert "Traceback" not in str(told.value)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a-long-word-for-tests")
        sync(folder, server.uri)
        check_mlflow(folder, plan, server.uri)
        word = base64.b64encode(b"admin:a-long-word-for-tests").decode()
        headers = {"Authorization": f"Basic {word}"}
        path = "/api/2.0/mlflow/experiments/search?max_results=1"
        assert server.answers(path, headers) == 200
    assert b"a-long-word" not in b"".join(path.read_bytes() for path in folder.rglob("*.json"))
