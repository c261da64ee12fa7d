"""Trackers beside MLflow: chosen by name, missing packages, and a sweep that none of them harms."""

from pathlib import Path
from typing import Any

import pytest

from sweep.commands.status import folder_status, format_status
from sweep.engine.runner import Options, make_sink, run
from sweep.ledger.folder import META_FILE, bind, read_meta
from sweep.ledger.ledger import Ledger
from sweep.spec.spec import parse_spec, spec_schema
from sweep.spec.trackers import MLFLOW, TRACKERS, TrackerKind, trackers_of
from sweep.tracking.sink import runs_behind, sync
from sweep.tracking.view import RunData
from tests.sweep.drive import no_check
from tests.sweep.ledger.test_ledger import fill
from tests.sweep.samples import content, plan_of
from trainables.errors import InputError


class Memory:
    """A tracker that keeps what it is told, or refuses."""

    where, shown = "memory", "nowhere"

    def __init__(self, place: Any) -> None:
        self.runs: dict[str, RunData] = {}
        self.ended: list[Any] = []
        made.append(self)

    def prepare(self) -> None: ...

    def open(self, parent: RunData) -> "Memory":
        return self

    def write(self, runs: Any, done: Any) -> None:
        for item in runs:
            assert item.key not in self.runs or len(self.runs[item.key].metrics) < len(item.metrics)
            self.runs[item.key] = item
            done(item)

    def end(self, status: str, summary: Any) -> None:
        self.ended.append((status, dict(summary)))

    def tidy(self) -> None: ...

    def close(self) -> None: ...


class Broken(Memory):
    def open(self, parent: RunData) -> "Memory":
        raise ConnectionError("broken in two")


made: list[Memory] = []


@pytest.fixture(autouse=True)
def _trackers(monkeypatch: pytest.MonkeyPatch) -> None:
    made.clear()
    monkeypatch.setattr("sweep.tracking.sink.LAST_PAUSES", (0.01,))
    monkeypatch.setitem(TRACKERS, "memory", TrackerKind("Memory", Memory))
    monkeypatch.setitem(TRACKERS, "broken", TrackerKind("Broken", Broken))


def test_trackers_are_no_part_of_what_a_sweep_is(tmp_path: Path) -> None:
    usual, other = plan_of(), plan_of(tracking=["mlflow", "memory"])
    assert usual.resolved.spec.tracking == (MLFLOW,)
    assert (usual.hash, usual.cells) == (other.hash, other.cells)
    bind(tmp_path, other, {})
    assert trackers_of(read_meta(tmp_path)["spec"]) == ("mlflow", "memory")
    # A folder of an earlier version, which says nothing of trackers.
    assert trackers_of({}) == (MLFLOW,)
    names = spec_schema()["properties"]["tracking"]["items"]["enum"]
    assert {"mlflow", "tensorboard", "wandb", "memory"} <= set(names)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (["mlflow", "wandbb"], ["tracking[1]", "'wandbb'", "wandb"]),
        (["mlflow", "mlflow"], ["tracking", "twice"]),
        ("mlflow", ["tracking", "a list of the programs"]),
    ],
)
def test_mistakes_in_a_spec(written: Any, words: list[str]) -> None:
    with pytest.raises(InputError) as told:
        parse_spec(content(tracking=written))
    assert all(word in str(told.value) for word in words), told.value


def test_a_missing_package_is_said_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = TrackerKind("Gone", Memory, packages=("no_such_package",), extra="gone")
    monkeypatch.setitem(TRACKERS, "gone", kind)
    plan = plan_of(tracking=["gone"])
    with pytest.raises(InputError) as told:
        run(plan, tmp_path, Options(executor="nothing", preflight=no_check))
    assert str(told.value) == (
        "tracking: found gone, which needs the package no_such_package, and that is not installed"
        ' (pip install ".[gone]"); allowed without it: mlflow, memory, broken'
    )
    assert not (tmp_path / META_FILE).exists()


def test_one_that_is_broken_harms_no_other(tmp_path: Path) -> None:
    plan = plan_of(direct=True, seeds=2, tracking=["broken", "memory"])
    bind(tmp_path, plan, {})
    fill(Ledger(tmp_path), plan.cells)
    sinks = make_sink(plan, tmp_path)
    sinks.start(Ledger(tmp_path).records())
    told = sinks.close("FAILED", failed=3)
    assert told is not None and told.startswith("Broken (memory) could not be written (broken in")
    assert sinks.shown == ["Broken:  nowhere", "Memory:  nowhere"]
    broken, memory = made
    assert not broken.runs
    assert {cell.id for cell in plan.cells} <= memory.runs.keys()
    ((status, summary),) = memory.ended
    assert (status, summary["cells/failed"]) == ("FAILED", 3)
    assert summary["cells/planned"] == summary["cells/done"] == len(plan.cells)

    best = [run for run in memory.runs.values() if run.params.get("row") == "direct"]
    first = max(best, key=lambda run: run.metrics["validation/score"])
    assert summary["best_validation/direct"] == first.metrics["validation/score"]
    assert summary["best_test/direct"] == first.metrics["test/score"]
    assert summary["best_gain_over_empty/direct"] == first.metrics["test/gain_over_empty"]
    assert {f"best_test/{row}" for row in ("empty", "manual", "constant", "single", "ours")} <= (
        summary.keys()
    )

    count = len(plan.cells)
    assert runs_behind(tmp_path) == {"broken": count}
    status = folder_status(tmp_path)
    assert (status["behind"], status["mlflow_behind"]) == ({"broken": count}, None)
    assert f"Broken is {count} runs behind; sweep sync" in format_status(status)
    # Later, and elsewhere.
    assert sync(tmp_path, names=["memory"]).endswith(
        "results of sweep small are in Memory at memory"
    )
    with pytest.raises(InputError, match=r"--tracker: found 'memori' \(did you mean memory"):
        sync(tmp_path, names=["memori"])


def test_names_say_what_the_numbers_are(tmp_path: Path) -> None:
    plan = plan_of(
        direct=True,
        methods={"soft": {"lambda": [0, 0.5, "annealing"]}, "pez": {"vocabulary": ["all"]}},
        transfer=[{"solver": "closed_form"}, {"solver": "readout", "rows": ["single"]}],
        tracking=["memory"],
    )
    fill(Ledger(tmp_path), plan.cells)
    sinks = make_sink(plan, tmp_path)
    sinks.start(Ledger(tmp_path).records())
    assert sinks.close() is None
    names = {run.name for run in made[0].runs.values() if run.record}
    assert {
        "λ=0.5 seed=0, A+B to T, x/one",
        "λ=annealing seed=0, A+B to T, x/one",
        "readout λ=0 seed=0, A to T, x/one",
        "source λ=0.5 seed=0, A+B on A, x/one",
        "Direct seed=0, T, x/one",
        "Empty, T, x/one",
        "Manual, A, x/one",
    } <= names
    assert {"pez all seed=0, A to T, x/one", "Direct pez seed=0, T, x/one"} <= names
