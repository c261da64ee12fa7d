"""``sweep export`` on a small sweep that was really computed."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoTokenizer

from sweep.ledger.folder import bind
from sweep.ledger.ledger import Ledger
from sweep.planning.plan import Plan, make_plan
from sweep.spec.spec import parse_spec
from tests.sweep.computed import compute, soft_and_hard
from tests.sweep.ledger.test_ledger import fill, prompt_file, record_file
from tests.sweep.samples import content, plan_of
from tests.sweep.test_cli import sweep
from trainables.core.cells import Cell
from trainables.interchange import read_prompt_vecs
from trainables.packs.records import seal, unseal
from trainables.tasks import load_task

TASK = "mini/topics"


@pytest.fixture(scope="module")
def plan() -> Plan:
    soft = {"lambda": [0, 0.5], "steps": 2, "evaluations": 1, "text_tokens": 12}
    names = {"sources": ["pocket-bert", "pocket-gpt2"], "targets": ["pocket-gpt2-large"]}
    return make_plan(parse_spec(content(**names, tasks=[TASK], methods={"soft": soft})))


@pytest.fixture(scope="module")
def computed(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compute(plan, tmp_path_factory.mktemp("computed"))


@pytest.fixture
def folder(computed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(computed, tmp_path / "sweep"))


def the(plan: Plan, row: str, target: str | None = None) -> Cell:
    return next(cell for cell in plan.cells if cell.row == row and target in (None, cell.target))


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "promptsweep.json").read_text())
    return found


def refuse(capsys: pytest.CaptureFixture[str], named: str, *arguments: str) -> None:
    assert sweep("export", *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert named in err
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1


CLASSES = {
    "masked": "AutoModelForMaskedLM",
    "causal": "AutoModelForCausalLM",
    "sequence-to-sequence": "AutoModelForSeq2SeqLM",
}


@torch.no_grad()
def score_by_peft(folder: Path) -> float:
    """Accuracy on the test split with nothing but PEFT and the folder's own manifest."""
    from peft import PeftModel  # takes seconds

    about = manifest(folder)
    base, layout, usage = about["base_model"], about["layout"], about["peft"]
    auto = getattr(transformers, CLASSES[base["head"]])
    tokenizer = AutoTokenizer.from_pretrained(base["location"])
    model = auto.from_pretrained(base["location"], dtype=torch.float32)
    model = PeftModel.from_pretrained(model, str(folder)).eval()
    labels = [label["token_id"] for label in about["task"]["labels"]]
    rows = load_task(TASK).rows("test")
    texts = [layout["text_prefix"] + row.text for row in rows]
    encoded = [
        [*ids[: layout["most_text_tokens"]], *usage["ids_after_text"]]
        for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]
    ]
    longest = max(map(len, encoded))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in encoded])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in encoded])
    ends = torch.tensor([usage["virtual_tokens"] + len(row) for row in encoded])
    given = {}
    if "decoder_ids" in usage:
        given["decoder_input_ids"] = torch.tensor([usage["decoder_ids"]]).repeat(len(rows), 1)
        ends = torch.full_like(ends, len(usage["decoder_ids"]))
    logits = model(input_ids=ids, attention_mask=mask, **given).logits
    answers = logits[torch.arange(len(rows)), ends + usage["answer_index"]][:, labels]
    gold = torch.tensor([row.label for row in rows])
    return float((answers.argmax(-1) == gold).double().mean())


