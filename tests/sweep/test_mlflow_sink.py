"""The MLflow view: idempotent, and never an obstacle."""

import shutil
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from sweep.ledger import Ledger, Record
from sweep.mlflow_sink import (
    DATABASE,
    MlflowSink,
    RunWriter,
    default_tracking_uri,
    run_metrics,
    run_params,
)
from sweep.plan import Plan
from sweep.runner import make_sink
from sweep.testing.tabulated import tabulated_result
from tests.sweep.folders import check_mlflow, mlflow_runs
from tests.sweep.samples import plan_of
from tests.sweep.test_ledger import fill


def _plan() -> Plan:
    return plan_of(methods={"soft": {"lambda": [0, 0.5, "annealing"]}}, seeds=2)


def _sync(plan: Plan, folder: Path, records: Iterable[Record], status: str = "FINISHED") -> Any:
    sink = make_sink(plan, folder)
    sink.start(records)
    return sink.close(status)


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables: making them takes seconds."""
    from mlflow.tracking import MlflowClient

    folder = tmp_path_factory.mktemp("mlflow")
    MlflowClient(tracking_uri=default_tracking_uri(folder)).search_experiments()
    return folder / DATABASE


@pytest.fixture
def filled(tmp_path: Path, empty_database: Path) -> tuple[Plan, Path, list[Record]]:
    plan = _plan()
    shutil.copy(empty_database, tmp_path / DATABASE)
    fill(Ledger(tmp_path), plan.cells)
    return plan, tmp_path, list(Ledger(tmp_path).records())


def test_again_and_again_gives_the_same_runs(filled: tuple[Plan, Path, list[Record]]) -> None:
    plan, folder, records = filled
    assert _sync(plan, folder, records[:5]) is None
    for _ in range(2):
        assert _sync(plan, folder, records) is None
        check_mlflow(folder, plan)
    assert str(folder.resolve()) in default_tracking_uri(folder)


def test_runs_a_killed_driver_left_open_are_completed(
    filled: tuple[Plan, Path, list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stop after create_run, and after log_batch: the next run finishes the same runs."""
    plan, folder, records = filled
    from mlflow.tracking import MlflowClient

    transfers = [record for record in records if record["cell"]["kind"] == "transfer"]
    empty = [record for record in records if record["cell"]["row"] == "empty"]
    for index, method in enumerate(["log_batch", "set_terminated"]):

        def die(*arguments: Any, **options: Any) -> None:
            raise ConnectionError("killed here")

        with monkeypatch.context() as patched:
            patched.setattr(MlflowClient, method, die)
            told = _sync(plan, folder, [*empty, transfers[index]])
        assert "killed here" in told
    _, children = mlflow_runs(folder)
    assert [run.info.status for run in children] == ["RUNNING", "RUNNING"]
    assert _sync(plan, folder, records) is None
    check_mlflow(folder, plan)


def test_a_transfer_waits_for_the_empty_row(filled: tuple[Plan, Path, list[Record]]) -> None:
    plan, folder, records = filled
    last = sorted(records, key=lambda record: record["cell"]["row"] == "empty")
    assert _sync(plan, folder, last) is None
    check_mlflow(folder, plan)


def test_without_an_empty_row_the_gain_is_left_out(
    filled: tuple[Plan, Path, list[Record]],
) -> None:
    plan, folder, records = filled
    kept = [record for record in records if record["cell"]["row"] != "empty"]
    assert _sync(plan, folder, kept) is None
    _, children = mlflow_runs(folder)
    assert len(children) == sum(cell.kind == "transfer" for cell in plan.cells)
    assert all("transfer/gain_over_empty" not in run.data.metrics for run in children)
    # It is added once the row is there.
    assert _sync(plan, folder, records) is None
    check_mlflow(folder, plan)


def _with_ceiling(folder: Path) -> tuple[Plan, list[Record]]:
    """A sweep of several targets with row Direct, clearly above Empty on some of them only."""
    plan = plan_of(targets=["T", "U", "V", "A"], sources=["A", "B"], seeds=2, direct=True)
    fill(Ledger(folder), plan.cells)
    records = list(Ledger(folder).records())
    shares = _shares(plan)
    assert 0 < sum(shares.values()) < len(shares)
    return plan, records


