"""Tasks of free text: their files and rows, and the scores of answers."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from trainables.errors import InputError
from trainables.tasks import Task, load_task
from trainables.tasks.answers import answer_score, exact_match, normalised, token_f1

ROWS = {
    "train": [("where is it", ["The Hague", "Hague"]), ("who", ["a dog"]), ("what", ["dog"])] * 4,
    "validation": [("who is it", ["a dog"]), ("where now", ["here"])],
    "test": [("when", ["never", "not ever"])],
}


def write(folder: Path, **more: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for split, rows in ROWS.items():
        lines = [json.dumps({"q": f"{q} {at}", "a": a}) for at, (q, a) in enumerate(rows)]
        (folder / f"{split}.jsonl").write_text("\n".join(lines))
    content = {
        "name": "toy/questions",
        "data": {"files": {split: f"{split}.jsonl" for split in ROWS}},
        "text": "{q}",
        "answer": "{a}",
        **more,
    }
    file = folder / "task.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def told(task: Task, split: str) -> list[tuple[str, ...]]:
    return [task.golds[row.label] for row in task.rows(split)]


def test_rows_have_the_number_of_their_gold_answers(tmp_path: Path) -> None:
    task = load_task(write(tmp_path))
    assert task.free
    assert (task.classes, task.label_words, task.metric) == ((), (), "exact_match")
    assert told(task, "test") == [("never", "not ever")]
    assert told(task, "train")[:3] == [("The Hague", "Hague"), ("a dog",), ("dog",)]
    assert len(task.golds) == 5
    other = load_task(write(tmp_path / "other", max_answer_tokens=4))
    assert other.digest != task.digest


def test_what_is_chosen_does_not_depend_on_what_is_read_first(tmp_path: Path) -> None:
    splits = {"train": "train", "validation": {"from": "train", "share": 0.4}}
    file = write(tmp_path, splits=splits, limit={"train": 5})
    first, second = load_task(file), load_task(file)
    second.rows("test")
    for split in ("validation", "train"):
        assert [row.text for row in first.rows(split)] == [row.text for row in second.rows(split)]
        assert told(first, split) == told(second, split)


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"classes": ["a", "b"]}, "unknown key 'classes'; allowed: name, "),
    ({"answer": "words"}, "answer: found 'words'; allowed: text that names a column"),
    ({"metric": "accuracy"}, "metric: found 'accuracy'.*; allowed: exact_match or token_f1"),
    ({"max_answer_tokens": 0}, "max_answer_tokens: found 0; allowed: "),
]


@pytest.mark.parametrize(("more", "problem"), MISTAKES)
def test_mistakes_are_one_sentence(more: dict[str, Any], problem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        load_task(write(tmp_path, **more))
    assert "\n" not in str(caught.value)


def test_numbers_stand_for_names(tmp_path: Path) -> None:
    file = write(tmp_path, answer_names=["no", "yes"])
    with pytest.raises(InputError, match="has 'The Hague' in the column 'a'; allowed: 0 to 1 or"):
        load_task(file).rows("train")
    for split in ROWS:
        (tmp_path / f"{split}.jsonl").write_text('{"q": "a", "a": 1}\n{"q": "b", "a": 0}')
    assert told(load_task(file), "test") == [("yes",), ("no",)]
    (tmp_path / "test.jsonl").write_text('{"q": "a", "a": -1}')
    with pytest.raises(InputError, match="are not public"):
        load_task(file).rows("test")


PAIRS = [
    ("The Cat!", "cat"),
    ("a cat sat", "the cat sat down"),
    ("cat cat dog", "cat dog dog"),
    ("", "the"),
    ("nothing", "a"),
    ("U.S.", "us"),
    ("theatre", "atre"),
]


@pytest.mark.parametrize(("said", "gold"), PAIRS)
def test_scores_are_squads_read_literally(said: str, gold: str) -> None:
    """Lower case, then punctuation out, then articles, then spaces; F1 over word counts."""

    def words(text: str) -> list[str]:
        kept = "".join(
            sign for sign in text.lower() if sign not in r"""!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~"""
        )
        return [word for word in kept.split() if word not in ("a", "an", "the")]

    mine, wanted = words(said), words(gold)
    assert normalised(said).split() == mine
    assert exact_match(said, gold) == float(mine == wanted)
    same = sum(min(count, Counter(wanted)[word]) for word, count in Counter(mine).items())
    if not mine or not wanted:
        expected = float(mine == wanted)
    elif not same:
        expected = 0.0
    else:
        precision, recall = same / len(mine), same / len(wanted)
        expected = 2 * precision * recall / (precision + recall)
    assert token_f1(said, gold) == pytest.approx(expected)
    assert answer_score("token_f1", said, ["something else", gold]) == pytest.approx(expected)


SUPERGLUE: dict[str, tuple[dict[str, Any], list[str]]] = {
    "boolq": ({"question": "is it so", "passage": "It is."}, ["no", "yes"]),
    "cb": ({"premise": "P", "hypothesis": "H"}, ["entailment", "contradiction", "neutral"]),
    "rte": ({"premise": "P", "hypothesis": "H"}, ["entailment", "not entailment"]),
    "copa": (
        {"premise": "P", "choice1": "A", "choice2": "B", "question": "cause"},
        ["first", "second"],
    ),
    "wic": (
        {"word": "w", "sentence1": "S", "sentence2": "T", "start1": 0, "end1": 1},
        ["no", "yes"],
    ),
}


@pytest.mark.parametrize("name", SUPERGLUE)
def test_superglue_as_text_to_text(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows with the columns that the Hub's have; test labels are not public there."""
    import datasets

    columns, answers = SUPERGLUE[name]
    asked = []

    def load(path: str, *, data_dir: str, split: str, revision: str) -> list[dict[str, Any]]:
        asked.append((path, data_dir, revision))
        return [
            {**columns, "idx": place, "label": -1 if split == "test" else place % len(answers)}
            for place in range(30)
        ]

    monkeypatch.setattr(datasets, "load_dataset", load)
    task = load_task(f"superglue/{name}")
    assert [task.golds[row.label][0] for row in task.rows("test")][: len(answers)] == answers
    assert (len(task.rows("train")), len(task.rows("validation"))) == (27, 3)
    assert set(asked) == {("aps/super_glue", name, "refs/convert/parquet")}
