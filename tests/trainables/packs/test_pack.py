"""Packs on embedded models: the smallest real sweep by hand."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from trainables.backbones import Layout, load_backbone
from trainables.core.cells import Cell, Pack, processor_time
from trainables.core.settings import SoftSettings
from trainables.models.names import resolve_model
from trainables.packs.pack import run_pack
from trainables.preflight import preflight
from trainables.tasks import load_task, resolve_task
from trainables.transfer import transfer
from trainables.words.relative import gram_matrices, normalised_anchors
from trainables.words.vocabulary import common_vocabulary

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


@pytest.mark.slow
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
    assert {"train_seconds", "evaluate_seconds"} <= outcome.cost.keys()
    for name in [name for name in outcome.cost if "processor" not in name and "seconds" in name]:
        assert outcome.cost[processor_time(name)] > 0
    carried = next(cell for cell in pack.cells if cell.kind == "transfer")
    assert 0.1 < outcome.results[carried.id]["similarity"] <= 1.0
    assert len(outcome.results[carried.id]["similarity_per_token"]) == 3


@pytest.mark.slow
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


@pytest.mark.slow
def test_calibrated_scores_are_had_again_by_hand(joint) -> None:
    """Both calibrations of one carried prompt and of Empty, from the model's own logits."""
    pack, outcome = joint
    carried = next(cell for cell in pack.cells if cell.kind == "transfer")
    references = [cell for cell in pack.cells if cell.kind == "reference"]
    asked = Pack(
        *("transfer", "soft", pack.task, pack.models, (), (carried, *references)),
        needs=carried.inputs,
        calibration=("batch", "content_free"),
    )
    found = run_pack(asked, {item: outcome.prompts[item] for item in carried.inputs})
    task, backbone = load_task(TASK), load_backbone(pack.models[carried.target])
    labels = backbone.labels(task.label_words, "t")
    empty = next(cell for cell in references if cell.row == "empty")
    prompt = torch.from_numpy(found.prompts[carried.id])[None]
    for cell, layout, prompts in ((carried, Layout(3), prompt), (empty, Layout(), None)):
        result = found.results[cell.id]
        # What was there before is as it was.
        for name, value in outcome.results[cell.id].items():
            if name in ("score", "validation_score", "histogram", "degenerate"):
                assert result[name] == value
        free = []
        for text in ("N/A", "[MASK]", ""):
            data = backbone.read([text], [0], layout)
            logits = backbone.split_logits(data, labels, prompts)[0, 0]
            free.append(logits.softmax(-1))
        for split, key in (("test", "score"), ("validation", "validation_score")):
            rows = task.rows(split)
            gold = [row.label for row in rows]
            data = backbone.read([row.text for row in rows], gold, layout)
            scores = backbone.split_logits(data, labels, prompts)[0].log_softmax(-1)
            for name, bias in (
                ("batch", sum(scores) / len(scores)),
                ("content_free", (sum(free) / 3).log()),
            ):
                predicted = (scores - bias).argmax(-1).tolist()
                right = sum(a == b for a, b in zip(predicted, gold, strict=True)) / len(gold)
                assert result[f"{key}_{name}"] == pytest.approx(right, abs=0.005)
    constant = found.results[references[2].id]
    assert references[2].row == "constant"
    for name in ("batch", "content_free"):
        assert constant[f"score_{name}"] == constant["score"]
        assert constant[f"validation_score_{name}"] == constant["validation_score"]


@pytest.mark.slow
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
