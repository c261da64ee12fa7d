"""A readout is kept with its cell, survives store and resume, and is exported."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from sweep.ledger.ledger import Ledger
from sweep.ledger.store import make_reuse
from sweep.planning.plan import Plan, make_plan
from sweep.spec.spec import parse_spec
from tests.sweep.computed import compute
from tests.sweep.export.test_folders import manifest, refuse
from tests.sweep.ledger.test_ledger import prompt_file, record_file
from tests.sweep.samples import content
from tests.sweep.test_cli import sweep
from tests.trainables.interchange.test_readout import scores_of
from trainables.core.cells import Cell
from trainables.packs.records import seal, unseal
from trainables.tasks import load_task

pytestmark = pytest.mark.slow

TASK = "mini/topics"
WAYS = [{"solver": "readout", "texts": 32, "features": ["states", "words"]}, {}]


def plan_with(**more: Any) -> Plan:
    soft = {"lambda": [0], "steps": 2, "evaluations": 1, "text_tokens": 12}
    names = {"sources": ["pocket-bert", "pocket-gpt2"], "targets": ["pocket-roberta"]}
    spec = content(**names, tasks=[TASK], methods={"soft": soft}, transfer=WAYS, **more)
    return make_plan(parse_spec(spec))


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_with()


@pytest.fixture(scope="module")
def computed(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compute(plan, tmp_path_factory.mktemp("computed"))


def readouts(plan: Plan) -> list[Cell]:
    return [cell for cell in plan.cells if cell.settings.get("solver") == "readout"]


@torch.no_grad()
def test_the_best_is_chosen_by_validation_and_says_what_was_recorded(
    computed: Path, plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep("export", str(computed), "--format", "readout", "--to", str(tmp_path)) == 0
    assert "1 readout written" in capsys.readouterr().out
    (entry,) = manifest(tmp_path)["sets"]
    ledger = Ledger(computed)
    of = {cell.id: ledger.record(cell.id)["result"] for cell in readouts(plan)}
    best = max(one["validation_score"] for one in of.values())
    assert of[entry["cell"]]["validation_score"] == best
    (item,) = entry["prompts"]
    about = manifest(tmp_path / item["folder"])
    assert (about["row"], about["score"]) == (entry["row"], of[entry["cell"]]["score"])
    scores = scores_of(tmp_path / item["folder"])
    rows = load_task(TASK).rows("test")
    found = torch.stack([scores(row.text) for row in rows]).log_softmax(-1)
    kept = load_file(prompt_file(computed, plan.by_id[entry["cell"]]))
    np.testing.assert_allclose(found.numpy(), kept["test"].astype("f4"), atol=5e-3)
    right = found.argmax(-1) == torch.tensor([row.label for row in rows])
    assert float(right.double().mean()) == pytest.approx(about["score"], abs=1e-9)


def test_each_cell_has_its_own_and_prompts_have_none(computed: Path, plan: Plan) -> None:
    ledger = Ledger(computed)
    for cell in plan.cells:
        record = ledger.record(cell.id)
        if cell not in readouts(plan):
            assert "readout" not in record
            continue
        assert record["prompt"] is None
        assert record["readout"] == {
            name: record["predictions"][name] for name in ("file", "sha256")
        }
        found = ledger.readout(cell.id)
        width = 300 if cell.settings["features"] == "words" else 160
        assert (found.dtype, found.shape) == (np.float32, (4, width + 1))


def test_a_cell_is_exported_in_what_fits_it(
    computed: Path, plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = readouts(plan)[0]
    assert sweep("export", str(computed), "--cell", cell.id, "--to", str(tmp_path)) == 0
    assert [item["export_format"] for item in manifest(tmp_path)["sets"]] == ["readout"]
    assert sweep("export", str(computed), "--best", "99", "--to", str(tmp_path / "best")) == 0
    prompts = {item["cell"] for item in manifest(tmp_path / "best")["sets"]}
    assert prompts
    assert prompts.isdisjoint(cell.id for cell in readouts(plan))
    capsys.readouterr()
    ends = f"{cell.id} ends in a readout; allowed: a cell whose column `product` is prompt"
    refuse(capsys, ends, str(computed), "--cell", cell.id, "--format", "peft")
    prompt = prompts.pop()
    refuse(capsys, "ends in a prompt", str(computed), "--cell", prompt, "--format", "readout")


def test_the_store_gives_it_back_without_predictions(
    computed: Path, plan: Plan, tmp_path: Path
) -> None:
    ledger = Ledger(computed)
    reuse = make_reuse(plan, ledger, tmp_path / "store", pytest.fail)
    for record in ledger.records():
        reuse.keep(record)
    bare, again = plan_with(predictions=[]), Ledger(tmp_path / "again")
    taken = make_reuse(bare, again, tmp_path / "store", pytest.fail).take(bare.cells)
    assert taken == bare.by_id.keys() == Ledger(tmp_path / "again", repair=True).done_ids()
    for cell in readouts(plan):
        assert again.record(cell.id)["predictions"] is None
        assert load_file(prompt_file(tmp_path / "again", cell)).keys() == {"readout"}
        np.testing.assert_array_equal(again.readout(cell.id), ledger.readout(cell.id))


def changed(folder: Path, cell: Cell, **more: Any) -> None:
    path = record_file(folder, cell)
    path.write_bytes(seal(unseal(path.read_bytes()) | more))


def test_damage_and_records_from_before(
    computed: Path, plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(computed, tmp_path / "sweep"))
    old, other, *_ = readouts(plan)
    record = unseal(record_file(folder, old).read_bytes())
    del record["readout"]
    record_file(folder, old).write_bytes(seal(record))
    named = Ledger(folder).record(other.id)["readout"]
    assert Ledger(folder).done_ids() == plan.by_id.keys()
    refuse(capsys, f"cell {old.id}: its readout was not kept", str(folder), "--cell", old.id)
    for bad, why in (({**named, "sha256": "0" * 64}, "different files"), ({"file": 1}, "file")):
        changed(folder, other, readout=bad)
        lines: list[str] = []
        assert other.id not in Ledger(folder, warn=lines.append).done_ids()
        assert why in lines[0]
    changed(folder, other, readout=named)
    result = Ledger(folder).record(other.id)["result"]
    changed(folder, other, result={**result, "histogram": [1, 2]})
    lines = []
    assert other.id not in Ledger(folder, repair=True, warn=lines.append).done_ids()
    assert "its readout has the shape" in lines[0]
