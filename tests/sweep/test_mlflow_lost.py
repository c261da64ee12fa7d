"""MLflow lost at any moment: the sweep goes on, and a later start makes up for it."""

import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sweep.ledger.folder import bind
from sweep.planning.plan import Plan
from sweep.testing.tabulated import run_tabulated
from sweep.tracking.facts import DATABASE
from sweep.tracking.writer import RunWriter
from tests.sweep.faulty import FOLDER, here, start
from tests.sweep.folders import check_complete, check_mlflow
from tests.sweep.inline import inline as inline
from tests.sweep.samples import plan_of
from trainables.core.cells import Pack, PackOutcome

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("inline", "short_pauses")]


@pytest.fixture
def bound(tmp_path: Path, empty_database: Path) -> tuple[Plan, Path]:
    plan, folder = plan_of(), tmp_path / "out"
    folder.mkdir()
    bind(folder, plan, {})
    shutil.copy(empty_database, folder / DATABASE)
    return plan, folder


def _warnings(lines: list[str]) -> list[str]:
    return [line for line in lines if "MLflow (" in line]


@pytest.mark.parametrize("moment", ["__init__", "write", "end"])
@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "Connection refused"),
        sqlite3.OperationalError("database is locked"),
        sqlite3.OperationalError("database or disk is full"),
    ],
    ids=str,
)
def test_mlflow_lost_at_the_start_on_the_way_or_at_the_end(
    bound: tuple[Plan, Path], monkeypatch: pytest.MonkeyPatch, moment: str, error: Exception
) -> None:
    plan, folder = bound
    lines: list[str] = []
    real, calls = getattr(RunWriter, moment), [0]

    def lost(*arguments: Any) -> Any:
        calls[0] += 1
        if moment != "write" or calls[0] > 1:
            raise error
        return real(*arguments)

    monkeypatch.setattr("sweep.tracking.sink.BATCH", 2)
    with monkeypatch.context() as patched:
        patched.setattr(RunWriter, moment, lost)
        assert start(plan, folder, lines) == 0
    check_complete(folder, plan)
    (warning,) = _warnings(lines)
    assert str(error) in warning
    lines.clear()
    assert start(plan, folder, lines) == 0
    assert _warnings(lines) == []
    check_mlflow(folder, plan)


def test_a_database_somebody_else_has_locked(bound: tuple[Plan, Path]) -> None:
    plan, folder = bound
    lines: list[str] = []
    other = sqlite3.connect(folder / DATABASE)
    try:
        other.execute("BEGIN EXCLUSIVE")
        assert start(plan, folder, lines) == 0
    finally:
        other.close()
    check_complete(folder, plan)
    assert len(_warnings(lines)) == 1
    assert "database is locked" in _warnings(lines)[0]
    assert start(plan, folder, lines) == 0
    assert len(_warnings(lines)) == 1
    check_mlflow(folder, plan)


def delete_database(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> PackOutcome:
    if pack.sources == ("A", "B"):
        (Path(os.environ[FOLDER]) / DATABASE).unlink(missing_ok=True)
    return run_tabulated(pack, prompts)


def test_a_database_deleted_under_way(
    bound: tuple[Plan, Path], monkeypatch: pytest.MonkeyPatch, empty_database: Path
) -> None:
    plan, folder = bound
    monkeypatch.setenv(FOLDER, str(folder))
    lines: list[str] = []
    assert start(plan, folder, lines, here(delete_database)) == 0
    check_complete(folder, plan)
    assert len(_warnings(lines)) <= 1
    # Elsewhere, as MLflow keeps a database open for as long as its process lives.
    moved = folder.rename(folder.parent / "moved")
    if not (moved / DATABASE).exists():
        shutil.copy(empty_database, moved / DATABASE)  # only to save the time
    assert start(plan, moved, lines) == 0
    check_mlflow(moved, plan)


@pytest.fixture
def server() -> Iterator[str]:
    """Something that answers every request with an error."""
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Broken(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.send_response(503)
            self.end_headers()
            self.wfile.write(b"away")

        do_GET = do_POST = do_PATCH = _answer  # noqa: N815

        def log_message(self, *arguments: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Broken) as found:
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()


def test_a_server_that_answers_with_errors(tmp_path: Path, server: str) -> None:
    plan, lines = plan_of(mlflow={"tracking_uri": server}), list[str]()
    assert start(plan, tmp_path, lines) == 0
    check_complete(tmp_path, plan)
    assert len(_warnings(lines)) == 1
    assert json.loads((tmp_path / "sweep.json").read_text())["spec_hash"] == plan_of().hash
