import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from sweep.ledger.folder import bind, check_binding, read_meta
from sweep.ledger.ledger import Ledger
from sweep.planning.plan import Plan
from sweep.testing.tabulated import (
    tabulated_arrays,
    tabulated_predictions,
    tabulated_prompt,
    tabulated_result,
)
from tests.pace import slowness
from tests.sweep.samples import plan_of, relaxed
from trainables.core.cells import Cell
from trainables.errors import InputError
from trainables.files.atomic import replace_file
from trainables.packs.records import seal, unseal


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(seeds=2)


def fill(ledger: Ledger, cells: Iterable[Cell]) -> None:
    for cell in cells:
        result = tabulated_result(cell)
        ledger.write(cell, result, "pack", {"seconds": 1.0}, *tabulated_arrays(cell))


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def record_file(folder: Path, cell: Cell) -> Path:
    return folder / "ledger" / cell.id[:2] / f"{cell.id}.json"


def prompt_file(folder: Path, cell: Cell) -> Path:
    return folder / "prompts" / cell.id[:2] / f"{cell.id}.safetensors"


def test_what_is_written_is_read(tmp_path: Path, plan: Plan) -> None:
    fill(Ledger(tmp_path, {"torch": "2"}), plan.cells)
    again = Ledger(tmp_path)
    assert again.done_ids() == set(plan.by_id)
    for record in again.records():
        cell = plan.by_id[record["id"]]
        assert Cell.from_json(record["cell"]) == cell
        assert record["result"] == tabulated_result(cell)
        assert record["versions"] == {"torch": "2"}
        expected = tabulated_prompt(cell)
        if expected is None:
            assert record["prompt"] is None
            with pytest.raises(KeyError):
                again.prompt(cell.id)
        else:
            found = again.prompt(cell.id)
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, expected)


def test_a_template_in_words_is_read(tmp_path: Path) -> None:
    soft = {"lambda": [0, 0.5], "steps": 4, "evaluations": 2}
    told = plan_of(methods={"soft": {**soft, "template": ["causal", "all", "chat"]}})
    fill(Ledger(tmp_path), told.cells)
    assert {record["id"] for record in Ledger(tmp_path).records()} == set(told.by_id)


def test_a_prompt_file_says_what_it_is(tmp_path: Path, plan: Plan) -> None:
    cell = next(cell for cell in plan.cells if cell.row == "ours")
    fill(Ledger(tmp_path), [cell])
    with safe_open(prompt_file(tmp_path, cell), "numpy") as file:
        about = file.metadata()
        assert list(file.keys()) == ["prompt", "test", "test_gold", "validation", "validation_gold"]
    assert about["cell"] == cell.id
    assert about["model"] == "T"
    assert about["sources"] == "A+B"


def test_predictions_are_beside_the_prompt_and_not_in_the_record(
    tmp_path: Path, plan: Plan
) -> None:
    """One file a cell; a cell without a prompt has one of predictions alone."""
    fill(Ledger(tmp_path), plan.cells)
    for record in Ledger(tmp_path).records():
        cell = plan.by_id[record["id"]]
        named = record["predictions"]
        assert named["splits"] == ["validation", "test"]
        assert (tmp_path / named["file"]) == prompt_file(tmp_path, cell)
        if record["prompt"] is not None:
            assert record["prompt"] == {key: named[key] for key in ("file", "sha256")}
        expected = tabulated_predictions(cell)
        with safe_open(prompt_file(tmp_path, cell), "numpy") as file:
            for name, array in expected.items():
                found = file.get_tensor(name)
                assert found.dtype == array.dtype
                np.testing.assert_array_equal(found, array)
        assert len(record_file(tmp_path, cell).read_bytes()) < 2500
    assert len(files(tmp_path / "prompts")) == len(plan.cells)


def test_predictions_that_are_none_are_refused(tmp_path: Path, plan: Plan) -> None:
    ledger, cell = Ledger(tmp_path), plan.cells[0]
    good = tabulated_predictions(cell)
    for bad in ({"test": good["test"]}, good | {"test": good["test"].astype(np.float32)}):
        with pytest.raises(ValueError, match="its predictions on test"):
            ledger.write(cell, {"score": 1.0}, "p", {}, None, bad)
    assert files(tmp_path) == []
    # What is no split is not kept, and without predictions none are named.
    record = ledger.write(cell, {"score": 1.0}, "p", {}, None, {"train": good["test"]})
    assert record is not None
    assert record["prompt"] is record["predictions"] is None


