"""The engine on a real Ray, with a method that computes nothing."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sweep.engine.cluster import check_resources, ray_resources
from sweep.engine.runner import Options, run
from sweep.ledger.ledger import Ledger
from sweep.planning.plan import Plan
from sweep.spec.resources import Share
from sweep.spec.spec import Resources
from sweep.testing.tabulated import EXECUTOR
from tests.sweep.drive import no_check, no_report
from tests.sweep.folders import check_complete, check_mlflow, mlflow_runs
from tests.sweep.inline import inline as inline
from tests.sweep.samples import plan_of
from trainables.errors import InputError

pytestmark = [
    pytest.mark.usefixtures("ray_is_put_away"),
    pytest.mark.cluster,
    pytest.mark.timeout(300),
]


def options(lines: list[str], **more: object) -> Options:
    chosen = {"executor": EXECUTOR, "preflight": no_check, "report": no_report, "say": lines.append}
    return Options(**{**chosen, **more})  # type: ignore[arg-type]


def test_a_sweep_runs_and_then_has_nothing_left(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    plan = plan_of()
    folder = tmp_path / "deep" / "out"
    reports: list[Path] = []
    lines: list[str] = []
    assert run(plan, folder, options(lines, report=reports.append)) == 0
    check_complete(folder, plan)
    check_mlflow(folder, plan)
    assert reports == [folder]
    assert f"{len(plan.cells)} of {len(plan.cells)} cells are there" in " ".join(lines)
    meta = json.loads((folder / "sweep.json").read_text())
    assert meta["spec_hash"] == plan.hash
    # Ray and MLflow keep quiet.
    noise = capfd.readouterr()
    assert noise.out == ""
    assert all("cells" in line for line in noise.err.splitlines()), noise.err
    # Nothing is left in the home folder, nothing of Tune's in the sweep's.
    assert not (Path.home() / ".ray").exists()
    assert not (Path.home() / "ray_results").exists()
    expected = ["driver.lock", "ledger", "mlflow.db", "prompts", "spec.yaml", "sweep.json"]
    assert {path.name for path in folder.iterdir()} - {"mlartifacts"} == set(expected)

    request.getfixturevalue("no_ray")
    before = {path: path.stat().st_mtime_ns for path in (folder / "ledger").rglob("*.json")}
    lines.clear()
    assert run(plan, folder, options(lines)) == 0
    assert "nothing left to do" in lines[0]
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "ledger").rglob("*.json")}
    check_mlflow(folder, plan)


def test_a_failing_pack_stops_nothing_else(
    tmp_path: Path, faults: Path, request: pytest.FixtureRequest
) -> None:
    plan = plan_of(tasks=["x", "y"])
    (faults / "error-x").touch()
    (faults / "die-y").touch()
    lines: list[str] = []
    assert run(plan, tmp_path, options(lines)) == 1
    ledger = Ledger(tmp_path)
    # Nothing of task y is missing, although a worker died on it: another one took over.
    done = [plan.by_id[name] for name in ledger.done_ids()]
    assert {cell.id for cell in done if cell.task == "y"} == {
        cell.id for cell in plan.cells if cell.task == "y"
    }
    assert {(cell.target, cell.kind) for cell in done if cell.task == "x"} == {("T", "reference")}
    failures = list(ledger.failures())
    assert len(failures) + len(done) == len(plan.cells)
    assert any("RuntimeError: no luck with x" in item["traceback"] for item in failures)
    assert any("no luck with x" in line for line in lines)
    refused = [item for item in failures if item["cell"]["row"] == "single"]
    assert all("its input" in item["reason"] for item in refused)
    (parent,), children = mlflow_runs(tmp_path)
    assert parent.info.status == "FAILED"
    assert {run.data.params["task"] for run in children} == {"y"}

    # The same command tries again what failed, and only that.
    (faults / "error-x").unlink()
    (faults / "packs.log").unlink()
    lines.clear()
    request.getfixturevalue("inline")
    assert run(plan, tmp_path, options(lines)) == 0
    check_complete(tmp_path, plan)
    check_mlflow(tmp_path, plan)
    packs = (faults / "packs.log").read_text().split()
    assert len(packs) == len(set(packs)) == 4


def test_a_mistake_found_by_the_preflight_leaves_the_folder_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_ray: None
) -> None:
    @contextmanager
    def instead_of_ray(address: str | None, resources: Resources) -> Iterator[Path]:
        yield tmp_path

    def complain(plan: Plan) -> list[str]:
        raise InputError("task x: the label word 'great' is two tokens of A")

    monkeypatch.setattr("sweep.engine.runner.ray_session", instead_of_ray)
    monkeypatch.setattr("sweep.engine.runner.share_of", lambda resources: Share(1, 0))
    folder = tmp_path / "out"
    with pytest.raises(InputError, match="two tokens"):
        run(plan_of(), folder, options([], preflight=complain))
    assert [path.name for path in folder.iterdir()] == ["driver.lock"]


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_more_than_the_machine_has_is_refused(name: str) -> None:
    wanted = Share(**{"cpu": 1.0, "gpu": 0.0, name: 3.0})
    check_resources(wanted, {"CPU": 4, "GPU": 3})
    with pytest.raises(InputError, match=rf"resources\.{name}: found 3; allowed: at most 2"):
        check_resources(wanted, {"CPU": 2, "GPU": 2})
    with pytest.raises(InputError, match="allowed: at most 0"):
        check_resources(Share(1.0, 0.5), {"CPU": 2})


def test_an_accelerator_that_no_node_has_is_refused() -> None:
    wanted = Share(1.0, 0.5, "A100")
    here = {"CPU": 4, "GPU": 1, "accelerator_type:A100": 1.0}
    check_resources(wanted, here)
    assert ray_resources(wanted) == {"cpu": 1.0, "gpu": 0.5, "accelerator_type:A100": 0.001}
    with pytest.raises(InputError, match=r"accelerator: found 'H100'.*allowed: A100"):
        check_resources(Share(1.0, 0.5, "H100"), here)
    with pytest.raises(InputError, match="no node with a GPU"):
        check_resources(Share(1.0, 0.0, "A100"), {"CPU": 4})


@pytest.mark.usefixtures("short_pauses")
def test_mlflow_that_is_down_delays_only_the_view(tmp_path: Path, no_ray: None) -> None:
    """The cells are there; MLflow is told by a later run of the same command."""
    from tests.sweep.ledger.test_ledger import fill

    plan = plan_of(mlflow={"tracking_uri": "http://127.0.0.1:9"})
    from sweep.ledger.folder import bind

    bind(tmp_path, plan, {})
    fill(Ledger(tmp_path), plan.cells)
    lines: list[str] = []
    began = time.monotonic()
    assert run(plan, tmp_path, options(lines)) == 0
    assert time.monotonic() - began < 60
    assert any("the next run of the same command catches up" in line for line in lines)
    # Where MLflow lives is no part of the spec's hash: the same folder, now with a view.
    later = plan_of()
    assert run(later, tmp_path, options(lines)) == 0
    check_mlflow(tmp_path, later)


@pytest.mark.parametrize(
    "address", ["127.0.0.1:9", "ray://127.0.0.1:9", "somewhere", ":1", "127.0.0.1:99999"]
)
def test_a_cluster_that_is_not_there(tmp_path: Path, address: str, no_ray: None) -> None:
    with pytest.raises(InputError, match=f"--address: no Ray cluster at {address} "):
        run(plan_of(), tmp_path / "out", options([], address=address))
