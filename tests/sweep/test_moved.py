"""A results folder that was moved or copied goes on where it is now."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweep.ledger.folder import bind
from sweep.planning.plan import Plan
from sweep.tracking.facts import DATABASE, default_tracking_uri
from sweep.tracking.writer import bring_home
from tests.sweep.faulty import start
from tests.sweep.folders import check_complete, check_mlflow, mlflow_runs
from tests.sweep.inline import inline as inline
from tests.sweep.samples import plan_of

pytestmark = pytest.mark.usefixtures("inline")


def _holding(folder: Path, text: str) -> Iterator[str]:
    """Files of a folder that hold a text."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and text.encode() in path.read_bytes():
            yield path.relative_to(folder).as_posix()


def _check_artifacts(folder: Path, plan: Plan, scratch: Path) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(default_tracking_uri(folder))
    parents, runs = mlflow_runs(folder)
    assert len(runs) == sum(cell.kind == "transfer" for cell in plan.cells)
    for run in (*parents, *runs):
        assert run.info.artifact_uri.startswith((folder / "mlartifacts").as_uri())
        to = scratch / run.info.run_id
        to.mkdir(parents=True)
        client.download_artifacts(run.info.run_id, "", str(to))
        assert any(path.is_file() for path in to.rglob("*"))


@pytest.mark.slow
@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
def test_a_moved_folder_is_extended(
    tmp_path: Path, empty_database: Path, move: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, larger = plan_of(), plan_of(seeds=2)
    old, new = tmp_path / "first place", tmp_path / "second 100% place"
    old.mkdir()
    bind(old, plan, {})
    shutil.copy(empty_database, old / DATABASE)
    lines: list[str] = []
    assert start(plan, old, lines) == 0
    assert callable(move)
    move(old, new)
    if old.exists():
        before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    # As MLflow's own process has it: a database is opened once and for all.
    assert start(larger, new, lines) == 0
    assert [line for line in lines if "warning" in line] == []
    check_complete(new, larger)
    check_mlflow(new, larger)
    _check_artifacts(new, larger, tmp_path / "downloads")
    assert list(_holding(new, str(old))) == list(_holding(new, old.as_uri())) == []
    if old.exists():
        assert {path: path.read_bytes() for path in old.rglob("*") if path.is_file()} == before
    else:
        assert not (old / "mlartifacts").exists()


def test_a_database_elsewhere_is_left_alone(tmp_path: Path, empty_database: Path) -> None:
    """Only the one in a sweep's folder is that folder's; it may lack tables or be none."""
    from mlflow.tracking import MlflowClient

    path = tmp_path / DATABASE
    shutil.copy(empty_database, path)
    place = (tmp_path / "old" / "mlartifacts").as_uri()
    MlflowClient(f"sqlite:///{path}").create_experiment("e", artifact_location=place)
    before = path.read_bytes()
    for uri in (f"sqlite:///{path}", "sqlite://", "http://127.0.0.1:1", "nonsense"):
        bring_home(uri)
    assert path.read_bytes() == before
    (tmp_path / "sweep.json").write_text("{}")
    bring_home(f"sqlite:///{path}")
    with sqlite3.connect(path) as database:
        found = database.execute("SELECT artifact_location FROM experiments WHERE name = 'e'")
        assert found.fetchall() == [((tmp_path / "mlartifacts").as_uri(),)]
    database.close()
