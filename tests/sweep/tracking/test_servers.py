"""Shared servers as the documentation sets them up: PostgreSQL, passwords, allowed hosts."""

import base64
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweep.folder import bind
from sweep.ledger import Ledger
from sweep.plan import Plan
from sweep.tracking.sync import sync
from tests.sweep.folders import check_mlflow
from tests.sweep.samples import plan_of
from tests.sweep.test_ledger import fill
from tests.sweep.tracking.servers import Server, free_port, serving
from trainables.errors import InputError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
_SERVERS = "/usr/lib/postgresql"
"""Where Debian and Ubuntu keep the programs of the server, by version."""


@pytest.fixture
def sweep(tmp_path: Path) -> tuple[Plan, Path]:
    plan = plan_of(sources=["A", "B", "C"], seeds=2, direct=True)
    folder = tmp_path / "sweep"
    folder.mkdir()
    bind(folder, plan, {})
    fill(Ledger(folder), plan.cells)
    return plan, folder


def _program(name: str) -> str | None:
    found = sorted(Path(_SERVERS).glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URI of a database of a cluster of our own, on loopback."""
    programs = [_program(name) for name in ("initdb", "pg_ctl")]
    if None in programs:
        pytest.skip("no PostgreSQL server is installed (initdb, pg_ctl): see .ci/postgres")
    pytest.importorskip("psycopg2", reason="psycopg2-binary is not installed")
    initdb, pg_ctl = map(str, programs)
    folder = tmp_path_factory.mktemp("postgres")
    user = _user()
    if user is not None:
        # initdb refuses to work for root; pytest's folders are for their owner only.
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        for parent in list(folder.parents)[:3]:
            if parent.owner() == "root" and parent != Path("/tmp"):
                parent.chmod(parent.stat().st_mode | 0o011)
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


def _user() -> str | None:
    """Who runs the database: not root."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in known)


def test_a_server_with_postgresql(postgres: str, sweep: tuple[Plan, Path], tmp_path: Path) -> None:
    """As the documentation has it: the server beside its database, sweeps write over HTTP."""
    plan, folder = sweep
    with serving(Server(tmp_path, postgres)) as server:
        for _ in range(2):
            sync(folder, server.uri)
        check_mlflow(folder, plan, server.uri)
        assert list((tmp_path / "served").rglob("prompt/prompt.safetensors"))
    # Straight into the database, many at a time: another sweep of the same experiment.
    other = plan_of(sources=["A", "C"], seeds=3)
    place = tmp_path / "other"
    place.mkdir()
    bind(place, other, {})
    fill(Ledger(place), other.cells)
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=postgres)
    runs = client.search_runs([client.get_experiment_by_name("small").experiment_id])
    for _ in range(2):
        sync(place, postgres)
    again = client.search_runs([client.get_experiment_by_name("small").experiment_id])
    new = [run for run in again if run.data.tags["spec_hash"] == other.hash]
    assert len(again) == len(runs) + len(new)
    cells = sorted(run.data.tags["cell"] for run in new if run.data.tags["kind"] == "result")
    assert cells == sorted(cell.id for cell in other.cells if cell.kind == "transfer")


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


def test_hosts_are_named_with_and_without_port(tmp_path: Path) -> None:
    """The whole Host header is compared, its port with it: both forms have to be listed."""
    store = f"sqlite:///{tmp_path / 'server.db'}"
    hosts = "mlflow.lab,mlflow.lab:*,half.lab,localhost,localhost:*,127.0.0.1,127.0.0.1:*"
    path = "/api/2.0/mlflow/experiments/search?max_results=1"
    with serving(Server(tmp_path, store, "--allowed-hosts", hosts)) as server:
        told = {
            host: server.answers(path, {"Host": host})
            for host in ("mlflow.lab", "mlflow.lab:5000", "half.lab", "half.lab:5000", "evil.com")
        }
    assert told == {
        "mlflow.lab": 200,
        "mlflow.lab:5000": 200,
        "half.lab": 200,
        "half.lab:5000": 403,
        "evil.com": 403,
    }
