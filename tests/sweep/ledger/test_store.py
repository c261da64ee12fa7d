"""Finished cells of all sweeps, used again by any of them."""

import json
import multiprocessing
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from sweep.commands.plan import format_plan
from sweep.commands.status import folder_status
from sweep.engine.runner import Options, run
from sweep.ledger.ledger import Ledger
from sweep.ledger.store import Reuse, Store, counted, held, make_reuse, shareable, store_folder
from sweep.planning.plan import Plan
from sweep.testing.tabulated import (
    EXECUTOR,
    tabulated_arrays,
    tabulated_predictions,
    tabulated_prompt,
    tabulated_result,
)
from tests.sweep.drive import no_check, no_report
from tests.sweep.folders import check_complete, check_mlflow
from tests.sweep.inline import inline as inline
from tests.sweep.ledger.test_ledger import fill
from tests.sweep.samples import plan_of
from trainables.scoring.open_vocabulary import KEYS

LARGER = {
    "name": "large",
    "seeds": 2,
    "targets": ["T", "U"],
    "methods": {"soft": {"lambda": [0, 0.5, "annealing"], "steps": 4, "evaluations": 2}},
}


def options(lines: list[str], store: Path) -> Options:
    return Options(
        executor=EXECUTOR, preflight=no_check, report=no_report, say=lines.append, store=store
    )


def stocked(store: Path, plan: Plan, folder: Path) -> Path:
    """A store with the cells of a finished sweep."""
    ledger = Ledger(folder)
    fill(ledger, plan.cells)
    make_reuse(plan, ledger, store, pytest.fail).keep_all(plan.cells)
    return store


def taken(plan: Plan, store: Path, folder: Path, lines: list[str]) -> tuple[set[str], Ledger]:
    ledger = Ledger(folder)
    return make_reuse(plan, ledger, store, lines.append).take(plan.cells), ledger


def entry(store: Path, cell_id: str) -> Path:
    return store / "cells" / cell_id[:2] / f"{cell_id}.json"


def without_origin(record: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in record.items() if key != "reused_from"}


def test_a_cell_comes_back_as_it_was(tmp_path: Path) -> None:
    plan = plan_of(direct=True)
    store = stocked(tmp_path / "store", plan, tmp_path / "a")
    found, ledger = taken(plan, store, tmp_path / "b", [])
    assert found == plan.by_id.keys()
    check_complete(tmp_path / "b", plan)
    first = {record["id"]: record for record in Ledger(tmp_path / "a").records()}
    for record in ledger.records():
        assert record["reused_from"] == {"name": "small", "spec_hash": plan.hash}
        assert without_origin(record) == first[record["id"]]


def test_the_origin_is_the_sweep_that_computed(tmp_path: Path) -> None:
    """A cell that was taken over is not given back as one's own."""
    plan, larger = plan_of(), plan_of(**LARGER)
    store = stocked(tmp_path / "store", plan, tmp_path / "a")
    _, ledger = taken(larger, store, tmp_path / "b", [])
    again = tmp_path / "again"
    make_reuse(larger, ledger, again, pytest.fail).keep_all(larger.cells)
    _, third = taken(plan, again, tmp_path / "c", [])
    assert {record["reused_from"]["name"] for record in third.records()} == {"small"}


def test_only_what_is_missing_is_taken(tmp_path: Path) -> None:
    plan = plan_of()
    store = stocked(tmp_path / "store", plan, tmp_path / "a")
    ledger = Ledger(tmp_path / "b")
    fill(ledger, plan.cells[:3])
    ledger.fail(plan.cells[4], "no luck", "pack")
    reuse = make_reuse(plan, ledger, store, pytest.fail)
    left = {cell.id for cell in plan.cells[3:]}
    assert reuse.find(plan.cells) == left
    assert len(list(ledger.failures())) == 1
    assert reuse.take(plan.cells) == left
    assert list(ledger.failures()) == []
    assert reuse.find(plan.cells) == reuse.take(plan.cells) == set()