@pytest.mark.slow
def test_the_best_prompt_scores_the_same_in_peft(
    folder: Path, plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    """Target and sources of the best transfer, on the whole test split."""
    assert sweep("export", str(folder)) == 0
    out = capsys.readouterr().out
    to = folder / "exports"
    (entry,) = manifest(to)["sets"]
    ledger = Ledger(folder)
    transfers = [ledger.record(cell.id) for cell in plan.cells if cell.kind == "transfer"]
    best = max(
        transfers, key=lambda r: (r["result"]["validation_score"], r["result"]["similarity"])
    )
    assert entry["cell"] == best["id"]
    assert entry["score"] == best["result"]["score"]
    assert [item["role"] for item in entry["prompts"]] == ["target"] + ["source"] * len(
        best["cell"]["inputs"]
    )
    for item in entry["prompts"]:
        inside = to / item["folder"]
        about = manifest(inside)
        result = ledger.record(item["cell"])["result"]
        assert (about["cell"], about["score"]) == (item["cell"], result["score"])
        assert score_by_peft(inside) == pytest.approx(result["score"], abs=1e-9)
        assert item["folder"] in out
    assert manifest(to / entry["folder"])["prompts"] == entry["prompts"]
    assert str(to) in out


@pytest.mark.slow
def test_a_joint_prompt_comes_with_a_folder_for_each_backbone(
    folder: Path, plan: Plan, tmp_path: Path
) -> None:
    cell = the(plan, "ours")
    to = tmp_path / "out"
    assert sweep("export", str(folder), "--cell", cell.id[:10], "--to", str(to)) == 0
    (entry,) = manifest(to)["sets"]
    assert (entry["row"], entry["lambda"], entry["schedule"]) == ("ours", 0.5, "constant")
    assert entry["sources"] == ["pocket-bert", "pocket-gpt2"]
    assert [(item["role"], item["model"]) for item in entry["prompts"]] == [
        ("target", "pocket-gpt2-large"),
        ("source", "pocket-bert"),
        ("source", "pocket-gpt2"),
    ]
    for item in entry["prompts"]:
        assert sorted(path.name for path in (to / item["folder"]).iterdir()) == [
            "README.md",
            "adapter_config.json",
            "adapter_model.safetensors",
            "promptsweep.json",
        ]
    before = {path: path.read_bytes() for path in to.rglob("*") if path.is_file()}
    # The same again changes nothing; another cell and another format are added.
    assert sweep("export", str(folder), "--cell", cell.id, "--to", str(to)) == 0
    assert before == {path: path.read_bytes() for path in to.rglob("*") if path.is_file()}
    tuned = the(plan, "joint", "pocket-bert")
    options = ["--cell", tuned.id, "--format", "npy", "--to", str(to)]
    assert sweep("export", str(folder), *options) == 0
    sets = {item["cell"]: item for item in manifest(to)["sets"]}
    assert sets.keys() == {cell.id, tuned.id}
    (item,) = sets[tuned.id]["prompts"]
    found = read_prompt_vecs(to / item["folder"] / "prompt_vecs.npy")
    np.testing.assert_array_equal(found, Ledger(folder).prompt(tuned.id))


@pytest.mark.slow
def test_the_best_n_by_validation(folder: Path, plan: Plan) -> None:
    assert sweep("export", str(folder), "--top", "2", "--format", "npy") == 0
    found = {item["cell"] for item in manifest(folder / "exports")["sets"]}
    results = {
        cell.id: Ledger(folder).record(cell.id)["result"]["validation_score"]
        for cell in plan.cells
        if cell.kind == "transfer"
    }
    left = results.keys() - found
    assert len(found) == 2
    assert min(results[name] for name in found) >= max(results[name] for name in left)


@pytest.mark.slow
def test_a_missing_source_is_named_and_left_out(
    folder: Path, plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = the(plan, "ours")
    prompt_file(folder, plan.by_id[cell.inputs[0]]).write_bytes(b"x")
    assert sweep("export", str(folder), "--cell", cell.id) == 0
    assert f"the source prompt {cell.inputs[0]} of {cell.id} is missing" in capsys.readouterr().err
    (entry,) = manifest(folder / "exports")["sets"]
    assert [item["cell"] for item in entry["prompts"]] == [cell.id, cell.inputs[1]]


@pytest.mark.slow
def test_mistakes(
    folder: Path, plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = str(folder)
    transfer, reference = the(plan, "ours").id, the(plan, "empty").id
    refuse(capsys, "no sweep's folder", str(tmp_path))
    refuse(capsys, "--cell: found 'zz', but no finished cell has it", where, "--cell", "zz")
    refuse(capsys, "no finished cell has it", where, "--cell", "")
    shared = next(
        name[0] for name in plan.by_id if sum(other[0] == name[0] for other in plan.by_id) > 1
    )
    refuse(capsys, "cells start with it", where, "--cell", shared)
    refuse(capsys, "is the reference row 'empty'", where, "--cell", reference)
    refuse(capsys, "--best: found 0", where, "--best", "0")
    refuse(capsys, "--cell, --best: found both", where, "--cell", transfer, "--best", "1")
    refuse(capsys, "--cell, --row: found both", where, "--cell", transfer, "--row", "ours")
    refuse(capsys, "--row: found 'our' (did you mean ours?)", where, "--row", "our")
    refuse(capsys, "allowed: soft", where, "--method", "pez")
    refuse(capsys, "allowed: pocket-gpt2-large", where, "--target", "pocket-bert")
    refuse(capsys, "is a soft prompt", where, "--cell", transfer, "--format", "text")
    refuse(capsys, "no transferred hard prompt", where, "--format", "text")
    refuse(capsys, "--format: found 'zip'; allowed: peft, npy", where, "--format", "zip")
    refuse(capsys, "is not empty and no export", where, "--to", where)
    (tmp_path / "file").write_text("x")
    refuse(capsys, "is a file", where, "--to", str(tmp_path / "file"))
    assert not (folder / "exports").exists()


@pytest.mark.slow
def test_an_export_of_another_sweep_is_left_alone(
    folder: Path, plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "out"
    to.mkdir()
    (to / "promptsweep.json").write_text(
        json.dumps({"format": "promptsweep-export", "sets": [], "sweep": {"name": "other"}})
    )
    before = (to / "promptsweep.json").read_bytes()
    refuse(capsys, "an export of another sweep", str(folder), "--to", str(to))
    assert (to / "promptsweep.json").read_bytes() == before
    (to / "promptsweep.json").write_text("{")
    refuse(capsys, "is not empty and no export", str(folder), "--to", str(to))


@pytest.mark.slow
def test_a_changed_model_is_refused(
    folder: Path, plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = the(plan, "ours")
    path = record_file(folder, cell)
    record = unseal(path.read_bytes())
    record["cell"]["digests"]["pocket-gpt2-large"] = "0" * 16
    path.write_bytes(seal(record))
    refuse(capsys, "has changed since the sweep", str(folder), "--cell", cell.id)
    assert not (folder / "exports").exists()


def test_a_sweep_without_transfers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_of()
    bind(tmp_path, plan, {})
    fill(Ledger(tmp_path), [cell for cell in plan.cells if cell.kind == "source"])
    refuse(capsys, "no transferred soft or hard prompt has finished yet", str(tmp_path))


@torch.no_grad()
def score_by_readme(folder: Path) -> float:
    """Accuracy on the test split with the code of a hard prompt's README."""
    code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(code.replace('Path(".")', f"Path({str(folder)!r})"), names)
    rows = load_task(TASK).rows("test")
    right = [int(names["scores"](row.text).argmax()) == row.label for row in rows]
    return sum(right) / len(right)


@pytest.mark.slow
def test_hard_prompts_are_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The README's own code gives the ledger's score, on a causal and a masked model."""
    plan = soft_and_hard(TASK)
    folder = compute(plan, tmp_path / "sweep")
    assert sweep("export", str(folder), "--method", "random") == 0
    sets = manifest(folder / "exports")["sets"]
    assert {entry["model"] for entry in sets} == {"pocket-gpt2-large", "pocket-roberta"}
    ledger = Ledger(folder)
    for entry in sets:
        assert entry["export_format"] == "text"
        assert [item["role"] for item in entry["prompts"]] == ["target", "source"]
        result = ledger.record(entry["cell"])["result"]
        inside = folder / "exports" / entry["prompts"][0]["folder"]
        assert (inside / "prompt.txt").read_bytes().decode() == result["text"]
        about = manifest(inside)
        assert about["text"]["token_ids"] == result["ids"]
        assert about["base_model"]["license"] == "apache-2.0"
        assert score_by_readme(inside) == pytest.approx(result["score"], abs=1e-9)
        card = (inside / "README.md").read_text()
        assert about["sweep"]["spec_hash"] in card
        assert entry["cell"] in card
        assert about["source_models"][0]["digest"] in card
        assert "Licence of the base model, as its card names it: apache-2.0." in card
    # Without a filter soft and hard ones come apart, each in its own format; filters narrow.
    assert sweep("export", str(folder), "--to", str(tmp_path / "both")) == 0
    found = [(item["model"], item["export_format"]) for item in manifest(tmp_path / "both")["sets"]]
    assert sorted(found) == [
        (target, kind)
        for target in ("pocket-gpt2-large", "pocket-roberta")
        for kind in ("peft", "text")
    ]
    options = ["--best", "2", "--row", "ours", "--target", "pocket-roberta", "--task", TASK]
    assert sweep("export", str(folder), *options, "--to", str(tmp_path / "ours")) == 0
    rows = {(item["row"], item["model"]) for item in manifest(tmp_path / "ours")["sets"]}
    assert rows == {("ours", "pocket-roberta")}
    capsys.readouterr()
    hard = sets[0]["cell"]
    refuse(capsys, "is a hard prompt", str(folder), "--cell", hard, "--format", "peft")


@pytest.mark.slow
def test_ranking_never_reads_the_test_split(folder: Path, plan: Plan, tmp_path: Path) -> None:
    """The best by validation is exported though its test score is made the worst."""
    cells = [cell for cell in plan.cells if cell.kind == "transfer"]
    for place, cell in enumerate(cells):
        path = record_file(folder, cell)
        record = unseal(path.read_bytes())
        record["result"] |= {"validation_score": 0.1 * place, "score": 0.9 - 0.1 * place}
        path.write_bytes(seal(record))
    assert sweep("export", str(folder), "--to", str(tmp_path / "out")) == 0
    (entry,) = manifest(tmp_path / "out")["sets"]
    assert entry["cell"] == cells[-1].id


@pytest.mark.slow
def test_the_task_file_may_be_gone(
    plan: Plan, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = the(plan, "ours")
    found = json.loads((folder / "sweep.json").read_text())
    found["spec"]["task_files"][TASK]["file"] = str(folder / "gone.yaml")
    (folder / "sweep.json").write_text(json.dumps(found))
    monkeypatch.setattr("trainables.tasks.catalogue.TASK_NAMES", ())
    assert sweep("export", str(folder), "--cell", cell.id) == 0
    capsys.readouterr()
    # A folder of an earlier version remembers nothing.
    del found["tasks"]
    (folder / "sweep.json").write_text(json.dumps(found))
    refuse(capsys, "gone.yaml", str(folder), "--cell", cell.id, "--to", str(folder / "again"))