def _shares(plan: Plan) -> dict[str, bool]:
    """Per target, whether there is a gap of which a share can be told."""
    found = {}
    for target in plan.resolved.targets:
        direct = [tabulated_result(cell)["score"] for cell in plan.direct if cell.target == target]
        (empty,) = [cell for cell in plan.cells if (cell.row, cell.target) == ("empty", target)]
        found[target] = sum(direct) / len(direct) - tabulated_result(empty)["score"] >= 0.05
    return found


@pytest.mark.parametrize("direct_last", [False, True])
def test_the_share_of_the_gap_is_there_whichever_record_comes_first(
    tmp_path: Path, empty_database: Path, direct_last: bool
) -> None:
    shutil.copy(empty_database, tmp_path / DATABASE)
    plan, records = _with_ceiling(tmp_path)
    records.sort(key=lambda record: (record["cell"]["row"] == "independent") == direct_last)
    assert _sync(plan, tmp_path, records) is None
    check_mlflow(tmp_path, plan)


def test_half_a_ceiling_is_none_and_a_later_run_adds_the_share(
    tmp_path: Path, empty_database: Path
) -> None:
    shutil.copy(empty_database, tmp_path / DATABASE)
    plan, records = _with_ceiling(tmp_path)
    kept = [r for r in records if r["cell"]["row"] != "independent" or r["cell"]["seed"] == 0]
    assert _sync(plan, tmp_path, kept) is None
    _, children = mlflow_runs(tmp_path)
    assert len(children) == sum(cell.kind == "transfer" for cell in plan.cells)
    assert all("transfer/gap_recovered" not in run.data.metrics for run in children)
    assert _sync(plan, tmp_path, records) is None
    check_mlflow(tmp_path, plan)


