"""Task files: one sentence for every mistake in them or their data."""

from pathlib import Path
from typing import Any

import pytest

from tests.trainables.tasks.task_files import jsonl, load, three, write_task
from trainables.errors import InputError
from trainables.tasks import load_task, resolve_task

# ------------------------------------------------------------------------------ mistakes: files

BAD_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"name": None}, "name: missing; allowed: text that is not empty"),
    (
        {"manuel": "It was"},
        r"unknown key 'manuel' \(did you mean manual\?\); allowed: name, ",
    ),
    ({"version": "one"}, "version: found 'one'; allowed: a whole number of at least 1"),
    ({"version": 0}, "version: found 0; allowed: a whole number of at least 1"),
    ({"classes": ["calm"]}, "classes: .*at least 2"),
    ({"classes": ["calm", "calm"]}, "classes: 'calm' stands there twice"),
    ({"classes": [0, 1]}, r"classes\[0\]: found 0, a number \(text in quotes\); allowed: text"),
    ({"label_words": ["bad"]}, "label_words: found 1 words; allowed: 2"),
    ({"label_words": ["bad", "bad"]}, "label_words: 'bad' stands there twice"),
    ({"label_words": ["bad", "very good"]}, "label_words: found 'very good'; .* white space"),
    ({"label_words": [["bad", "poor"], "bad"]}, "label_words: 'bad' stands there twice"),
    ({"label_words": [[], "bad"]}, r"label_words\[0\]: found \[\]; allowed: text, or a"),
    ({"scoring": "max"}, "scoring: found 'max'; allowed: first_token, mean"),
    (
        {"scoring": "sum", "label_words": ["bad", "very  good"]},
        "found 'very  good'; allowed: words with one space between them",
    ),
    ({"label_words_alternatives": [["a"]]}, r"label_words_alternatives\[0\]: found 1 words"),
    ({"metric": "f2"}, "metric: found 'f2'.*; allowed: accuracy, macro_f1"),
    ({"metric": "f1:cross"}, "metric: found 'f1:cross'; allowed: f1: and one of calm, angry"),
    ({"text": "no column"}, "text: found 'no column'; allowed: text that names a column"),
    ({"text": "{text"}, "text: found '{text'; allowed: braces around columns only"),
    ({"text": "{text} {a{b}}"}, "text: .* a brace of the text itself is written twice"),
    ({"text": "{}"}, "text: found '{}'; allowed: braces around columns only"),
    ({"version": 0xF << 2000}, "line 2: .* is no int"),
    ({"label_words": [1000, "fine"]}, r"label_words\[0\]: found 1000, a number \(text in quotes\)"),
    ({"extends": "~nobody-of-that-name/x.yaml"}, "extends: found '~nobody-of-that-name"),
    ({"data": {"hub": {"path": "x" * 5000}}}, "found the path 'xxx.*too long"),
    ({"text": "{text} It was [MASK]"}, r"text: found .*; allowed: text without \[MASK\]"),
    ({"manual": "It was <mask>."}, "manual: found .*; allowed: text without <mask>"),
    ({"data": {}}, "data: found neither of files and hub"),
    (
        {"data": {"files": {"train": "a.parquet"}}},
        r"data.files: .*; .* \.jsonl, \.csv",
    ),
    (
        {"data": {"files": {"train": "a.csv", "test": "a.csv"}}},
        "data.files: 'a.csv' stands",
    ),
    ({"data": {"hub": {"revision": "1"}}}, "data.hub.path: missing"),
    ({"data": {"hub": {"path": "a/b", "split": "x"}}}, "data.hub: unknown key 'split'; .*revision"),
    ({"data": {"files": {"train": "none.jsonl"}}, "splits": {}}, "splits.validation"),
    ({"splits": {"dev": "test"}}, "splits: unknown key 'dev'; allowed: train, validation, test"),
    (
        {"splits": {"validation": "dev"}},
        "splits.validation: found 'dev'; .* one of data.files .train, validation, test",
    ),
    ({"splits": {"validation": "test"}}, "splits: 'test' stands there twice"),
    ({"splits": {"validation": 3}}, "splits.validation: found 3; allowed: the name"),
    (
        {"splits": {"validation": {"from": "train", "share": 1.5}}},
        r"splits.validation.share: found 1.5; allowed: a number in \(0, 1\)",
    ),
    (
        {"splits": {"validation": {"from": "train", "part": 0.5}}},
        "splits.validation: unknown key 'part'; allowed: from, share, seed",
    ),
    (
        {
            "splits": {
                "validation": {"from": "train", "share": 0.5},
                "test": {"from": "train", "share": 0.5},
            }
        },
        "splits: found shares of 'train' that add up to 1",
    ),
    ({"limit": {"train": 0}}, "limit.train: found 0; allowed: a whole number of at least 1"),
    ({"limit": {"dev": 5}}, "limit: unknown key 'dev'; allowed: train, validation, test"),
]


