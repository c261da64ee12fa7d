"""Tasks of the papers on task transfer, on rows with the columns and labels that the Hub's have."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from tests.trainables.tasks.task_files import jsonl, write_task
from trainables.errors import InputError
from trainables.tasks import SPLITS, load_task
from trainables.tasks.schema import read

GLUE = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"
TEXTS = {"text": "T"}
ASPECT = {"text": "T", "span": "S", "ordinal": 0}
NLI = {"premise": "P", "hypothesis": "H"}
RACE = {"article": "A", "question": "Q", "options": ["one", "two", "three", "four"]}
LETTERS = ["A", "B", "C", "D"]
POLARITY = ["positive", "negative", "neutral", "conflict"]
HELD_OUT = ("train", "train", "test")

TASKS: dict[str, tuple[str, dict[str, Any], list[Any], list[Any], tuple[str, ...]]] = {
    "imdb": ("stanfordnlp/imdb", TEXTS, [0, 1], [0, 1], HELD_OUT),
    "laptop": ("tomaarsen/setfit-absa-semeval-laptops", ASPECT, POLARITY, [2, 0, 1], HELD_OUT),
    "restaurant": (
        "tomaarsen/setfit-absa-semeval-restaurants", ASPECT, POLARITY, [2, 0, 1], HELD_OUT
    ),
    "mnli": ("nyu-mll/glue/mnli", NLI, [0, 1, 2], [0, 1, 2],
             ("train", "train", "validation_matched")),
    "snli": ("stanfordnlp/snli", NLI, [0, 1, 2, -1], [0, 1, 2], SPLITS),
    "qnli": ("nyu-mll/glue/qnli", {"question": "Q", "sentence": "S"}, [0, 1], [0, 1],
             ("train", "train", "validation")),
    "qqp": ("nyu-mll/glue/qqp", {"question1": "Q", "question2": "R"}, [0, 1], [0, 1],
            ("train", "train", "validation")),
    "deontology": ("EleutherAI/hendrycks_ethics/deontology", {"scenario": "S", "excuse": "E"},
                   [0, 1], [0, 1], HELD_OUT),
    "justice": ("EleutherAI/hendrycks_ethics/justice", {"scenario": "S"}, [0, 1], [0, 1], HELD_OUT),
    "race_middle": ("ehovy/race/middle", RACE, LETTERS, [0, 1, 2, 3], SPLITS),
    "race_high": ("ehovy/race/high", RACE, LETTERS, [0, 1, 2, 3], SPLITS),
}  # fmt: skip
"""By name: the data set with its part, columns, labels there, the classes that these are (what is
left out: none), and the splits of the data that train, validation and test are of."""


@pytest.mark.parametrize("name", TASKS)
def test_rows_as_the_hub_has_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    place, columns, labels, classes, origins = TASKS[name]
    asked = []
    field = "answer" if name.startswith("race") else "label"

    def load(path: str, name: str | None = None, *, split: str, revision: str | None,
             data_dir: str | None = None) -> list[dict[str, Any]]:  # fmt: skip
        asked.append(("/".join(filter(None, [path, name or data_dir])), split))
        numbered = {key: f"{value} {split}" if isinstance(value, str) else value
                    for key, value in columns.items()}  # fmt: skip
        return [{**numbered, field: labels[row % len(labels)]} for row in range(60)]

    monkeypatch.setattr(datasets, "load_dataset", load)
    task = load_task(name)
    assert asked == []
    counted = 60 * len(classes) // len(labels)
    rows = {split: task.rows(split) for split in SPLITS}
    for split, origin in zip(SPLITS, origins, strict=True):
        assert all(origin in row.text for row in rows[split])
    if origins[1] == "train":
        assert len(rows["train"]) + len(rows["validation"]) == counted
        assert len(rows["validation"]) == round(0.1 * counted)
    assert [row.label for row in rows["test"]][: len(classes)] == classes
    assert len(rows["test"]) == counted
    assert {where for where, _ in asked} == {place}
    assert {split for _, split in asked} == set(origins)


def test_a_commit_is_named_wherever_one_is_known() -> None:
    loose = {name for name in TASKS if load_task(name).digest.endswith("*")}
    revisions = {name: read(load_task(name).file).data.hub.revision for name in TASKS}
    assert {name for name, revision in revisions.items() if len(revision or "") != 40} == {
        "laptop", "deontology", "justice"
    }  # fmt: skip
    assert loose <= {"laptop", "deontology", "justice"}


def test_questions_with_four_answers_are_read_behind_their_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import datasets

    rows = [{**RACE, "answer": LETTERS[number % 4]} for number in range(8)]
    monkeypatch.setattr(datasets, "load_dataset", lambda *asked, **more: rows)
    first = load_task("race_middle").rows("train")[0]
    assert (first.text, first.pair) == ("A", "Q A. one B. two C. three D. four")


def write(folder: Path, rows: list[dict[str, Any]], **fields: Any) -> Path:
    splits = {split: {"from": "all", "share": share}
              for split, share in zip(SPLITS, (0.4, 0.3, 0.3), strict=True)}  # fmt: skip
    return write_task(folder, {"all.jsonl": jsonl(rows)}, splits=splits, **fields)


def test_rows_of_a_label_that_is_left_out_do_not_count(tmp_path: Path) -> None:
    rows = [{"text": f"t {row}", "label": [0, 1, -1, "unclear"][row % 4]} for row in range(40)]
    task = load_task(write(tmp_path, rows, leave_out=[-1, "unclear"]))
    found = Counter(row.label for split in SPLITS for row in task.rows(split))
    assert found == {0: 10, 1: 10}
    (tmp_path / "less").mkdir()
    with pytest.raises(InputError, match="has the label 'unclear', but must have"):
        load_task(write(tmp_path / "less", rows, leave_out=[-1])).check()


def test_a_class_is_not_left_out(tmp_path: Path) -> None:
    for label in (1, "calm"):
        with pytest.raises(InputError, match=r"leave_out: found .*; allowed: labels that are no"):
            load_task(write(tmp_path, [], leave_out=[label]))


def test_values_of_a_list_have_places(tmp_path: Path) -> None:
    rows = [{"many": [f"a{row}", "b"], "label": row % 2} for row in range(20)]
    task = load_task(write(tmp_path, rows, text="{many[1]} {many[0]}"))
    assert all(row.text.startswith("b a") for row in task.rows("train"))
    with pytest.raises(InputError, match=r"has 2 values in the column 'many', but .* 'many\[2\]'"):
        load_task(write(tmp_path, rows, text="{many[2]}")).check()


def test_a_folder_of_a_data_set_stands_in_place_of_a_configuration(tmp_path: Path) -> None:
    for hub, text in (
        ({"path": "a/b", "folder": "c", "name": "d"}, "found folder 'c' beside name 'd'; allowed"),
        ({"path": ".", "folder": "c"}, "data.hub.folder: found 'c', but data.hub.path is the fold"),
    ):
        with pytest.raises(InputError, match=text):
            load_task(write_task(tmp_path, {}, data={"hub": hub}))


@pytest.mark.real
@pytest.mark.parametrize("tokenizer", ["bert-base-cased", "bert-base-uncased", "gpt2"])
def test_label_words_are_single_tokens(shared: Path, tokenizer: str) -> None:
    found = AutoTokenizer.from_pretrained(shared / "tokenizers" / tokenizer)
    lead = " " if tokenizer == "gpt2" else ""
    for name in TASKS:
        task = load_task(name)
        for words in (task.label_words, *task.label_words_alternatives):
            pieces = [found.tokenize(lead + word) for word in words]
            assert [len(piece) for piece in pieces] == [1] * len(words), (name, pieces)
