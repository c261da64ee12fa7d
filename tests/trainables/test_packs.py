"""Packs on embedded models: the smallest real sweep by hand."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from trainables.backbones import Layout, load_backbone
from trainables.cells import Cell, Pack
from trainables.models import resolve_model
from trainables.packs import run_pack
from trainables.preflight import preflight
from trainables.relative import gram_matrices, normalised_anchors
from trainables.settings import SoftSettings
from trainables.tasks import load_task, resolve_task
from trainables.transfer import transfer
from trainables.vocabulary import common_vocabulary

SETTINGS = asdict(SoftSettings(steps=4, evaluations=2, prompt_length=3))
CARRY = {"solver": "closed_form", "norm": "match", "prompt_length": 3, "position": "prefix"}
NAMES = ("pocket-bert", "pocket-gpt2", "pocket-llama")
TASK = "mini/topics"


def models(*names: str):
    return {name: resolve_model(name) for name in names}


def joint_pack() -> Pack:
    pair, target = NAMES[:2], NAMES[2]
    sources = [
        Cell("source", "joint", "soft", TASK, alias, pair, 0, 0.5, "constant", (), SETTINGS)
        for alias in pair
    ]
    carried = Cell(
        "transfer",
        "ours",
        "soft",
        TASK,
        target,
        pair,
        0,
        0.5,
        "constant",
        tuple(cell.id for cell in sources),
        CARRY,
    )
    references = [
        Cell("reference", row, "none", TASK, target) for row in ("empty", "manual", "constant")
    ]
    cells = (*sources, carried, *references)
    return Pack("tune", "soft", resolve_task(TASK), models(*NAMES), pair, cells)


@pytest.fixture(scope="module")
def joint():
    pack = joint_pack()
    return pack, run_pack(pack, {})


def test_every_cell_comes_back(joint) -> None:
    pack, outcome = joint
    assert outcome.failures == {}
    assert set(outcome.results) == {cell.id for cell in pack.cells}
    for cell in pack.cells:
        result = outcome.results[cell.id]
        assert 0.0 <= result["score"] <= 1.0
        assert sum(result["histogram"]) == result["n_test"] == 240
        if cell.kind != "reference":
            assert outcome.prompts[cell.id].dtype == np.float32
            assert [len(words) for words in result["nearest"]] == [3, 3, 3]
    carried = next(cell for cell in pack.cells if cell.kind == "transfer")
    assert 0.1 < outcome.results[carried.id]["similarity"] <= 1.0
    assert len(outcome.results[carried.id]["similarity_per_token"]) == 3


def test_scores_can_be_had_again_from_the_prompts(joint) -> None:
    pack, outcome = joint
    task = load_task(TASK)
    rows = task.rows("test")
    for cell in pack.cells:
        if cell.kind == "reference":
            continue
        backbone = load_backbone(pack.models[cell.target])
        prompt = torch.from_numpy(outcome.prompts[cell.id])
        labels = backbone.labels(task.label_words, "t")
        right = 0
        for row in rows[:60]:
            data = backbone.read([row.text], [row.label], Layout(3))
            right += int(backbone.label_logits(prompt[None], data, labels).argmax()) == row.label
        data = backbone.read([r.text for r in rows[:60]], [r.label for r in rows[:60]], Layout(3))
        whole = backbone.split_logits(data, labels, prompt[None])[0].argmax(-1)
        assert right == int((whole == data.gold).sum())
        data = backbone.read([r.text for r in rows], [r.label for r in rows], Layout(3))
        whole = backbone.split_logits(data, labels, prompt[None])[0].argmax(-1)
        score = float((whole == data.gold).float().mean())
        assert outcome.results[cell.id]["score"] == pytest.approx(score, abs=0.005)


def test_transferred_prompt_is_the_pure_function_of_its_inputs(joint) -> None:
    pack, outcome = joint
    cell = next(cell for cell in pack.cells if cell.kind == "transfer")
    backbones = [load_backbone(pack.models[name]) for name in NAMES]
    grams = gram_matrices(normalised_anchors(backbones, common_vocabulary(backbones)))
    expected = transfer(
        [torch.from_numpy(outcome.prompts[item]) for item in cell.inputs],
        grams,
        [backbone.scale for backbone in backbones[:2]],
        backbones[2].scale,
    )
    got = torch.from_numpy(outcome.prompts[cell.id])
    torch.testing.assert_close(got, expected.prompt, atol=1e-3, rtol=1e-3)


def test_transfer_pack_uses_prompts_handed_in(joint) -> None:
    pack, outcome = joint
    cell = next(cell for cell in pack.cells if cell.kind == "transfer")
    later = Pack("transfer", "soft", pack.task, pack.models, (), (cell,), cell.inputs)
    again = run_pack(later, {item: outcome.prompts[item] for item in cell.inputs})
    np.testing.assert_allclose(again.prompts[cell.id], outcome.prompts[cell.id], atol=1e-5)
    assert again.results[cell.id]["score"] == outcome.results[cell.id]["score"]
    missing = run_pack(later, {})
    assert missing.results == {}
    assert cell.inputs[0] in missing.failures[cell.id]


def test_references(joint) -> None:
    pack, outcome = joint
    rows = {cell.row: outcome.results[cell.id] for cell in pack.cells if cell.kind == "reference"}
    assert rows["constant"]["score"] == pytest.approx(0.25)
    assert rows["constant"]["degenerate"] is True
    assert rows["empty"]["score"] != rows["manual"]["score"]


def test_preflight_accepts_the_embedded_zoo_and_names_what_does_not_fit(tmp_path) -> None:
    refs = list(models(*NAMES).values())
    tasks = [resolve_task(f"mini/{name}") for name in ("topics", "reviews", "paraphrase")]
    assert preflight(refs, tasks, [SETTINGS], [NAMES]) == []
    for split in ("train", "validation", "test"):
        lines = (f'{{"text": "{split} {label}", "label": {label}}}' for label in (0, 1))
        (tmp_path / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "task.yaml").write_text(
        "name: mine\nversion: 1\ndescription: d\n"
        "data:\n  files:\n    train: train.jsonl\n    validation: validation.jsonl\n"
        "    test: test.jsonl\n"
        "text: '{text}'\nlabel: label\nclasses: [x, y]\nlabel_words: [zyxwvut, good]\n"
        "manual: It was\nmetric: accuracy\n"
    )
    with pytest.raises(Exception, match=r"model 'pocket-bert', task 'mine': label word 'zyxwvut'"):
        preflight(refs, [resolve_task(str(tmp_path / "task.yaml"))], [SETTINGS])
    with pytest.raises(Exception, match="prompt_length 200"):
        preflight(refs, tasks, [{"prompt_length": 200}])
