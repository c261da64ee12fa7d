"""Tasks on pairs of texts: the field ``pair``, rows as with one text, and packs of them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from trainables.backbones import Layout, load_backbone
from trainables.core.cells import Cell, Pack
from trainables.core.registries import FORMATS
from trainables.errors import InputError
from trainables.interchange import TunedPrompt
from trainables.models.names import resolve_model
from trainables.packs.pack import run_pack
from trainables.preflight import preflight
from trainables.scoring.label_words import score_label_words
from trainables.tasks import SPLITS, load_task, resolve_task
from trainables.testing.task_contract import TaskContract

AS_PAIR = {"extends": "mini/paraphrase", "text": "{sentence1}", "pair": "{sentence2}"}


def write(folder: Path, **fields: Any) -> Path:
    file = folder / "pairs.yaml"
    file.write_text(yaml.safe_dump({"name": "pairs", **AS_PAIR, **fields}))
    return file


class TestPairs(TaskContract):
    """What holds for every task holds for one on pairs."""

    @pytest.fixture(autouse=True)
    def _write(self, tmp_path: Path) -> None:
        self.task = write(tmp_path)


def test_digests_of_tasks_on_one_text_are_as_they_were() -> None:
    """They enter the hash of every cell."""
    assert load_task("mrpc").digest == "10da9a478df3dddf"
    assert load_task("mini/paraphrase").digest == "ce8d626406fe024b"
    assert load_task("mrpc_pair").digest != load_task("mrpc").digest


def test_mrpc_pair_is_mrpc_but_for_its_texts() -> None:
    pair, one = load_task("mrpc_pair"), load_task("mrpc")
    assert (pair.text, pair.pair) == ("{sentence1}", "{sentence2}")
    assert one.pair is None
    for name in ("classes", "label_words", "label_words_alternatives", "manual", "metric"):
        assert getattr(pair, name) == getattr(one, name)


def test_rows_and_splits_are_those_of_the_joined_texts(tmp_path: Path) -> None:
    held_out = {
        "splits": {
            "train": "train",
            "validation": {"from": "train", "share": 0.25},
            "test": "test",
        },
        "limit": {"test": 7},
    }
    pairs = load_task(write(tmp_path, **held_out))
    joined = load_task(write(tmp_path, text="{sentence1} {sentence2}", pair=None, **held_out))
    assert joined.pair is None
    for split in SPLITS:
        found, expected = pairs.rows(split), joined.rows(split)
        assert [row.whole for row in found] == [row.text for row in expected]
        assert [row.label for row in found] == [row.label for row in expected]
        assert [row.content for row in found] == [(row.text, row.pair) for row in found]
        assert all(row.text and row.pair for row in found)
        assert [row.content for row in expected] == [row.text for row in expected]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pair": "and"}, "pair: found 'and'; allowed: text that names a column"),
        (
            {"pair": "{sentence2} [MASK]"},
            r"pair: found .*; allowed: text without \[MASK\]",
        ),
        ({"pair": 3}, r"pair: found 3, a number \(text in quotes\); allowed: text"),
        ({"pair": "{sentence3}"}, "has no column 'sentence3', which pairs.yaml names under pair"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_task(write(tmp_path, **fields)).rows("test")
    assert "\n" not in str(caught.value)


def reference_results(file: Path, model: str) -> dict[str, Any]:
    """Results of the reference rows, by row."""
    cells = {
        row: Cell("reference", row, "none", "pairs", model)
        for row in ("empty", "manual", "constant")
    }
    pack = Pack(
        kind="transfer",
        method="soft",
        task=resolve_task(str(file)),
        models={model: resolve_model(model)},
        sources=(),
        cells=tuple(cells.values()),
        calibration=("batch", "content_free"),
    )
    results = run_pack(pack, {}).results
    return {row: results[cell.id] for row, cell in cells.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("model", "separator"), [("pocket-bert", 1), ("pocket-gpt2", 0)])
def test_packs_read_pairs(tmp_path: Path, model: str, separator: int) -> None:
    file = write(tmp_path)
    task, backbone = load_task(file), load_backbone(resolve_model(model))
    results = reference_results(file, model)
    rows = task.rows("test")
    gold = [row.label for row in rows]
    data = backbone.read([row.content for row in rows], gold, Layout())
    joined = backbone.read([row.whole for row in rows], gold, Layout())
    assert (data.lengths - joined.lengths).unique().tolist() == [separator]
    labels = backbone.labels(task.label_words, "t")
    losses = [
        float(torch.nn.functional.cross_entropy(backbone.split_logits(read, labels)[0], read.gold))
        for read in (data, joined)
    ]
    assert results["empty"]["loss"] == pytest.approx(losses[0], abs=1e-5)
    assert (abs(losses[0] - losses[1]) > 1e-3) == bool(separator)
    for row in ("empty", "manual"):
        assert 0 <= results[row]["score_content_free"] <= 1
    assert results["constant"]["n_test"] == len(rows)


def test_label_words_and_the_preflight_read_pairs_too(tmp_path: Path) -> None:
    task, model = load_task(write(tmp_path)), resolve_model("pocket-bert")
    (found,) = score_label_words(model, task, [task.label_words])
    assert found["empty"]["score"] > 0
    # 128 positions, of which [CLS], two [SEP] and the mask are taken.
    assert preflight([model], [task.ref], [{"prompt_length": 123}]) == []
    with pytest.raises(InputError, match="takes 128 positions; allowed: fewer than 128"):
        preflight([model], [task.ref], [{"prompt_length": 124}])


def test_exports_say_how_pairs_stand(tmp_path: Path) -> None:
    task = load_task(write(tmp_path))
    for name, separator in (("pocket-bert", [3]), ("pocket-gpt2", " ")):
        ref = resolve_model(name)
        backbone = load_backbone(ref)
        prompt = backbone.embeddings[100:105].numpy()
        tuned = TunedPrompt(prompt, backbone, ref, Layout(5), task)
        layout = json.loads(FORMATS["npy"].load()(tuned)["promptsweep.json"])["layout"]
        assert layout["pair_separator"] == separator
        assert layout["second_token_type"] == 0
        if name == "pocket-gpt2":
            assert json.loads(FORMATS["peft"].load()(tuned)["promptsweep.json"])["layout"] == layout
            continue
        with pytest.raises(InputError, match="found pairs read as two segments; allowed in the"):
            FORMATS["peft"].load()(tuned)
