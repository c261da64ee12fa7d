"""MLflow's database is there with all its tables, or not at all."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sweep.tracking.facts import DATABASE, default_tracking_uri
from sweep.tracking.writer import connect, make_database
from tests.sweep.clusters import wait_for

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 120.0
SOME_TABLES = 40_000  # bytes; all of them are ten times as many


def _connecting(folder: Path) -> "subprocess.Popen[bytes]":
    code = f"from sweep.tracking.writer import connect; connect({default_tracking_uri(folder)!r})"
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@pytest.mark.slow
def test_killed_while_tables_are_made(tmp_path: Path) -> None:
    """MLflow itself would find a column there that it wants to add."""
    found, temporary = _connecting(tmp_path), tmp_path / f".{DATABASE}.tmp"
    wait_for(lambda: _size(temporary) >= SOME_TABLES or found.poll() is not None, PATIENCE)
    assert found.poll() is None
    found.kill()
    found.wait()
    assert temporary.exists()
    assert not (tmp_path / DATABASE).exists()
    client = connect(default_tracking_uri(tmp_path))
    assert client.get_experiment(client.create_experiment("after")).name == "after"
    assert [path.name for path in tmp_path.iterdir()] == [DATABASE]


@pytest.mark.slow
def test_two_at_once(tmp_path: Path) -> None:
    both = [_connecting(tmp_path) for _ in range(2)]
    assert [found.wait(PATIENCE) for found in both] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == [DATABASE]
    assert connect(default_tracking_uri(tmp_path)).search_experiments()


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"somebody's")
    make_database(default_tracking_uri(tmp_path), _nobody)
    assert (tmp_path / DATABASE).read_bytes() == b"somebody's"


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:5000",
        "postgresql://somebody@127.0.0.1/runs",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:mlflow.db?uri=true",
        "sqlite:////nowhere/at/all/mlflow.db",
        "file:///tmp/mlruns",
        "mlruns",
        "databricks",
    ],
)
def test_nothing_is_made_elsewhere(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_database(uri, _nobody)
    assert list(tmp_path.iterdir()) == []


def _nobody(uri: str) -> Any:
    raise AssertionError(uri)