def test_records_from_before_predictions_are_read(tmp_path: Path, plan: Plan) -> None:
    fill(Ledger(tmp_path), plan.cells)
    for cell in plan.cells:
        record = unseal(record_file(tmp_path, cell).read_bytes())
        del record["predictions"]
        record_file(tmp_path, cell).write_bytes(seal(record))
    assert Ledger(tmp_path).done_ids() == plan.by_id.keys()


def test_the_same_prompt_has_the_same_bytes(tmp_path: Path, plan: Plan) -> None:
    """The library writes what it is told about a prompt in an order of its own, each time."""
    cell = next(cell for cell in plan.cells if cell.row == "ours")
    contents = set()
    for number in range(8):
        fill(Ledger(tmp_path / str(number)), [cell])
        contents.add(prompt_file(tmp_path / str(number), cell).read_bytes())
    (content,) = contents
    assert int.from_bytes(content[:8], "little") % 8 == 0


def test_a_cell_is_written_once(tmp_path: Path, plan: Plan) -> None:
    cell = plan.cells[0]
    ledger = Ledger(tmp_path)
    fill(ledger, [cell])
    before = {path: path.read_bytes() for path in files(tmp_path)}
    for other in (ledger, Ledger(tmp_path)):
        assert other.write(cell, {"score": 0.0}, "later", {}, np.zeros((1, 1))) is None
    assert {path: path.read_bytes() for path in files(tmp_path)} == before


def test_numbers_that_json_lacks(tmp_path: Path, plan: Plan) -> None:
    ledger = Ledger(tmp_path)
    result = {
        "score": np.float32(0.5),
        "loss": float("nan"),
        "histogram": np.array([1, 2]),
        "similarity_per_token": [0.5, float("inf")],
        "degenerate": np.bool_(True),
    }
    record = ledger.write(plan.cells[0], result, "p", {"seconds": float("inf")})
    assert record is not None
    assert record["result"] == {
        "score": 0.5,
        "loss": None,
        "histogram": [1, 2],
        "similarity_per_token": [0.5, None],
        "degenerate": True,
    }
    for bad in ({}, {"score": float("nan")}, {"score": "high"}):
        with pytest.raises(ValueError, match="score"):
            ledger.write(plan.cells[1], bad, "p", {})
    with pytest.raises(TypeError, match="object"):
        ledger.write(plan.cells[1], {"score": 1, "x": object()}, "p", {})
    for prompt in (np.zeros(3), np.full((1, 2), np.nan)):
        with pytest.raises(ValueError, match="matrix"):
            ledger.write(plan.cells[1], {"score": 1.0}, "p", {}, prompt)
    assert ledger.done_ids() == {plan.cells[0].id}


def test_failures_are_kept_until_the_cell_is_there(tmp_path: Path, plan: Plan) -> None:
    ledger = Ledger(tmp_path)
    cell, other = plan.cells[:2]
    ledger.fail(cell, "no luck", "p", "Traceback …")
    ledger.fail(other, "no luck either", "p")
    (first, second) = sorted(Ledger(tmp_path).failures(), key=lambda item: item["reason"])
    assert (first["id"], first["reason"], first["traceback"]) == (cell.id, "no luck", "Traceback …")
    assert cell.id not in ledger.done_ids()
    fill(ledger, [cell])
    assert [item["id"] for item in ledger.failures()] == [other.id] == [second["id"]]


# Damage.

Damage = Callable[[Path], None]


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def _garbage(path: Path) -> None:
    path.write_bytes(b"\x00\xff" * 20)


def _list(path: Path) -> None:
    path.write_bytes(b"[1, 2]")


