"""A folder that goes on with a spec that asks for more."""

import json
from pathlib import Path
from typing import Any

import pytest

from sweep.commands.status import folder_status
from sweep.engine.runner import make_sink
from sweep.ledger import folder as folder_module
from sweep.ledger.folder import bind, check_binding, first_hash, lacking_note, read_meta
from sweep.ledger.ledger import Ledger
from sweep.planning.plan import Plan
from tests.sweep.folders import check_complete, check_mlflow, mlflow_runs
from tests.sweep.ledger.test_ledger import fill
from tests.sweep.samples import plan_of
from trainables.errors import InputError
from trainables.files.atomic import replace_file

MORE: dict[str, dict[str, Any]] = {
    "seed": {"seeds": 2},
    "task": {"tasks": ["x/one", "y"]},
    "target": {"targets": ["T", "U"]},
    "source": {"sources": ["A", "B", "C"]},
    "lambda": {"methods": {"soft": {"lambda": [0, 0.5, 0.9], "steps": 4, "evaluations": 2}}},
    "direct": {"direct": True},
}


def begun(folder: Path, plan: Plan) -> None:
    bind(folder, plan, {})
    fill(Ledger(folder), plan.cells)


@pytest.mark.parametrize("what", MORE)
def test_only_what_was_added_remains(tmp_path: Path, what: str) -> None:
    before, after = plan_of(), plan_of(**MORE[what])
    assert before.hash != after.hash
    begun(tmp_path, before)
    check_binding(tmp_path, after)
    bind(tmp_path, after, {"torch": "9"})
    meta = read_meta(tmp_path)
    assert meta["spec_hash"] == after.hash
    assert meta["planned_cells"] == len(after.cells)
    assert [item["spec_hash"] for item in meta["grown_from"]] == [before.hash]
    assert (tmp_path / "spec.1.yaml").read_text() == before.resolved.spec.text
    assert (tmp_path / "spec.yaml").read_text() == after.resolved.spec.text
    left = {cell.id for pack in after.remaining(Ledger(tmp_path).done_ids()) for cell in pack.cells}
    assert left == after.by_id.keys() - before.by_id.keys()
    assert folder_status(tmp_path)["missing"] == len(left)
    # And not back again: cells may not be left out once they are finished.
    fill(Ledger(tmp_path), after.cells)
    with pytest.raises(InputError, match=rf"lacks {len(left)} of its {len(after.cells)} finished"):
        check_binding(tmp_path, before)


def test_again_and_again(tmp_path: Path) -> None:
    plans = [plan_of(seeds=number) for number in (1, 2, 3)]
    for plan in plans:
        begun(tmp_path, plan)
        bind(tmp_path, plan, {})
    assert [item["spec"] for item in read_meta(tmp_path)["grown_from"]] == [
        "spec.1.yaml",
        "spec.2.yaml",
    ]
    for number, plan in enumerate(plans[:2], 1):
        assert (tmp_path / f"spec.{number}.yaml").read_text() == plan.resolved.spec.text
    assert first_hash(tmp_path, plans[2]) == plans[0].hash
    assert first_hash(tmp_path / "new", plans[2]) == plans[2].hash


def test_another_name_is_another_sweep(tmp_path: Path) -> None:
    bind(tmp_path, plan_of(), {})
    with pytest.raises(InputError, match=r"belongs to another spec: small .* this one is large"):
        check_binding(tmp_path, plan_of(name="large"))


@pytest.mark.parametrize("last", range(3))
def test_killed_between_any_two_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    before, after = plan_of(), plan_of(seeds=2)
    begun(tmp_path, before)
    written: list[str] = []

    def dying(path: Path, content: bytes) -> None:
        if len(written) == last:
            raise KeyboardInterrupt
        replace_file(path, content)
        written.append(path.name)

    with monkeypatch.context() as patched:
        patched.setattr(folder_module, "replace_file", dying)
        patched.setattr("sweep.ledger.folder.replace_file", dying)
        with pytest.raises(KeyboardInterrupt):
            bind(tmp_path, after, {})
    # The copy of the spec comes last: a folder without it is the new spec's already.
    now = after if last == 2 else before
    assert read_meta(tmp_path)["spec_hash"] == now.hash
    check_binding(tmp_path, now)
    bind(tmp_path, after, {})
    assert read_meta(tmp_path)["spec_hash"] == after.hash
    assert (tmp_path / "spec.1.yaml").read_text() == before.resolved.spec.text
    assert (tmp_path / "spec.yaml").read_text() == after.resolved.spec.text
    assert not (tmp_path / "spec.2.yaml").exists()


def test_failures_of_cells_that_are_not_asked_for_any_more_are_forgotten(tmp_path: Path) -> None:
    before, after = plan_of(tasks=["x", "y"]), plan_of(tasks=["x"], seeds=2)
    bind(tmp_path, before, {})
    ledger = Ledger(tmp_path)
    for cell in before.cells:
        ledger.fail(cell, "no luck", "pack")
    bind(tmp_path, after, {})
    left = {failure["id"] for failure in Ledger(tmp_path).failures()}
    assert left == before.by_id.keys() & after.by_id.keys()
    assert left


def test_calibrations_that_came_with_the_growth_are_told(tmp_path: Path) -> None:
    begun(tmp_path, plan_of(calibration=["batch"]))
    after = plan_of(seeds=2, calibration=["batch", "content_free"])
    assert "content_free in" in lacking_note(tmp_path, after, Ledger(tmp_path).records)
    bind(tmp_path, after, {})
    note = lacking_note(tmp_path, after, Ledger(tmp_path).records)
    assert f"missing (content_free in {len(plan_of().cells)})" in note


@pytest.mark.slow
def test_mlflow_gets_the_new_cells_beside_the_old_ones(tmp_path: Path) -> None:
    """Same parent; one run a cell; what a further seed of row Direct moves is moved."""
    ids: dict[str, str] = {}
    for plan in (
        plan_of(direct=True),
        plan_of(direct=True, seeds=3),
        plan_of(direct=True, seeds=3, sources=["A", "B", "C"], pairs=[["A", "B"], ["A", "B", "C"]]),
    ):
        bind(tmp_path, plan, {})
        fill(Ledger(tmp_path), plan.cells)
        for _ in range(2):
            sink = make_sink(plan, tmp_path)
            sink.start(Ledger(tmp_path).records())
            assert sink.close() is None
            check_mlflow(tmp_path, plan)
            _, children = mlflow_runs(tmp_path)
            now = {run.data.tags["cell"]: run.info.run_id for run in children}
            assert ids.items() <= now.items()
            ids = now
        check_complete(tmp_path, plan)
    assert json.loads((tmp_path / "sweep.json").read_text())["grown_from"]