def test_errors_are_told_at_the_end_and_never_raised(
    filled: tuple[Plan, Path, list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, folder, records = filled
    writes = []

    def break_off(self: RunWriter, record: Record, *arguments: Any) -> None:
        writes.append(record)
        raise ConnectionError("no server\nwith a long story")

    with monkeypatch.context() as patched:
        patched.setattr(RunWriter, "write", break_off)
        told = _sync(plan, folder, records)
    transfers = sum(cell.kind == "transfer" for cell in plan.cells)
    assert "no server" in told
    assert "long story" not in told
    assert f"{transfers} runs behind" in told
    # A dead server costs its timeout once.
    assert len(writes) == 1
    assert _sync(plan, folder, records) is None
    check_mlflow(folder, plan)


def test_a_sweep_that_is_stopped_says_so(filled: tuple[Plan, Path, list[Record]]) -> None:
    plan, folder, records = filled
    for status in ("KILLED", "FAILED", "FINISHED"):
        assert _sync(plan, folder, records, status) is None
        (parent,), _ = mlflow_runs(folder)
        assert parent.info.status == status


def test_a_deleted_experiment_comes_back(filled: tuple[Plan, Path, list[Record]]) -> None:
    plan, folder, records = filled
    assert _sync(plan, folder, records) is None
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=default_tracking_uri(folder))
    client.delete_experiment(client.get_experiment_by_name("small").experiment_id)
    assert _sync(plan, folder, records) is None
    check_mlflow(folder, plan)


def test_a_sink_that_never_started_closes(tmp_path: Path) -> None:
    assert make_sink(_plan(), tmp_path).close() is None
    assert not any(thread.name == "mlflow-sink" for thread in threading.enumerate())
    assert list(tmp_path.iterdir()) == []


def test_every_run_has_every_parameter(filled: tuple[Plan, Path, list[Record]]) -> None:
    _, _, records = filled
    settings = {record["id"]: record["cell"]["settings"] for record in records}
    transfers = [record for record in records if record["cell"]["kind"] == "transfer"]
    found = [run_params(record, settings, 3) for record in transfers]
    assert {tuple(params) for params in found} == {
        (
            *("method", "row", "task", "target", "source_1", "source_2", "source_3", "seed"),
            *("lambda", "schedule", "prompt_length", "position", "init", "solver", "selection"),
            *("vocabulary", "s", "k", "state", "counterparts"),
        )
    }
    assert {(params["solver"], params["selection"]) for params in found} == {
        ("closed_form", "none")
    }
    for name in ("seed", "lambda", "prompt_length"):
        assert all(float(params[name]) is not None for params in found)
    assert {params["lambda"] for params in found} == {"0", "0.5", "-1"}
    assert {params["prompt_length"] for params in found} == {"5"}
    assert all(params["source_3"] == "none" for params in found)
    assert set(run_metrics(transfers[0], 0.1)) == {
        "transfer/score",
        "transfer/validation_score",
        "transfer/similarity",
        "transfer/gain_over_empty",
    }


@pytest.mark.parametrize("selection", ["none", "source_validation", "target_validation"])
def test_every_run_says_how_its_prompt_was_carried(
    tmp_path: Path, empty_database: Path, selection: str
) -> None:
    shutil.copy(empty_database, tmp_path / DATABASE)
    plan = plan_of(transfer={"solver": "ridge", "selection": selection})
    fill(Ledger(tmp_path), plan.cells)
    assert _sync(plan, tmp_path, list(Ledger(tmp_path).records())) is None
    check_mlflow(tmp_path, plan)
    _, children = mlflow_runs(tmp_path)
    assert children
    for run in children:
        assert (run.data.params["solver"], run.data.params["selection"]) == ("ridge", selection)


def test_runs_of_a_program_with_fewer_parameters_get_the_others(
    filled: tuple[Plan, Path, list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, folder, records = filled

    def older(*arguments: Any) -> dict[str, str]:
        return {name: text for name, text in run_params(*arguments).items() if name != "selection"}

    with monkeypatch.context() as patched:
        patched.setattr("sweep.mlflow_sink.run_params", older)
        assert _sync(plan, folder, records) is None
    _, children = mlflow_runs(folder)
    assert all("selection" not in run.data.params for run in children)
    assert _sync(plan, folder, records) is None
    check_mlflow(folder, plan)
    _, again = mlflow_runs(folder)
    assert {run.data.params["selection"] for run in again} == {"none"}
    assert {run.info.run_id for run in again} == {run.info.run_id for run in children}


def test_the_spec_may_name_another_place(tmp_path: Path) -> None:
    elsewhere = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    plan = plan_of(mlflow={"tracking_uri": elsewhere})
    fill(Ledger(tmp_path), plan.cells)
    sink: MlflowSink = make_sink(plan, tmp_path)
    sink.start(Ledger(tmp_path).records())
    assert sink.close() is None
    assert (tmp_path / "elsewhere.db").is_file()
    assert not (tmp_path / "mlflow.db").exists()


def test_runs_of_hard_prompts_have_every_parameter_and_their_own_gain() -> None:
    cell = {
        "kind": "transfer",
        "row": "agreement",
        "method": "pez",
        "task": "one",
        "target": "t",
        "sources": ["a"],
        "counterparts": ["b", "c"],
        "seed": 1,
        "weight": None,
        "schedule": "none",
        "inputs": ["x"],
        "settings": {"vocabulary": "agreement", "s": 500, "k": 64, "state": "projected"},
    }
    soft = {**cell, "row": "ours", "method": "soft", "weight": 0.5, "schedule": "constant"}
    soft |= {"settings": {"solver": "ridge"}}
    del soft["counterparts"]
    hard_params = run_params({"cell": cell}, {"x": {"prompt_length": 10}}, 2)
    soft_params = run_params({"cell": soft}, {"x": {"prompt_length": 5}}, 2)
    assert set(hard_params) == set(soft_params)
    assert all(hard_params.values())
    assert all(soft_params.values())
    wanted = {"vocabulary": "agreement", "s": "500", "k": "64", "state": "projected"}
    assert wanted.items() <= hard_params.items()
    assert hard_params["counterparts"] == "b+c"
    assert hard_params["lambda"] == "0"
    assert hard_params["solver"] == soft_params["vocabulary"] == "none"
    assert soft_params["k"] == "0"