@pytest.mark.parametrize("harm", ["flip", "cut", "prompt", "no prompt", "other cell", "no mapping"])
def test_damaged_entries_are_set_aside_and_replaced(tmp_path: Path, harm: str) -> None:
    plan = plan_of()
    store = stocked(tmp_path / "store", plan, tmp_path / "a")
    cell = next(cell for cell in plan.cells if cell.kind == "transfer")
    path = entry(store, cell.id)
    (prompt,) = store.glob(f"prompts/*/{cell.id}-*")
    spoilt = prompt if harm == "prompt" else path
    content = bytearray(spoilt.read_bytes())
    content[len(content) // 2] ^= 4
    if harm == "no prompt":
        prompt.unlink()
    elif harm == "other cell":
        other = next(other for other in plan.cells if other.id != cell.id)
        path.write_bytes(entry(store, other.id).read_bytes())
    else:
        spoilt.write_bytes({"cut": bytes(content[:99]), "no mapping": b"[]"}.get(harm, content))
    counts = counted(plan, *held(plan, None, store))
    assert (counts["in_store"], counts["to_run"]) == (len(plan.cells) - 1, 1)
    assert path.exists(), "looking changes nothing"
    lines: list[str] = []
    found, ledger = taken(plan, store, tmp_path / "b", lines)
    assert found == plan.by_id.keys() - {cell.id}
    assert len(lines) == 1
    assert "damaged" in lines[0]
    assert not path.exists()
    assert len(list((store / "damaged").iterdir())) == 1
    # Computed again, it is there again.
    record = ledger.write(cell, tabulated_result(cell), "pack", {}, *tabulated_arrays(cell))
    assert record is not None
    make_reuse(plan, ledger, store, pytest.fail).keep(record)
    assert taken(plan, store, tmp_path / "c", [])[0] == plan.by_id.keys()


@pytest.mark.parametrize("kind", ["a file", "below a file", "full"])
def test_a_store_that_cannot_be_written_is_one_warning(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store = plan_of(), tmp_path / "store"
    if kind != "full":
        store.touch()
    ledger = Ledger(tmp_path / "a")
    fill(ledger, plan.cells)
    lines: list[str] = []
    place = store / "below" if kind == "below a file" else store
    reuse = make_reuse(plan, ledger, place, lines.append)
    if kind == "full":
        full = OSError(28, "No space left on device")
        monkeypatch.setattr(
            "sweep.ledger.store.replace_file", lambda *_, **__: (_ for _ in ()).throw(full)
        )
    assert reuse.find(plan.cells) == set()
    for record in ledger.records():
        reuse.keep(record)
    reuse.keep_all(plan.cells)
    assert len(lines) == 1
    assert "cannot be written" in lines[0]
    assert "\n" not in lines[0]


def test_calibrations_are_those_of_the_spec(tmp_path: Path) -> None:
    """Ids do not depend on them: what lacks one is run, and what has more gives it up."""
    both = ["batch", "content_free"]
    one, two, none = (plan_of(calibration=asked) for asked in (["batch"], both, []))
    store = stocked(tmp_path / "store", one, tmp_path / "a")
    assert taken(two, store, tmp_path / "b", [])[0] == set()
    found, ledger = taken(none, store, tmp_path / "c", [])
    assert found == one.by_id.keys()
    assert not any("score_batch" in key for item in ledger.records() for key in item["result"])
    richer = Ledger(tmp_path / "d")
    reuse = make_reuse(two, richer, store, pytest.fail)
    for cell in two.cells:
        record = richer.write(
            cell, tabulated_result(cell, both), "pack", {}, *tabulated_arrays(cell)
        )
        assert record is not None
        reuse.keep(record)
    for plan in (one, two, none):
        assert counted(plan, *held(plan, None, store))["in_store"] == len(plan.cells)
    # A poorer record does not take the place of a richer one.
    for record in Ledger(tmp_path / "a").records():
        reuse.keep(record)
    assert counted(two, *held(two, None, store))["in_store"] == len(two.cells)


def test_open_answers_are_those_of_the_spec(tmp_path: Path) -> None:
    plain, opened = plan_of(), plan_of(evaluation="open")
    assert plain.by_id.keys() == opened.by_id.keys()
    assert plain.hash == opened.hash
    store = stocked(tmp_path / "store", plain, tmp_path / "a")
    assert taken(opened, store, tmp_path / "b", [])[0] == set()
    richer = Ledger(tmp_path / "c")
    reuse = make_reuse(opened, richer, store, pytest.fail)
    for cell in opened.cells:
        result = tabulated_result(cell, evaluation=["open"])
        record = richer.write(cell, result, "pack", {}, *tabulated_arrays(cell))
        assert record is not None
        reuse.keep(record)
    for plan, there in ((plain, False), (opened, True)):
        found, ledger = taken(plan, store, tmp_path / f"taken {there}", [])
        assert found == plan.by_id.keys()
        for record in ledger.records():
            assert all((name in record["result"]) is there for name in KEYS)


def test_predictions_are_those_of_the_spec(tmp_path: Path) -> None:
    """As of calibrations: what lacks some is run, what has more gives it up, digests and all."""
    splits = ("validation", "test")
    both, one, none = (plan_of(predictions=list(asked)) for asked in (splits, splits[:1], ()))
    assert both.by_id.keys() == one.by_id.keys()
    assert both.hash == one.hash == none.hash
    poor = Ledger(tmp_path / "a")
    reuse = make_reuse(one, poor, tmp_path / "store", pytest.fail)
    for cell in one.cells:
        kept = tabulated_predictions(cell, splits[:1])
        record = poor.write(cell, tabulated_result(cell), "p", {}, tabulated_prompt(cell), kept)
        assert record is not None
        reuse.keep(record)
    assert [
        counted(plan, *held(plan, None, tmp_path / "store"))["in_store"]
        for plan in (both, one, none)
    ] == [
        0,
        len(one.cells),
        len(one.cells),
    ]
    store = stocked(tmp_path / "store", both, tmp_path / "b")
    rich = Ledger(tmp_path / "b")
    for record in rich.records():
        make_reuse(both, rich, store, pytest.fail).keep(record)
    for record in poor.records():  # a poorer record does not take the place of a richer one
        reuse.keep(record)
    for plan, asked in ((both, splits), (one, splits[:1]), (none, ())):
        folder = tmp_path / f"taken {len(asked)}"
        found, ledger = taken(plan, store, folder, [])
        assert found == plan.by_id.keys()
        assert Ledger(folder).done_ids() == found, "digests are those of what is left"
        for record in ledger.records():
            cell = plan.by_id[record["id"]]
            named = record["predictions"]
            assert (named is None) == (not asked)
            assert named is None or tuple(named["splits"]) == asked
            arrays = tabulated_predictions(cell, asked)
            file = folder / "prompts" / cell.id[:2] / f"{cell.id}.safetensors"
            prompt = tabulated_prompt(cell)
            assert file.exists() == (bool(asked) or prompt is not None)
            if prompt is not None:
                assert (ledger.prompt(cell.id) == prompt).all()
                arrays["prompt"] = prompt
            if file.exists():
                tensors = load_file(file)
                assert tensors.keys() == arrays.keys()
                assert all((tensors[name] == arrays[name]).all() for name in arrays)
        # Taken from the store or computed with as much, a file has the same bytes.
        if asked == splits[:1]:
            for file in folder.glob("prompts/*/*"):
                twin = tmp_path / "a" / file.relative_to(folder)
                assert file.read_bytes() == twin.read_bytes()


def test_what_the_hub_may_change_is_not_shared(tmp_path: Path) -> None:
    plan = plan_of()
    cell = plan.cells[0]
    moving = replace(cell, digests={**cell.digests, cell.target: "owner/name@main"})
    pinned = replace(cell, digests={**cell.digests, cell.target: f"owner/name@{'0' * 40}"})
    assert [shareable(one) for one in (cell, moving, pinned)] == [True, False, True]
    ledger = Ledger(tmp_path / "a")
    store = Store(tmp_path / "store")
    fill(ledger, [moving, pinned])
    reuse = Reuse(store, ledger, {"name": "small", "spec_hash": ""})
    reuse.keep_all([moving, pinned])
    for record in ledger.records():
        reuse.keep(record)
    assert [path.stem for path in store.folder.glob("cells/*/*")] == [pinned.id]


def _fill_at_once(store: Path, folder: Path, start: float) -> None:
    plan = plan_of(seeds=3)
    ledger = Ledger(folder)
    reuse = make_reuse(plan, ledger, store, print)
    while time.time() < start:
        pass
    for cell in plan.cells:
        fill(ledger, [cell])
        reuse.keep(ledger.record(cell.id))
        Store(store, repair=True).get(cell)


@pytest.mark.slow
def test_several_sweeps_write_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start = time.time() + 0.5
    writers = [
        context.Process(target=_fill_at_once, args=(tmp_path / "store", tmp_path / name, start))
        for name in "abc"
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    plan = plan_of(seeds=3)
    lines: list[str] = []
    assert taken(plan, tmp_path / "store", tmp_path / "d", lines)[0] == plan.by_id.keys()
    assert lines == []
    assert list((tmp_path / "store" / "partial").iterdir()) == []
    assert not (tmp_path / "store" / "damaged").exists()


def test_what_killed_writers_left_is_removed_after_a_day(tmp_path: Path) -> None:
    partial = tmp_path / "partial"
    partial.mkdir()
    for name, age in (("old", 90_000), ("young", 60)):
        (partial / name).touch()
        os.utime(partial / name, (time.time() - age,) * 2)
    Store(tmp_path)
    assert len(list(partial.iterdir())) == 2
    Store(tmp_path, repair=True)
    assert [path.name for path in partial.iterdir()] == ["young"]


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTSWEEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PROMPTSWEEP_STORE", "none")
    assert store_folder() is None
    assert store_folder(str(tmp_path / "mine")) == tmp_path / "mine"
    monkeypatch.setenv("PROMPTSWEEP_STORE", str(tmp_path / "named"))
    assert store_folder() == tmp_path / "named"
    assert store_folder("none") is None
    monkeypatch.delenv("PROMPTSWEEP_STORE")
    assert store_folder() == tmp_path / "cache" / "store"


def test_a_plan_tells_what_is_where(tmp_path: Path) -> None:
    plan, larger = plan_of(), plan_of(**{**LARGER, "name": "small"})
    store = stocked(tmp_path / "store", plan, tmp_path / "a")
    ledger = Ledger(tmp_path / "b")
    fill(ledger, larger.cells[:4])
    (tmp_path / "b" / "driver.lock").touch()
    from sweep.ledger.folder import bind

    for item in ("ledger", "prompts"):
        (tmp_path / "b" / item).rename(tmp_path / item)
    bind(tmp_path / "b", larger, {})
    for item in ("ledger", "prompts"):
        (tmp_path / item).rename(tmp_path / "b" / item)
    counts = counted(larger, *held(larger, tmp_path / "b", store))
    stored = plan.by_id.keys() - {cell.id for cell in larger.cells[:4]}
    assert (counts["done"], counts["in_store"]) == (4, len(stored))
    assert counts["to_run"] == len(larger.cells) - 4 - len(stored)
    last = format_plan(counts).splitlines()[-1]
    assert last == f"  4 done, {len(stored)} in the store, {counts['to_run']} to run"
    assert "store" not in format_plan(counted(larger, *held(larger, None, None)))


@pytest.mark.slow
def test_another_sweep_runs_only_what_is_new(
    tmp_path: Path, faults: Path, inline: None, no_ray: None
) -> None:
    plan, larger, store = plan_of(), plan_of(**LARGER), tmp_path / "store"
    lines: list[str] = []
    assert run(plan, tmp_path / "a", options(lines, store)) == 0, lines
    (faults / "packs.log").unlink()
    lines.clear()
    assert run(larger, tmp_path / "b", options(lines, store)) == 0, lines
    assert f"0 of {len(larger.cells)} cells are there, {len(plan.cells)} in the store" in lines[0]
    check_complete(tmp_path / "b", larger)
    check_mlflow(tmp_path / "b", larger)
    expected = {pack.id for pack in larger.remaining(plan.by_id.keys())}
    assert set((faults / "packs.log").read_text().split()) == expected
    reused = {
        record["id"] for record in Ledger(tmp_path / "b").records() if "reused_from" in record
    }
    assert reused == plan.by_id.keys() & larger.by_id.keys()
    # All of a third sweep is in the store by now: nothing is run, and damage heals from there.
    (faults / "packs.log").unlink()
    third = plan_of(**{**LARGER, "name": "third"})
    for _ in range(2):
        lines.clear()
        assert run(third, tmp_path / "c", options(lines, store)) == 0, lines
        assert "nothing left to do" in " ".join(lines)
        check_complete(tmp_path / "c", third)
        check_mlflow(tmp_path / "c", third)
        lost = next((tmp_path / "c").glob("prompts/*/*.safetensors"))
        lost.write_bytes(lost.read_bytes()[:-1])
    assert not (faults / "packs.log").exists()
    meta = json.loads((tmp_path / "c" / "sweep.json").read_text())
    assert meta["planned_cells"] == len(third.cells)
    assert folder_status(tmp_path / "c")["cells_per_minute"] is None