@pytest.mark.parametrize("damage", [_truncate, _empty, _flip, _garbage, _list])
@pytest.mark.parametrize("place", [record_file, prompt_file])
@pytest.mark.parametrize("kind", ["transfer", "reference"])
def test_damage_is_found_and_set_aside(
    tmp_path: Path, plan: Plan, damage: Damage, place: Callable[[Path, Cell], Path], kind: str
) -> None:
    cells = [cell for cell in plan.cells if cell.kind == kind]
    fill(Ledger(tmp_path), cells)
    lost = cells[1]
    damage(place(tmp_path, lost))
    lines: list[str] = []
    # A reader leaves everything as it is.
    assert Ledger(tmp_path, warn=lines.append).done_ids() == set(plan.by_id) & {
        cell.id for cell in cells if cell is not lost
    }
    assert len(lines) == 1
    assert record_file(tmp_path, lost).exists()
    # The driver sets it aside, with its prompt, and writes the cell again.
    ledger = Ledger(tmp_path, repair=True, warn=lines.append)
    assert lost.id not in ledger.done_ids()
    assert lost.id in lines[-1]
    assert not record_file(tmp_path, lost).exists()
    assert not prompt_file(tmp_path, lost).exists()
    assert len(list((tmp_path / "ledger" / "damaged").iterdir())) == 2
    fill(ledger, [lost])
    assert Ledger(tmp_path).done_ids() == {cell.id for cell in cells}


def test_a_lost_prompt_file_counts_as_damage(tmp_path: Path, plan: Plan) -> None:
    cell = next(cell for cell in plan.cells if cell.kind == "source")
    fill(Ledger(tmp_path), [cell])
    prompt_file(tmp_path, cell).unlink()
    assert Ledger(tmp_path).done_ids() == set()
    with pytest.raises(KeyError):
        Ledger(tmp_path).prompt(cell.id)


def test_a_record_under_another_name_does_not_count(tmp_path: Path, plan: Plan) -> None:
    cell, other = plan.cells[:2]
    fill(Ledger(tmp_path), [cell])
    record_file(tmp_path, other).parent.mkdir(parents=True, exist_ok=True)
    record_file(tmp_path, cell).replace(record_file(tmp_path, other))
    assert Ledger(tmp_path).done_ids() == set()


def test_a_record_that_was_laid_out_anew_still_counts(tmp_path: Path, plan: Plan) -> None:
    cell = plan.cells[0]
    fill(Ledger(tmp_path), [cell])
    file = record_file(tmp_path, cell)
    file.write_text(json.dumps(json.loads(file.read_text()), indent=2))
    assert Ledger(tmp_path).done_ids() == {cell.id}


