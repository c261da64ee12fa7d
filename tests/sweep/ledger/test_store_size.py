"""A store within its size."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from sweep.ledger.extras import Extras
from sweep.ledger.ledger import Ledger
from sweep.ledger.store import Store, make_reuse
from sweep.ledger.store_size import entries, make_room, size_of, size_text
from tests.sweep.ledger.test_store import entry, stocked
from tests.sweep.samples import plan_of
from tests.sweep.test_cli import sweep
from trainables.errors import InputError
from trainables.packs.records import read_record


@pytest.mark.parametrize(
    ("text", "size"),
    [("20GB", 20_000_000_000), ("1.5 kB", 1500), ("7b", 7), ("none", None), (None, 20_000_000_000)],
)
def test_sizes(text: str | None, size: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMPTSWEEP_STORE_SIZE", raising=False)
    assert size_of(text) == size
    if size:
        assert size_of(size_text(size)) == size


def test_a_wrong_size_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("20", "0GB", "-1GB", "GB", "much", "1e3GB"):
        with pytest.raises(InputError, match=r"--store-size: found .*; allowed: a number with B,"):
            size_of(text)
    monkeypatch.setenv("PROMPTSWEEP_STORE_SIZE", "lots")
    with pytest.raises(InputError, match="PROMPTSWEEP_STORE_SIZE: found"):
        size_of(None)
    assert size_of("1MB") == 1_000_000


def test_least_recently_used_go_first(tmp_path: Path) -> None:
    plan = plan_of()
    store = stocked(tmp_path / "store", plan, tmp_path / "a")
    sizes = {cell_id: found.size for cell_id, found in entries(store).items()}
    assert sizes.keys() == plan.by_id.keys()
    for number, cell in enumerate(plan.cells):
        os.utime(entry(store, cell.id), (number + 1, number + 1))
    used, *others = plan.cells
    assert make_reuse(plan_of(), Ledger(tmp_path / "b"), store, pytest.fail).take([used])
    total = sum(sizes.values())
    most = total - sizes[others[0].id] - sizes[others[1].id]
    assert make_room(store, total) == (0, total)
    assert make_room(store, most) == (2, most)
    assert entries(store).keys() == sizes.keys() - {others[0].id, others[1].id}
    # The one that was used is the only one that is not decades old.
    assert make_room(store, total, older_than=3600)[0] == len(plan.cells) - 3
    assert entries(store).keys() == {used.id}
    assert [path for path in store.rglob("*.safetensors") if used.id not in path.name] == []


def test_a_sweep_keeps_the_store_within_its_size(tmp_path: Path) -> None:
    plan = plan_of()
    whole = stocked(tmp_path / "whole", plan, tmp_path / "a")
    total = sum(found.size for found in entries(whole).values())
    small = tmp_path / "small"
    reuse = make_reuse(plan, Ledger(tmp_path / "a"), small, pytest.fail, total // 2)
    reuse.keep_all(plan.cells)
    left = sum(found.size for found in entries(small).values())
    assert total // 4 < left <= total // 2
    assert Store(small, pytest.fail).get(plan.cells[-1], Extras.asked(plan.resolved.spec))


def test_an_entry_that_goes_while_it_is_read_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of()
    store = stocked(tmp_path / "store", plan, tmp_path / "a")
    cell = next(cell for cell in plan.cells if cell.kind == "transfer")

    def pruned(path: str, cell_id: str) -> Any:
        record = read_record(path, cell_id)
        make_room(store, 0)
        return record

    monkeypatch.setattr("sweep.ledger.store.read_record", pruned)
    assert Store(store, pytest.fail, repair=True).get(cell) is None
    assert not (store / "damaged").exists()


def test_what_is_written_anew_while_room_is_made_stays(tmp_path: Path) -> None:
    plan = plan_of()
    store = stocked(tmp_path / "store", plan, tmp_path / "a")
    found = entries(store)
    cell = plan.cells[0]
    os.utime(entry(store, cell.id), (9e9, 9e9))
    assert not found[cell.id].remove()
    assert make_reuse(plan, Ledger(tmp_path / "b"), store, pytest.fail).find([cell]) == {cell.id}


def test_the_command_lists_checks_and_prunes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_of()
    store = stocked(tmp_path / "store", plan, tmp_path / "a")
    assert sweep("store", "--store", str(store)) == 0
    out = capsys.readouterr().out
    assert f"{len(plan.cells)} entries" in out.splitlines()[0]
    assert out.splitlines()[1].split()[:3] == ["small", str(len(plan.cells)), "entries,"]
    entry(store, plan.cells[0].id).write_bytes(b"{}")
    assert sweep("store", "--store", str(store), "--check", "--json") == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert found["damaged"] == 1
    assert found["entries"] == len(plan.cells) - 1
    assert len(told.err.splitlines()) == 1
    assert sweep("store", "--store", str(store), "--prune", "1B") == 0
    assert " 0 entries, 0 B" in capsys.readouterr().out
    assert sweep("store", "--store", "none") == 2
