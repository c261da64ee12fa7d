"""The MLflow view: idempotent, and never an obstacle."""

import shutil
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from sweep.commands.status import folder_status, format_status
from sweep.engine.runner import make_sink
from sweep.ledger.folder import META_FILE, bind
from sweep.ledger.ledger import Ledger, Record
from sweep.planning.plan import Plan
from sweep.spec.trackers import MLFLOW
from sweep.testing.tabulated import tabulated_result
from sweep.tracking.artifacts import PromptFiles
from sweep.tracking.bulk import BulkInsert
from sweep.tracking.facts import DATABASE, default_tracking_uri, facts_of_plan, target_of
from sweep.tracking.sink import Sink, note_of, runs_behind, sync
from sweep.tracking.view import FORMAT, View
from sweep.tracking.writer import MlflowTracker, RunWriter
from tests.sweep.folders import check_mlflow, mlflow_levels, mlflow_runs
from tests.sweep.ledger.test_ledger import fill
from tests.sweep.samples import plan_of


def _plan() -> Plan:
    return plan_of(methods={"soft": {"lambda": [0, 0.5, "annealing"]}}, seeds=2)


def _sync(
    plan: Plan,
    folder: Path,
    records: Iterable[Record],
    status: str = "FINISHED",
    bulk: bool = True,
) -> Any:
    facts = facts_of_plan(plan)
    files, note = PromptFiles(folder, facts), note_of(folder, MLFLOW)
    tracker = MlflowTracker(target_of(folder, None), facts, files, bulk)
    sink = Sink("MLflow", tracker, View(facts), note)
    sink.start(records)
    return sink.close(status)


@pytest.fixture
def filled(tmp_path: Path, empty_database: Path) -> tuple[Plan, Path, list[Record]]:
    plan = _plan()
    shutil.copy(empty_database, tmp_path / DATABASE)
    fill(Ledger(tmp_path), plan.cells)
    return plan, tmp_path, list(Ledger(tmp_path).records())


@pytest.mark.slow
def test_again_and_again_gives_the_same_runs(filled: tuple[Plan, Path, list[Record]]) -> None:
    plan, folder, records = filled
    assert _sync(plan, folder, records[:5]) is None
    for _ in range(2):
        assert _sync(plan, folder, records) is None
        check_mlflow(folder, plan)
    assert str(folder.resolve()) in default_tracking_uri(folder)


