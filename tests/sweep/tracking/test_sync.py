"""From a ledger into MLflow, without the plan."""

import json
from pathlib import Path

import pytest

from sweep.engine.runner import commit_of
from sweep.ledger.folder import META_FILE, bind
from sweep.ledger.ledger import Ledger
from sweep.ledger.lock import DriverLock
from sweep.planning.plan import Plan
from sweep.tracking.facts import facts_of_folder, facts_of_plan
from sweep.tracking.sink import sync
from tests.sweep.folders import check_mlflow, mlflow_levels, mlflow_runs
from tests.sweep.ledger.test_ledger import fill
from tests.sweep.samples import plan_of
from trainables.errors import InputError


@pytest.fixture
def sweep(tmp_path: Path) -> tuple[Plan, Path]:
    plan = plan_of(sources=["A", "B", "C"], targets=["T", "A"], seeds=2, direct=True)
    bind(tmp_path, plan, {})
    fill(Ledger(tmp_path, {"git_commit": "c0ffee"}), plan.cells)
    return plan, tmp_path


@pytest.mark.slow
def test_a_fresh_server_is_filled_from_a_ledger(sweep: tuple[Plan, Path]) -> None:
    plan, folder = sweep
    uri = f"sqlite:///{folder / 'elsewhere.db'}"
    for _ in range(2):
        assert (
            sync(folder, uri) == f"{len(plan.cells)} results of sweep small are in MLflow at {uri}"
        )
    check_mlflow(folder, plan, uri)
    assert not (folder / "mlflow.db").exists()
    (parent,) = mlflow_levels(uri)["sweep"]
    assert parent.data.tags["mlflow.source.git.commit"] == "c0ffee"
    (pack, *_) = mlflow_levels(uri)["pack"]
    (given,) = pack.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("x/one", plan.resolved.tasks[0].digest)


def test_a_folder_says_what_its_plan_says(sweep: tuple[Plan, Path]) -> None:
    plan, folder = sweep
    facts = facts_of_folder(folder)
    assert facts == facts_of_plan(plan)
    assert facts.direct == {"soft": {cell.target for cell in plan.direct}}


@pytest.mark.slow
def test_half_a_sweep(sweep: tuple[Plan, Path]) -> None:
    plan, folder = sweep
    cell = next(cell for cell in plan.cells if cell.row == "ours")
    (folder / "ledger" / cell.id[:2] / f"{cell.id}.json").unlink()
    sync(folder)
    (parent,), children = mlflow_runs(folder)
    assert parent.info.status == "KILLED"
    assert cell.id not in {run.data.tags["cell"] for run in children}
    Ledger(folder).fail(cell, "no luck", "pack")
    sync(folder)
    (parent,), _ = mlflow_runs(folder)
    assert parent.info.status == "FAILED"


@pytest.mark.slow
def test_a_search_has_no_number_of_cells(sweep: tuple[Plan, Path]) -> None:
    plan, folder = sweep
    meta = json.loads((folder / "sweep.json").read_text())
    del meta["planned_cells"]
    (folder / "sweep.json").write_text(json.dumps(meta))
    sync(folder)
    (parent,), _ = mlflow_runs(folder)
    assert parent.info.status == "FINISHED"
    Ledger(folder).fail(plan.cells[0], "no luck", "pack")
    (folder / "ledger" / plan.cells[0].id[:2] / f"{plan.cells[0].id}.json").unlink()
    sync(folder)
    (parent,), _ = mlflow_runs(folder)
    assert parent.info.status == "FAILED"


@pytest.mark.slow
@pytest.mark.usefixtures("short_pauses")
def test_nothing_there_is_said_in_a_sentence(sweep: tuple[Plan, Path], tmp_path: Path) -> None:
    _, folder = sweep
    with pytest.raises(InputError, match="sweep sync catches up"):
        sync(folder, "http://127.0.0.1:9")
    with DriverLock(folder), pytest.raises(InputError, match="a sweep is running in this folder"):
        sync(folder)
    meta = json.loads((folder / META_FILE).read_text())
    del meta["direct"]
    (folder / META_FILE).write_text(json.dumps(meta))
    with pytest.raises(InputError, match=r"promptsweep 0.1 has made it.*new --out"):
        sync(folder)
    with pytest.raises(InputError, match="no sweep's folder"):
        sync(tmp_path / "other")


def test_the_commit_of_a_folder(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == {}
    assert commit_of(tmp_path / "missing") == {}


@pytest.mark.slow
@pytest.mark.usefixtures("short_pauses")
def test_passwords_in_addresses_are_not_shown(sweep: tuple[Plan, Path]) -> None:
    _, folder = sweep
    with pytest.raises(InputError) as told:
        sync(folder, "http://me:secret-word@127.0.0.1:9")
    assert "secret-word" not in str(told.value)
    assert "http://me:[redacted]@127.0.0.1:9" in str(told.value)
