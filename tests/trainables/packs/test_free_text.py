"""A task of free text from tuning to the target, and what refuses it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.trainables.soft import toys
from trainables.backbones import Layout, load_backbone
from trainables.core.cells import Cell, Pack
from trainables.core.settings import SoftSettings, TransferSettings, stored
from trainables.errors import InputError
from trainables.models.names import resolve_model
from trainables.packs.pack import run_pack
from trainables.packs.run import Run
from trainables.preflight import preflight
from trainables.scoring.free_text import answers_of
from trainables.soft.initialisation import Beginning, begin
from trainables.tasks import load_task, resolve_task
from trainables.testing.work import rows_read

TASK = "toy/things"
SOURCE, TARGET = "pocket-gpt2", "pocket-llama"
TUNED = asdict(
    SoftSettings(steps=6, evaluations=2, prompt_length=2, batch_size=4, learning_rate=0.3)
)
THINGS = ["water", "house", "dog"]


def write_task(folder: Path) -> str:
    for split, count in {"train": 12, "validation": 6, "test": 6}.items():
        lines = [
            json.dumps({"text": f"the {THINGS[at % 3]} is here", "thing": THINGS[at % 3]})
            for at in range(count)
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(lines))
    file = folder / "task.yaml"
    files = {split: f"{split}.jsonl" for split in ("train", "validation", "test")}
    content = {"name": TASK, "data": {"files": files}, "text": "{text}", "answer": "{thing}"}
    file.write_text(yaml.safe_dump({**content, "metric": "token_f1", "max_answer_tokens": 3}))
    return str(file)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_task(tmp_path_factory.mktemp("things"))


@pytest.mark.slow
def test_every_row_of_a_sweep(task: str) -> None:
    tuned = Cell(
        "source", "independent", "soft", TASK, SOURCE, (SOURCE,), 0, 0.0, "none", (), TUNED
    )
    ways = [TransferSettings(), TransferSettings(solver="ridge", selection="target_validation")]
    carried = [
        Cell(
            kind="transfer",
            row="baseline",
            method="soft",
            task=TASK,
            target=TARGET,
            sources=(SOURCE,),
            seed=0,
            weight=0.0,
            inputs=(tuned.id,),
            settings={**stored(way), "prompt_length": 2, "position": "prefix"},
        )
        for way in ways
    ]
    references = [
        Cell("reference", row, "none", TASK, TARGET) for row in ("empty", "manual", "constant")
    ]
    models = {name: resolve_model(name) for name in (SOURCE, TARGET)}
    cells = (tuned, *carried, *references)
    both = ("batch", "content_free")
    pack = Pack(*("tune", "soft", resolve_task(task), models, (SOURCE,), cells), calibration=both)
    outcome = run_pack(pack, {})
    assert outcome.failures == {}
    for cell in cells:
        result = outcome.results[cell.id]
        assert 0.0 <= result["score"] <= 1.0
        assert (result["metric"], result["n_test"]) == ("token_f1", 6)
        assert cell.id not in outcome.predictions
        assert {result[f"score_{name}"] for name in both} == {result["score"]}
    assert outcome.results[references[2].id]["score"] == pytest.approx(1 / 3)
    curve = outcome.results[tuned.id]["curve"]
    assert curve[-1]["loss"] < curve[0]["loss"]
    # The scores again, from the kept prompt.
    again = Run(pack, "cpu")
    prompt = torch.from_numpy(outcome.prompts[tuned.id])[None]
    (found,) = again.evaluate(SOURCE, Layout(2), prompt)
    assert not isinstance(found, str)
    assert found.numbers["score"] == outcome.results[tuned.id]["score"]


@pytest.mark.slow
def test_training_counts_every_reading(task: str) -> None:
    cell = Cell("source", "independent", "soft", TASK, SOURCE, (SOURCE,), 0, 0.0, "none", (), TUNED)
    pack = Pack(
        *("tune", "soft", resolve_task(task), {SOURCE: resolve_model(SOURCE)}, (SOURCE,), (cell,))
    )
    load_backbone(pack.models[SOURCE])
    with rows_read() as read:
        result = run_pack(pack, {}).results[cell.id]
    assert result["target_backward_rows"] == read[SOURCE].backward
    reads = answers_of(load_backbone(pack.models[SOURCE]), load_task(task)).judged.rows
    # Answers that end early are read less often than is counted; the last evaluation is not.
    final = reads * (6 + 6)
    assert read[SOURCE].forward - final <= result["target_forward_rows"]


def test_prompts_may_start_as_answers_that_have_names(tmp_path: Path) -> None:
    """In the order of their texts; those that a short prompt has no room for are left out."""
    content = yaml.safe_load(Path(write_task(tmp_path)).read_text())
    for split in content["data"]["files"]:
        rows = [{"text": f"the {THINGS[at % 3]}", "number": at % 3} for at in range(6)]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    file = tmp_path / "named.yaml"
    named = {**content, "answer": "{number}", "answer_names": THINGS}
    file.write_text(yaml.safe_dump(named))
    start = {"method": "soft", "settings": {"init": "label_words"}, "model": SOURCE, "file": None}
    ref, model = resolve_task(str(file)), resolve_model(SOURCE)
    assert preflight([model], [ref], starts=[start]) == []
    backbone = load_backbone(model)
    labels = answers_of(backbone, load_task(ref))
    settings = SoftSettings(init="label_words", prompt_length=2)
    prompt = begin(Beginning(backbone, labels, settings, 0, "k"))
    ids = [backbone.word_id(word) for word in sorted(THINGS)[:2]]
    assert (prompt == backbone.embeddings[ids].float()).all()


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"words": [{"method": "pez"}]}, "methods: pez: found task 'toy/things', whose answers are"),
    (
        {"ways": [{"settings": stored(TransferSettings(solver="readout", texts=4))}]},
        "transfer.solver: readout: found task .*; allowed: closed_form, ridge, ",
    ),
    (
        {"starts": [{"method": "soft", "settings": {"init": "label_words"}, "model": SOURCE}]},
        "init: label_words: found task .*; allowed: another start, or answer_names",
    ),
]


@pytest.mark.parametrize(("more", "problem"), REFUSED)
def test_what_needs_classes_refuses_it(more: dict[str, Any], problem: str, task: str) -> None:
    with pytest.raises(InputError, match=problem):
        preflight([resolve_model(SOURCE)], [resolve_task(task)], **more)


def test_masked_models_are_refused_before_anything_is_trained(task: str) -> None:
    assert preflight([resolve_model(SOURCE)], [resolve_task(task)]) == []
    with pytest.raises(InputError, match="found a masked model"):
        preflight([resolve_model(toys.SOURCES[0])], [resolve_task(task)])