@pytest.mark.slow
@pytest.mark.usefixtures("short_pauses")
def test_runs_a_killed_driver_left_open_are_completed(
    filled: tuple[Plan, Path, list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stop after create_run, and after log_batch: the next run finishes the same runs."""
    plan, folder, records = filled
    from mlflow.tracking import MlflowClient

    for method in ["log_batch", "set_terminated"]:

        def die(*arguments: Any, **options: Any) -> None:
            raise ConnectionError("killed here")

        with monkeypatch.context() as patched:
            patched.setattr(MlflowClient, method, die)
            assert "killed here" in _sync(plan, folder, records, bulk=False)
    levels = mlflow_levels(default_tracking_uri(folder))
    assert {run.info.status for runs in levels.values() for run in runs} == {"RUNNING"}
    assert _sync(plan, folder, records, bulk=False) is None
    check_mlflow(folder, plan)


@pytest.mark.slow
@pytest.mark.usefixtures("short_pauses")
def test_a_crash_in_the_middle_of_a_batch_leaves_nothing_of_it(
    filled: tuple[Plan, Path, list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, folder, records = filled
    with monkeypatch.context() as patched:
        real = BulkInsert._row

        def die_late(self: BulkInsert, run_id: str, run: Any) -> dict[str, Any]:
            row = real(self, run_id, run)
            return row | {"experiment_id": "no number"} if run.key == last else row

        last = max(r["id"] for r in records if r["cell"]["kind"] == "transfer")
        patched.setattr(BulkInsert, "_row", die_late)
        assert "could not be written" in _sync(plan, folder, records)
    assert mlflow_levels(default_tracking_uri(folder))["result"] == []
    assert _sync(plan, folder, records) is None
    check_mlflow(folder, plan)


@pytest.mark.slow
def test_rows_inserted_in_bulk_are_what_the_client_writes(
    filled: tuple[Plan, Path, list[Record]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    plan, folder, records = filled
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(folder, other, dirs_exist_ok=True)
    assert _sync(plan, folder, records) is None
    assert _sync(plan, other, records, bulk=False) is None

    def told(place: Path) -> dict[str, Any]:
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=default_tracking_uri(place))
        found = {}
        for run in mlflow_levels(default_tracking_uri(place))["result"]:
            tags = dict(run.data.tags)
            assert tags.pop("mlflow.parentRunId")
            info = {k: v for k, v in dict(run.info).items() if k not in ("run_id", "run_uuid")}
            info["artifact_uri"] = info["artifact_uri"].replace(run.info.run_id, "ID")
            info["artifact_uri"] = info["artifact_uri"].replace(str(place.resolve()), "HERE")
            del info["user_id"]
            history = client.get_metric_history(run.info.run_id, "test/score")
            files = sorted(item.path for item in client.list_artifacts(run.info.run_id, "prompt"))
            found[tags["cell"]] = (
                *(tags, info, run.data.params, run.data.metrics, files),
                [(point.value, point.step, point.timestamp) for point in history],
            )
        return found

    assert told(folder) == told(other)


@pytest.mark.slow
def test_a_transfer_waits_for_the_empty_row(filled: tuple[Plan, Path, list[Record]]) -> None:
    plan, folder, records = filled
    last = sorted(records, key=lambda record: record["cell"]["row"] == "empty")
    assert _sync(plan, folder, last) is None
    check_mlflow(folder, plan)


@pytest.mark.slow
def test_without_an_empty_row_the_gain_is_left_out(
    filled: tuple[Plan, Path, list[Record]],
) -> None:
    plan, folder, records = filled
    kept = [record for record in records if record["cell"]["row"] != "empty"]
    assert _sync(plan, folder, kept) is None
    _, children = mlflow_runs(folder)
    assert len(children) == sum(cell.kind == "transfer" for cell in plan.cells)
    assert all("test/gain_over_empty" not in run.data.metrics for run in children)
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


@pytest.mark.slow
@pytest.mark.parametrize("direct_last", [False, True])
def test_the_share_of_the_gap_is_there_whichever_record_comes_first(
    tmp_path: Path, empty_database: Path, direct_last: bool
) -> None:
    shutil.copy(empty_database, tmp_path / DATABASE)
    plan, records = _with_ceiling(tmp_path)
    records.sort(key=lambda record: (record["cell"]["row"] == "independent") == direct_last)
    assert _sync(plan, tmp_path, records) is None
    check_mlflow(tmp_path, plan)


@pytest.mark.slow
def test_half_a_ceiling_is_none_and_a_later_run_adds_the_share(
    tmp_path: Path, empty_database: Path
) -> None:
    shutil.copy(empty_database, tmp_path / DATABASE)
    plan, records = _with_ceiling(tmp_path)
    kept = [r for r in records if r["cell"]["row"] != "independent" or r["cell"]["seed"] == 0]
    assert _sync(plan, tmp_path, kept) is None
    _, children = mlflow_runs(tmp_path)
    assert len(children) == sum(cell.kind == "transfer" for cell in plan.cells)
    assert all("test/gap_recovered" not in run.data.metrics for run in children)
    assert _sync(plan, tmp_path, records) is None
    check_mlflow(tmp_path, plan)


@pytest.mark.slow
def test_errors_are_told_at_the_end_and_never_raised(
    filled: tuple[Plan, Path, list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, folder, records = filled
    writes = []
    monkeypatch.setattr("sweep.tracking.sink.LAST_PAUSES", (0.1, 0.1))

    def break_off(self: RunWriter, runs: Any, *arguments: Any) -> None:
        writes.append(runs)
        raise ConnectionError("no server\nwith a long story")

    with monkeypatch.context() as patched:
        patched.setattr(RunWriter, "write", break_off)
        told = _sync(plan, folder, records)
    assert "no server" in told
    assert "long story" not in told
    assert f"{len(plan.cells)} runs behind" in told
    # A dead server costs its timeout once, and a few times more at the end.
    assert len(writes) <= 4
    assert _sync(plan, folder, records) is None
    check_mlflow(folder, plan)


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_given_up(
    filled: tuple[Plan, Path, list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, folder, records = filled
    hanging = threading.Event()
    monkeypatch.setattr(RunWriter, "write", lambda *arguments: hanging.wait(60))
    sink = make_sink(plan, folder)
    sink.start(records)
    began = time.monotonic()
    told = sink.close(patience=2.0)
    hanging.set()
    assert told is not None and "no answer for 2 s" in told
    assert time.monotonic() - began < 30


@pytest.mark.slow
def test_a_run_that_mlflow_refuses_keeps_no_other_out(
    filled: tuple[Plan, Path, list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, folder, records = filled
    from mlflow.exceptions import MlflowException

    bad = next(record["id"] for record in records if record["cell"]["kind"] == "transfer")
    real = RunWriter._write

    def refuse(self: RunWriter, run: Any) -> None:
        if run.key == bad:
            raise MlflowException.invalid_parameter_value("not like this")
        real(self, run)

    with monkeypatch.context() as patched:
        patched.setattr(RunWriter, "_write", refuse)
        told = _sync(plan, folder, records, bulk=False)
    assert "refused 1 runs (not like this)" in told
    _, children = mlflow_runs(folder)
    assert bad not in {run.data.tags["cell"] for run in children}
    assert len(children) == sum(cell.kind == "transfer" for cell in plan.cells) - 1
    assert _sync(plan, folder, records) is None
    check_mlflow(folder, plan)


@pytest.mark.slow
def test_what_a_lost_answer_has_doubled_is_deleted(
    filled: tuple[Plan, Path, list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server creates the run although the client hears of an error only."""
    plan, folder, records = filled
    from mlflow.tracking import MlflowClient

    real, lost = MlflowClient.create_run, []

    def lose_some(self: Any, *arguments: Any, **options: Any) -> Any:
        run = real(self, *arguments, **options)
        if "cell" in options["tags"] and not lost:
            lost.append(real(self, *arguments, **options).info.run_id)
            raise ConnectionError("timed out")
        return run

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "create_run", lose_some)
        assert _sync(plan, folder, records, bulk=False) is None
    assert lost
    check_mlflow(folder, plan)


@pytest.mark.slow
def test_a_number_that_differs_from_the_ledgers_is_put_right(
    filled: tuple[Plan, Path, list[Record]],
) -> None:
    plan, folder, records = filled
    assert _sync(plan, folder, records) is None
    from mlflow.tracking import MlflowClient

    _, children = mlflow_runs(folder)
    client = MlflowClient(tracking_uri=default_tracking_uri(folder))
    old = children[0].data.metrics["test/score"] - 0.5
    stamp = children[0].info.end_time - 1000
    client.log_metric(children[0].info.run_id, "test/score", old, stamp, 0)
    check_mlflow(folder, plan)  # an older value changes nothing
    client.log_metric(children[0].info.run_id, "cost/transfer_seconds", 7.0, stamp + 9000, 0)
    assert _sync(plan, folder, records) is None
    check_mlflow(folder, plan)


@pytest.mark.slow
def test_a_sweep_that_is_stopped_says_so(filled: tuple[Plan, Path, list[Record]]) -> None:
    plan, folder, records = filled
    for status in ("KILLED", "FAILED", "FINISHED"):
        assert _sync(plan, folder, records, status) is None
        (parent,), _ = mlflow_runs(folder)
        assert parent.info.status == status


@pytest.mark.slow
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


@pytest.mark.slow
def test_runs_of_an_older_program_are_refused(filled: tuple[Plan, Path, list[Record]]) -> None:
    plan, folder, records = filled
    assert _sync(plan, folder, []) is None
    from mlflow.tracking import MlflowClient

    (parent,), _ = mlflow_runs(folder)
    client = MlflowClient(tracking_uri=default_tracking_uri(folder))
    client.delete_tag(parent.info.run_id, FORMAT)
    told = _sync(plan, folder, records)
    assert told is not None
    assert "promptsweep 0.1 has written the runs of sweep small" in told
    assert told.endswith("then sweep sync")
    assert mlflow_runs(folder)[1] == []


@pytest.mark.slow
def test_the_spec_may_name_another_place(tmp_path: Path) -> None:
    elsewhere = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    plan = plan_of(mlflow={"tracking_uri": elsewhere})
    fill(Ledger(tmp_path), plan.cells)
    sink = make_sink(plan, tmp_path)
    sink.start(Ledger(tmp_path).records())
    assert sink.close() is None
    assert (tmp_path / "elsewhere.db").is_file()
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.slow
def test_a_server_that_is_back_in_a_moment_gets_all(
    filled: tuple[Plan, Path, list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, folder, records = filled
    real, down = RunWriter.write, [3]

    def write(self: RunWriter, *arguments: Any) -> None:
        if down[0]:
            down[0] -= 1
            raise ConnectionError("starting")
        real(self, *arguments)

    monkeypatch.setattr("sweep.tracking.sink.LAST_PAUSES", (0.01, 0.01, 0.01))
    monkeypatch.setattr(RunWriter, "write", write)
    assert _sync(plan, folder, records) is None
    assert runs_behind(folder) == {}
    check_mlflow(folder, plan)


@pytest.mark.slow
def test_the_folder_says_how_many_runs_are_behind(
    filled: tuple[Plan, Path, list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, folder, records = filled
    bind(folder / "new", plan, {})
    shutil.copy(folder / "new" / META_FILE, folder)
    count = len(plan.cells)

    def away(*arguments: Any) -> None:
        raise ConnectionError("away")

    monkeypatch.setattr("sweep.tracking.sink.LAST_PAUSES", (0.01,))
    with monkeypatch.context() as patched:
        patched.setattr(RunWriter, "write", away)
        sink = make_sink(plan, folder)
        sink.start(records)
        assert runs_behind(folder) == {MLFLOW: -1}
        assert sink.close() is not None
    assert runs_behind(folder) == {MLFLOW: count}
    told = format_status(folder_status(folder))
    assert f"MLflow is {count} runs behind; sweep sync {folder} writes them" in told
    sync(folder)
    assert runs_behind(folder) == {}
    assert "MLflow" not in format_status(folder_status(folder))
