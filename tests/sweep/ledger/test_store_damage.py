"""What is wrong in a store or a ledger although its digest fits, or is no file at all."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from sweep.ledger.ledger import Ledger
from sweep.testing.tabulated import (
    tabulated_predictions,
    tabulated_prompt,
)
from tests.sweep.ledger.test_store import entry, stocked, taken
from tests.sweep.samples import plan_of
from trainables.packs.records import LARGEST_FILE, seal, unseal


def _harmed(record: dict[str, Any], harm: str) -> dict[str, Any]:
    result, cell = record["result"], record["cell"]
    changes: dict[str, dict[str, Any]] = {
        "text as n_test": {"result": {**result, "n_test": "200"}},
        "text as loss": {"result": {**result, "loss": "low"}},
        "list as versions": {"versions": ["torch"]},
        "no zone": {"finished": "2031-05-04T10:00:00"},
        "no time": {"finished": "yesterday"},
        "true as seed": {"cell": {**cell, "seed": True}},
        "unknown split": {"predictions": {**record["predictions"], "splits": ["train"]}},
        "elsewhere": {"prompt": {**record["prompt"], "file": "../../secret"}},
    }
    return {**record, **changes[harm]}


RECORD_HARMS = (
    *("text as n_test", "text as loss", "list as versions", "no zone", "no time"),
    *("true as seed", "unknown split", "elsewhere"),
)


@pytest.mark.parametrize("harm", RECORD_HARMS)
def test_a_record_whose_digest_fits_is_still_read_by_its_schema(tmp_path: Path, harm: str) -> None:
    plan = plan_of()
    store = stocked(tmp_path / "store", plan, tmp_path / "a")
    cell = next(cell for cell in plan.cells if cell.kind == "transfer")
    in_ledger = tmp_path / "a" / "ledger" / cell.id[:2] / f"{cell.id}.json"
    for path in (entry(store, cell.id), in_ledger):
        path.write_bytes(seal(_harmed(unseal(path.read_bytes()), harm)))
    lines: list[str] = []
    found, _ = taken(plan, store, tmp_path / "b", lines)
    assert found == plan.by_id.keys() - {cell.id}
    assert len(lines) == 1
    assert len(list((store / "damaged").iterdir())) == 1
    assert not entry(store, cell.id).exists()
    assert cell.id not in Ledger(tmp_path / "a").done_ids()


def _prompts(good: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    nan = good.copy()
    nan[0, 0] = np.nan
    return {
        "another length": {"prompt": good[:2]},
        "another type": {"prompt": good.astype(np.float64)},
        "flat": {"prompt": good.ravel()},
        "empty": {"prompt": good[:, :0]},
        "nan": {"prompt": nan},
        "no such tensor": {"prompts": good},
    }


@pytest.mark.parametrize("harm", list(_prompts(np.ones((5, 8), np.float32))))
def test_a_prompt_whose_digest_fits_is_still_looked_into(tmp_path: Path, harm: str) -> None:
    plan = plan_of()
    store = stocked(tmp_path / "store", plan, tmp_path / "a")
    cell = next(cell for cell in plan.cells if cell.kind == "source")
    good = tabulated_prompt(cell)
    assert good is not None
    content = save({**tabulated_predictions(cell), **_prompts(good)[harm]})
    digest = hashlib.sha256(content).hexdigest()
    own = tmp_path / "a" / "ledger" / cell.id[:2] / f"{cell.id}.json"
    named = store / "prompts" / cell.id[:2] / f"{cell.id}-{digest[:8]}.safetensors"
    for path, file in ((entry(store, cell.id), named), (own, _own_file(tmp_path / "a", cell.id))):
        file.write_bytes(content)
        record = unseal(path.read_bytes())
        for kind in ("prompt", "predictions"):
            record[kind]["sha256"] = digest
        path.write_bytes(seal(record))
    lines: list[str] = []
    found, _ = taken(plan, store, tmp_path / "b", lines)
    assert found == plan.by_id.keys() - {cell.id}
    assert len(lines) == 1
    with pytest.raises(KeyError):
        Ledger(tmp_path / "a").prompt(cell.id)
    assert cell.id not in Ledger(tmp_path / "a", repair=True).done_ids()


def _own_file(folder: Path, cell_id: str) -> Path:
    return folder / "prompts" / cell_id[:2] / f"{cell_id}.safetensors"


@pytest.mark.parametrize("what", ["pipe", "folder", "loop", "device", "deep", "huge"])
@pytest.mark.parametrize("where", ["record", "file"])
def test_what_is_no_regular_file_is_neither_waited_for_nor_read(
    tmp_path: Path, what: str, where: str
) -> None:
    plan = plan_of()
    store = stocked(tmp_path / "store", plan, tmp_path / "a")
    cell = next(cell for cell in plan.cells if cell.kind == "transfer")
    (file,) = store.glob(f"prompts/*/{cell.id}-*")
    own = tmp_path / "a" / "ledger" / cell.id[:2] / f"{cell.id}.json"
    pairs = {
        "record": (entry(store, cell.id), own),
        "file": (file, _own_file(tmp_path / "a", cell.id)),
    }
    for path in pairs[where]:
        path.unlink()
        if what == "pipe":
            os.mkfifo(path)
        elif what == "folder":
            path.mkdir()
        elif what == "loop":
            path.symlink_to(path)
        elif what == "device":
            path.symlink_to("/dev/zero")
        elif what == "deep":
            path.write_bytes(b'{"a":' * 100_000 + b"1" + b"}" * 100_000)
        else:
            with path.open("wb") as hole:
                hole.truncate(LARGEST_FILE + 1)
    lines: list[str] = []
    found, _ = taken(plan, store, tmp_path / "b", lines)
    assert found == plan.by_id.keys() - {cell.id}
    assert len(lines) == 1
    lines.clear()
    ledger = Ledger(tmp_path / "a", repair=True, warn=lines.append)
    assert ledger.done_ids() == plan.by_id.keys() - {cell.id}
    assert len(lines) == 1
