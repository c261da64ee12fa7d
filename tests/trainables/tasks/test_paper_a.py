"""The seven tasks of paper A, without their data: fields, splits, and what constants score."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import AutoTokenizer

from trainables.errors import InputError
from trainables.tasks import TASK_NAMES, load_task, metrics, resolve_task
from trainables.tasks.schema import read

PAPER = {
    "hate": ("cardiffnlp/tweet_eval", "hate", "macro_f1"),
    "irony": ("cardiffnlp/tweet_eval", "irony", "f1:1"),
    "mrpc": ("nyu-mll/glue", "mrpc", "accuracy_f1_mean"),
    "offensive": ("cardiffnlp/tweet_eval", "offensive", "macro_f1"),
    "rotten_tomatoes": ("cornell-movie-review-data/rotten_tomatoes", None, "accuracy"),
    "sentiment": ("cardiffnlp/tweet_eval", "sentiment", "macro_recall"),
    "sst2": ("nyu-mll/glue", "sst2", "accuracy"),
}


@pytest.mark.parametrize("name", TASK_NAMES)
def test_every_packaged_task_file_is_valid(name: str) -> None:
    task = load_task(name)
    assert task.name == name
    assert resolve_task(name) == task.ref
    assert task.description


@pytest.mark.parametrize("name", PAPER)
def test_data_metric_and_template_are_the_papers(name: str) -> None:
    path, configuration, metric = PAPER[name]
    content, task = read(load_task(name).file), load_task(name)
    assert content.data.hub is not None
    assert (content.data.hub.path, content.data.hub.name) == (path, configuration)
    revision = content.data.hub.revision or ""
    assert len(revision) == 40
    assert set(revision) <= set("0123456789abcdef")
    assert task.metric == metric
    assert task.manual == ("Are the sentences equivalent?" if name == "mrpc" else "It was")
    assert len(task.label_words_alternatives) == 2


def fake_hub(monkeypatch: pytest.MonkeyPatch, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """Let ``datasets`` return made-up rows; what it was asked for is the result."""
    import datasets

    asked: list[tuple[Any, ...]] = []

    def load(path: str, name: str | None, *, split: str, revision: str) -> list[dict[str, Any]]:
        asked.append((path, name, split, revision))
        return [
            {**{column: f"{split} {column} {i}" for column in columns}, "label": i % 2}
            for i in range(40)
        ]

    monkeypatch.setattr(datasets, "load_dataset", load)
    return asked


@pytest.mark.parametrize(
    ("name", "columns"), [("mrpc", ["sentence1", "sentence2"]), ("sst2", ["sentence"])]
)
def test_glue_is_tested_on_its_validation_split(
    name: str, columns: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = fake_hub(monkeypatch, columns)
    task = load_task(name)
    rows = {split: task.rows(split) for split in ("train", "validation", "test")}
    assert {split: len(found) for split, found in rows.items()} == {
        "train": 36,
        "validation": 4,
        "test": 40,
    }
    assert rows["test"][3].text == " ".join(f"validation {column} 3" for column in columns)
    assert all(row.text.startswith("train ") for row in rows["validation"])
    assert {(path, part, split) for path, part, split, _ in asked} == {
        ("nyu-mll/glue", name, "train"),
        ("nyu-mll/glue", name, "validation"),
    }


def test_other_tasks_keep_the_official_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_hub(monkeypatch, ["text"])
    task = load_task("irony")
    for split in ("train", "validation", "test"):
        assert task.rows(split)[0].text == f"{split} text 0"
    assert [split for _, _, split, _ in asked] == ["train", "validation", "test"]


@pytest.mark.parametrize(
    ("name", "counts", "percent", "constant"),
    [
        ("irony", [473, 311], 56.8, 1),
        ("mrpc", [129, 279], 74.8, 1),
        ("hate", [1718, 1252], 36.6, 0),
        ("offensive", [620, 240], 41.9, 0),
    ],
)
def test_constants_score_what_the_paper_prints(
    name: str, counts: list[int], percent: float, constant: int
) -> None:
    """Predicting one class on the published class counts of the test rows."""
    task = load_task(name)
    gold = [label for label, count in enumerate(counts) for _ in range(count)]
    scored = metrics.constant_scores(task.metric, gold, task.num_classes)
    assert round(100 * scored[constant], 1) == percent
    positive = counts[1] / sum(counts)
    f1 = 2 * positive / (1 + positive)
    literal = {
        "irony": f1,
        "mrpc": (positive + f1) / 2,
        "hate": (1 - positive) / (2 - positive),
        "offensive": (1 - positive) / (2 - positive),
    }
    assert scored[constant] == pytest.approx(literal[name])


@pytest.mark.real
def test_the_counts_above_are_those_of_the_data(shared_data: Path, tmp_path: Path) -> None:
    for name, counts in (("hate", [1718, 1252]), ("offensive", [620, 240])):
        folder = shared_data / f"tweeteval_{name}"
        splits = ("train", "validation", "test")
        files = {split: str(folder / f"{split}.jsonl") for split in splits}
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump({"extends": name, "data": {"files": files}}))
        gold = [row.label for row in load_task(file).rows("test")]
        assert metrics.histogram(gold, 2) == counts


@pytest.mark.real
@pytest.mark.parametrize("tokenizer", ["bert-base-cased", "bert-base-uncased", "gpt2"])
def test_label_words_are_single_tokens_of_the_papers_models(shared: Path, tokenizer: str) -> None:
    """RoBERTa and OPT share GPT-2's byte pairs, MPNet has BERT's uncased word pieces."""
    found = AutoTokenizer.from_pretrained(shared / "tokenizers" / tokenizer)
    lead = " " if tokenizer == "gpt2" else ""
    for name in PAPER:
        task = load_task(name)
        for words in (task.label_words, *task.label_words_alternatives):
            pieces = [found.tokenize(lead + word) for word in words]
            assert [len(piece) for piece in pieces] == [1] * len(words), pieces


# ------------------------------------------------------------------------------------- extends


def write(folder: Path, name: str, **fields: Any) -> Path:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(fields))
    return file


def local_sst2(folder: Path, **fields: Any) -> Path:
    (folder / "mine").mkdir(exist_ok=True)
    for name in ("train", "dev"):
        rows = "".join(f'{{"text": "{name} {i}", "label": {i % 2}}}\n' for i in range(20))
        (folder / "mine" / f"{name}.jsonl").write_text(rows)
    files = {"train": "mine/train.jsonl", "validation": "mine/dev.jsonl"}
    data = {"data": {"files": files}, "text": "{text}"}
    return write(folder, "own.yaml", extends="sst2", **{**data, **fields})


def test_the_same_task_over_files_of_ones_own(tmp_path: Path) -> None:
    task, packaged = load_task(local_sst2(tmp_path)), load_task("sst2")
    kept = ("name", "version", "classes", "label_words", "label_words_alternatives", "manual")
    assert [getattr(task, key) for key in kept] == [getattr(packaged, key) for key in kept]
    assert [len(task.rows(split)) for split in ("train", "validation", "test")] == [18, 2, 20]
    assert task.rows("test")[0].text == "dev 0"
    assert task.digest != packaged.digest
    assert load_task(task.ref).digest == task.digest


def test_a_field_replaces_the_extended_one_and_enters_the_digest(tmp_path: Path) -> None:
    plain = load_task(local_sst2(tmp_path))
    other = load_task(local_sst2(tmp_path, label_words=["awful", "nice"], limit={"train": 6}))
    assert other.label_words == ("awful", "nice")
    assert len(other.rows("train")) == 6
    assert other.digest != plain.digest


def test_data_of_the_extended_task_stays_where_it_is(tmp_path: Path) -> None:
    parent = local_sst2(tmp_path)
    child = load_task(write(tmp_path, "below/child.yaml", extends="../own.yaml", metric="macro_f1"))
    assert child.metric == "macro_f1"
    assert child.rows("test") == load_task(parent).rows("test")


def test_extending_does_not_change_what_the_fields_say(tmp_path: Path) -> None:
    """Written out or extended, the same fields are the same task."""
    child = write(tmp_path, "child.yaml", extends="sst2")
    assert load_task(child).digest == load_task("sst2").digest


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"extends": "sst3"}, "extends: found 'sst3'; allowed: a packaged task, or the path"),
        ({"extends": "none.yaml"}, "none.yaml: cannot be read"),
        ({"extends": "child.yaml"}, "extends: found 'child.yaml', which leads back to child.yaml"),
        ({"extends": 3}, "extends: found 3; allowed: a task's name or path"),
        (
            {"extends": "sst2", "metrik": "accuracy"},
            r"unknown key 'metrik' \(did you mean metric\?\)",
        ),
        ({"extends": "sst2", "label_words": ["bad"]}, "label_words: found 1 words"),
    ],
)
def test_wrong_extensions(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    file = write(tmp_path, "child.yaml", **fields)
    with pytest.raises(InputError, match=message) as caught:
        load_task(file)
    assert "\n" not in str(caught.value)


def test_extensions_in_a_circle(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", extends="b.yaml")
    write(tmp_path, "b.yaml", extends="a.yaml")
    with pytest.raises(InputError, match=r"leads back to a\.yaml"):
        load_task(tmp_path / "a.yaml")