@pytest.mark.parametrize(("fields", "message"), BAD_FIELDS)
def test_wrong_fields(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    file = write_task(tmp_path, three(), **fields)
    with pytest.raises(InputError, match=message) as caught:
        load_task(file)
    sentence = str(caught.value)
    assert "task.yaml" in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: [", "task.yaml: line 1: invalid YAML"),
        ("name: a\nname: b\n", r"line 2: invalid YAML \(the key name stands there twice"),
        ("- name\n", r"found \[.*; allowed: a mapping with the keys name, version"),
        ("", "found None; allowed: a mapping with the keys"),
        ("name: !!python/object:os.system {}", "line 1: invalid YAML"),
        ("name: 2024-13-45", "line 1: invalid YAML .'2024-13-45' is no timestamp"),
    ],
)
def test_not_a_task_file(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "task.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match=message):
        load_task(file)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(InputError, match=r"task.yaml: line 1 is not UTF-8"):
        load_task(tmp_path / "task.yaml")


def test_unknown_and_missing_tasks(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'mini/topic' .*mean mini/topics.*mini/paraphrase, "):
        resolve_task("mini/topic")
    with pytest.raises(InputError, match=r"absent.yaml: cannot be read .No such file"):
        resolve_task("absent.yaml", base=tmp_path)
    with pytest.raises(InputError, match=r"cannot be read"):
        (tmp_path / "folder.yaml").mkdir()
        load_task(tmp_path / "folder.yaml")


def test_unknown_split(file: Path) -> None:
    with pytest.raises(InputError, match="split: found 'dev'; allowed: train, validation"):
        load_task(file).rows("dev")


# ------------------------------------------------------------------------------- mistakes: data


def test_missing_data_file(file: Path) -> None:
    (file.parent / "test.jsonl").unlink()
    with pytest.raises(InputError, match=r"task.yaml: the data file .*test.jsonl does not exist"):
        resolve_task(str(file))


GOOD = '{"text": "a", "label": 0}\n'
BAD_DATA: list[tuple[str, str, str]] = [
    ("jsonl", GOOD + "{text}\n", r"test.jsonl, line 2 is not valid JSON"),
    ("jsonl", GOOD + "[1]\n", r"test.jsonl, line 2 holds a JSON list, .* \{\"text\": "),
    ("jsonl", GOOD + '{"label": 0}\n', r"line 2 has no column 'text', .* under text, .* label"),
    ("jsonl", GOOD + '{"text": "b"}\n', r"line 2 has no column 'label'.* under label"),
    ("jsonl", GOOD + '{"text": null, "label": 0}\n', r"line 2 has None in the column 'text'"),
    (
        "jsonl",
        GOOD + '{"text": "b", "label": 2}\n',
        r"line 2 .* label 2, .*0 to 1 or .*calm, angry",
    ),
    ("jsonl", GOOD + '{"text": "b", "label": "odd"}\n', r"line 2 has the label 'odd'"),
    ("jsonl", GOOD + '{"text": "b", "label": true}\n', r"line 2 has the label True"),
    ("jsonl", GOOD + '{"text": "b", "label": 1.0}\n', r"line 2 has the label 1.0"),
    ("jsonl", GOOD + '{"text": "b", "label": null}\n', r"line 2 has the label None"),
    ("jsonl", GOOD + '{"text": "b", "label": -1}\n', r"line 2 has the label -1"),
    ("jsonl", '{"text": "b", "label": -1}\n', r"all labels of .*test.jsonl are -1, .*not public"),
    ("jsonl", "", r"the split test is empty: .*test.jsonl has 0 rows"),
    ("csv", "text,label\na,0\nb\n", r"test.csv, line 3 has 1 values, .* 2 columns"),
    ("csv", 'text,label\n"a,0\n', r"test.csv, line 2 is malformed"),
    ("csv", "text,text\na,0\n", r"test.csv, line 1 names the column 'text' twice"),
    ("csv", "text,label\n", r"the split test is empty"),
    ("csv", "text,label\na,-1\n", r"all labels of .*test.csv are -1"),
    ("tsv", "text\tlabel\na\t0\tb\n", r"test.tsv, line 2 has 3 values"),
    ("jsonl", GOOD + '{"text": "\\ud83d", "label": 0}\n', r"line 2: found the lone surrogate"),
    ("jsonl", GOOD + '{"text": "b", "\\ude00": 0}\n', r"line 2: found the lone surrogate"),
    ("jsonl", GOOD + '{"text": NaN, "label": 0}\n', r"line 2 has nan in the column 'text'"),
    ("jsonl", GOOD + f"{'[' * 100_000}\n", r"line 2 is not valid JSON: .*nested too deep"),
    ("jsonl", GOOD + f'{{"label": {"9" * 5000}}}\n', r"line 2 is not valid JSON: Exceeds"),
]


@pytest.mark.parametrize(("suffix", "content", "message"), BAD_DATA)
def test_wrong_data(tmp_path: Path, suffix: str, content: str, message: str) -> None:
    task = load_task(write_task(tmp_path, three(suffix, content)))
    with pytest.raises(InputError, match=message) as caught:
        task.rows("test")
    assert "\n" not in str(caught.value)


def test_data_that_is_no_text(file: Path) -> None:
    (file.parent / "test.jsonl").write_bytes(b'{"text": "\xff", "label": 0}\n')
    with pytest.raises(InputError, match=r"test.jsonl is not UTF-8 text"):
        load_task(file).rows("test")


def test_numeric_class_names_in_the_message(tmp_path: Path) -> None:
    content = jsonl([{"text": "x", "label": 0}])
    file = write_task(tmp_path, three("jsonl", content), classes=["1", "2"])
    with pytest.raises(InputError, match=r"label 0, but must have one of 1, 2$"):
        load_task(file).rows("test")


def test_a_part_that_rounds_to_nothing(tmp_path: Path) -> None:
    splits = {"validation": {"from": "train", "share": 0.01}}
    with pytest.raises(InputError, match=r"the split validation is empty: .*has 20 rows"):
        load(write_task(tmp_path, three(), splits=splits))
