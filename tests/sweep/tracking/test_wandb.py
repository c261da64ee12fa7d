"""Weights & Biases: once each, without a network, and with a client that hangs or is gone."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from sweep.engine.runner import make_sink
from sweep.ledger.ledger import Ledger
from sweep.planning.plan import Plan
from sweep.spec.trackers import TRACKERS
from sweep.tracking.wandb import FOLDER, WRITTEN
from tests.sweep.ledger.test_ledger import fill
from tests.sweep.samples import plan_of

STAND_IN = """
import json, os, time
from pathlib import Path

LOG = Path(os.environ["STAND_IN_LOG"])


class Run:
    step, project_url = 0, "https://wandb.example/me/small"
    def __init__(self, given):
        self.given, self.config, self.summary, self.told = given, Config(), {}, []
    def log(self, values, step):
        self.told.append([step, values])
    def finish(self, exit_code):
        with LOG.open("a") as file:
            line = {**self.given, "history": self.told, "metrics": self.summary, "code": exit_code}
            file.write(json.dumps(line) + "\\n")


class Config(dict):
    def update(self, values, allow_val_change):
        assert allow_val_change
        super().update(values)


def Settings(**given):
    return None


def init(settings, **given):
    way = os.environ.get("STAND_IN", "")
    if given["mode"] is None and way == "hangs":
        time.sleep(600)
    if given["mode"] is None and way == "fails":
        raise RuntimeError("no network\\nat all")
    if way == "dies":
        os._exit(3)
    return Run(given)
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the client, in the way of a real one; where it says what it is told."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "wandb.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    monkeypatch.setenv("STAND_IN_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("WANDB_RUN_ID", "of other work")
    for name in ("WANDB_MODE", "WANDB_PROJECT", "WANDB_ENTITY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sweep.tracking.sink.LAST_PAUSES", (0.1,))
    return tmp_path / "log"


def _made(folder: Path, **changes: Any) -> Plan:
    plan = plan_of(tracking=["wandb"], **changes)
    fill(Ledger(folder), plan.cells)
    return plan


def _write(plan: Plan, folder: Path, status: str = "FINISHED") -> tuple[str | None, list[str]]:
    sinks = make_sink(plan, folder)
    sinks.start(Ledger(folder).records())
    return sinks.close(status, patience=20.0), sinks.shown


def _told(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []


@pytest.mark.slow
def test_each_run_once_and_what_came_later_in_its_place(tmp_path: Path, log: Path) -> None:
    folder = tmp_path / "sweep"
    folder.mkdir()
    plan = _made(folder)
    assert _write(plan, folder) == (None, ["Weights & Biases: https://wandb.example/me/small"])
    first = _told(log)
    assert len({run["id"] for run in first}) == len(first)
    kinds = [run["job_type"] for run in first]
    assert kinds.count("result") + kinds.count("source") == len(plan.cells)
    assert kinds[-1] == "sweep" and first[-1]["metrics"]["cells/done"] == len(plan.cells)
    ours = next(run for run in first if run["name"].startswith("λ=0.5 seed=0, A+B to T"))
    assert (ours["project"], ours["resume"], ours["config"]["lambda"]) == ("small", "allow", 0.5)
    assert ours["group"] in {run["name"] for run in first if run["job_type"] == "pack"}
    assert ours["history"] == [[0, ours["metrics"]]]

    assert _write(plan, folder)[0] is None
    assert _told(log) == first
    # A kill has left half a line: that run is written again, under its own id.
    written = folder / FOLDER / WRITTEN
    written.write_bytes(written.read_bytes()[:-9])
    assert _write(plan, folder)[0] is None
    assert [run["id"] for run in _told(log)[len(first) :]] == [first[-1]["id"]]


@pytest.mark.slow
@pytest.mark.parametrize(("way", "why"), [("fails", "no network"), ("hangs", "no answer for 3 s")])
def test_without_a_network_files_are_written(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch, way: str, why: str
) -> None:
    monkeypatch.setenv("STAND_IN", way)
    monkeypatch.setattr("sweep.tracking.wandb.PATIENCE", 3.0)
    folder = tmp_path / "sweep"
    folder.mkdir()
    plan, began = _made(folder), time.monotonic()
    late, (shown,) = _write(plan, folder)
    assert time.monotonic() - began < 60
    assert late is None
    files = folder / FOLDER / "offline-run-*"
    assert shown == f"Weights & Biases: {files}, offline ({why}); wandb sync {files} uploads them"
    runs = _told(log)
    assert {run["mode"] for run in runs} == {"offline"}
    assert len({run["id"] for run in runs}) == len(runs) > len(plan.cells)


@pytest.mark.slow
def test_a_client_that_dies_loses_nothing(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sweep"
    folder.mkdir()
    plan = _made(folder)
    with monkeypatch.context() as patched:
        patched.setenv("STAND_IN", "dies")
        late, _ = _write(plan, folder)
    assert late is not None
    assert "could not be written (its process has ended); the ledger is complete" in late
    assert _write(plan, folder)[0] is None
    assert len(_told(log)) > len(plan.cells)


@pytest.mark.slow
def test_the_real_client_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    assert TRACKERS["wandb"].packages == ("wandb",)
    monkeypatch.setenv("WANDB_MODE", "offline")
    plan = _made(tmp_path, pairs=[])
    late, (shown,) = _write(plan, tmp_path)
    assert late is None and "offline (WANDB_MODE=offline)" in shown

    def ids() -> list[str]:
        return [path.name[-16:] for path in (tmp_path / FOLDER).glob("offline-run-*")]

    before = ids()
    assert len(before) == len(set(before)) > len(plan.cells)
    assert all(list(path.glob("*.wandb")) for path in (tmp_path / FOLDER).glob("offline-run-*"))
    assert "wandb sync" in make_sink(plan, tmp_path).shown[0]
    (tmp_path / FOLDER / WRITTEN).unlink()
    assert _write(plan, tmp_path)[0] is None
    assert sorted(ids()) == sorted(before)