@pytest.mark.parametrize("kind", ["source", "reference"])
def test_a_write_that_breaks_off_leaves_nothing(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Disk full at any of the writes: the cell is missing, not half there."""
    cell = next(cell for cell in plan.cells if cell.kind == kind)
    ledger = Ledger(tmp_path)
    real = os.fsync
    for good in range(2):
        calls = [0]

        def full(number: int, good: int = good, calls: list[int] = calls) -> None:
            calls[0] += 1
            if calls[0] > good:
                raise OSError(28, "No space left on device")
            real(number)

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            fill(ledger, [cell])
        monkeypatch.setattr("os.fsync", real)
        assert Ledger(tmp_path).done_ids() == set()
        assert not [path for path in files(tmp_path) if path.name.endswith(".tmp")]
    fill(ledger, [cell])
    assert Ledger(tmp_path).done_ids() == {cell.id}


def test_what_a_killed_driver_left_half_written_is_removed(tmp_path: Path, plan: Plan) -> None:
    fill(Ledger(tmp_path), plan.cells[:1])
    cell = plan.cells[0]
    for place in (record_file(tmp_path, cell), prompt_file(tmp_path, cell)):
        half = place.parent / ".half.json.123.tmp"
        half.write_text("{")
        assert len(Ledger(tmp_path).done_ids()) == 1
        assert half.exists()
        assert len(Ledger(tmp_path, repair=True).done_ids()) == 1
        assert not half.exists()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
record_keys = st.text(max_size=6).filter(lambda key: key != "digest")
records = st.dictionaries(record_keys, json_values, min_size=1)


@pytest.mark.slow
@relaxed
@given(record=records)
def test_sealing_keeps_the_content(record: dict[str, Any]) -> None:
    sealed = seal(record)
    assert unseal(sealed) == record
    assert json.loads(sealed) | record == json.loads(sealed)
    # The digest does not depend on how the JSON is laid out.
    assert unseal(json.dumps(json.loads(sealed), indent=1).encode()) == record


@pytest.mark.slow
@relaxed
@given(record=records, data=st.data())
def test_no_changed_byte_goes_unnoticed(record: dict[str, Any], data: st.DataObject) -> None:
    sealed = bytearray(seal(record))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))
    try:
        found = unseal(bytes(sealed))
    except ValueError:
        return
    assert found == record


@pytest.mark.slow
@relaxed
@given(record=records, cut=st.integers(1, 200))
def test_no_cut_goes_unnoticed(record: dict[str, Any], cut: int) -> None:
    sealed = seal(record)
    with pytest.raises(ValueError):
        unseal(sealed[: max(len(sealed) - cut, 0)])


@pytest.mark.slow
@relaxed
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["write", "fail", "flip", "reopen"]), st.integers(0, 20)),
        max_size=25,
    )
)
def test_the_ledger_against_a_model(
    steps: list[tuple[str, int]], plan: Plan, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever happens in whatever order, done means written and intact."""
    folder = tmp_path_factory.mktemp("ledger")
    ledger = Ledger(folder, repair=True)
    done: set[str] = set()
    damaged: set[str] = set()
    for action, number in steps:
        cell = plan.cells[number % len(plan.cells)]
        if action == "write" and cell.id not in damaged:
            fill(ledger, [cell])
            done.add(cell.id)
        elif action == "fail":
            ledger.fail(cell, "no", "p")
        elif action == "flip" and cell.id in done - damaged:
            _flip(record_file(folder, cell))
            damaged.add(cell.id)
        elif action == "reopen":
            ledger = Ledger(folder, repair=True)
            done -= damaged
            damaged = set()
            assert ledger.done_ids() == done
    assert Ledger(folder).done_ids() == done - damaged


@pytest.mark.slow
def test_hundreds_of_records_are_read_quickly(tmp_path: Path) -> None:
    plan = plan_of(
        sources=["A", "B", "C"],
        seeds=60,
        tasks=["x"],
        methods={"soft": {"lambda": [0, 0.1, 0.5]}},
    )
    cells = plan.cells[:400]
    ledger = Ledger(tmp_path)
    fill(ledger, cells)
    began = time.process_time()
    assert len(Ledger(tmp_path).done_ids()) == len(cells)
    spent = time.process_time() - began
    assert spent < 0.4 * slowness()


# The folder.


def test_a_folder_belongs_to_one_spec(tmp_path: Path, plan: Plan) -> None:
    check_binding(tmp_path / "new", plan)
    bind(tmp_path, plan, {"torch": "2"})
    bind(tmp_path, plan, {"torch": "3"})
    meta = read_meta(tmp_path)
    assert meta["spec_hash"] == plan.hash
    assert meta["planned_cells"] == len(plan.cells)
    assert meta["versions"] == {"torch": "2"}
    assert (tmp_path / "spec.yaml").read_text() == plan.resolved.spec.text
    fill(Ledger(tmp_path), plan.cells[:3])
    other = plan_of(tasks=["other"])
    with pytest.raises(InputError, match="lacks 3 of its 3 finished cells") as caught:
        check_binding(tmp_path, other)
    assert plan.hash in str(caught.value)
    assert other.hash in str(caught.value)


def test_foreign_folders_are_refused(tmp_path: Path, plan: Plan) -> None:
    (tmp_path / "driver.lock").touch()
    check_binding(tmp_path, plan)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"thesis\.tex"):
        check_binding(tmp_path, plan)
    with pytest.raises(InputError, match="is a file"):
        check_binding(tmp_path / "thesis.tex", plan)
    with pytest.raises(InputError, match="no sweep's folder"):
        read_meta(tmp_path)
    for text in ("{", "[]"):
        (tmp_path / "sweep.json").write_text(text)
        with pytest.raises(InputError, match=r"sweep\.json"):
            read_meta(tmp_path)


def test_files_are_replaced_at_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    replace_file(path, b"one")
    replace_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert [item.name for item in path.parent.iterdir()] == ["file"]
