"""Task files: what they may hold, how data is read, and one sentence for every mistake."""

import json
import os
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from trainables.errors import InputError
from trainables.tasks import SPLITS, Example, Task, load_task, resolve_task
from trainables.testing.task_contract import TaskContract

ROWS = [{"text": f"text number {index}", "label": index % 2} for index in range(20)]


def jsonl(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write_task(folder: Path, tables: dict[str, str], **fields: Any) -> Path:
    """A task file ``task.yaml`` with its data files; a field given as None is left out."""
    for name, text in tables.items():
        (folder / name).write_text(text, encoding="utf-8")
    content: dict[str, Any] = {
        "name": "own/task",
        "version": 1,
        "data": {"files": {Path(name).stem: name for name in tables}},
        "text": "{text}",
        "classes": ["calm", "angry"],
        "label_words": ["fine", "bad"],
        **fields,
    }
    file = folder / "task.yaml"
    kept = {key: value for key, value in content.items() if value is not None}
    file.write_text(yaml.safe_dump(kept, sort_keys=False), encoding="utf-8")
    return file


def three(suffix: str = "jsonl", content: str | None = None) -> dict[str, str]:
    """The same content for three splits, told apart by what precedes every text."""
    if content is not None:
        return {f"{split}.{suffix}": content for split in SPLITS}
    return {
        f"{split}.{suffix}": jsonl([{**row, "text": f"{split} {row['text']}"} for row in ROWS])
        for split in SPLITS
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_task(tmp_path, three())


def load(file: Path) -> Task:
    task = load_task(file)
    task.check()
    return task


class TestOwnTask(TaskContract):
    """The contract on a task of the user's own."""

    @pytest.fixture(autouse=True)
    def _write(self, tmp_path: Path) -> None:
        self.task = write_task(tmp_path, three())


# ------------------------------------------------------------------------------------- reading


def test_jsonl(file: Path) -> None:
    task = load(file)
    assert task.rows("test")[1] == Example("test text number 1", 1)
    assert (task.manual, task.metric, task.num_classes) == ("It was", "accuracy", 2)


def test_jsonl_skips_blank_lines_and_a_byte_order_mark(tmp_path: Path) -> None:
    content = "\ufeff" + jsonl(ROWS[:2]) + "\n  \n" + jsonl(ROWS[2:4])
    assert len(load(write_task(tmp_path, three("jsonl", content))).rows("train")) == 4


def test_csv_with_quoted_commas_and_line_breaks(tmp_path: Path) -> None:
    content = 'id,body,kind\r\n1,"so, he ""said"" it",angry\r\n2,"two\nlines",0\r\n'
    file = write_task(tmp_path, three("csv", content), text="{body}", label="kind")
    assert load(file).rows("test") == (Example('so, he "said" it', 1), Example("two\nlines", 0))


def test_tsv_takes_quotation_marks_as_they_are(tmp_path: Path) -> None:
    content = 'label\ttext\n1\ta "half quote\n0\t"whole"\n'
    file = write_task(tmp_path, three("tsv", content))
    assert load(file).rows("test") == (Example('a "half quote', 1), Example('"whole"', 0))


def test_published_sets_have_empty_texts(tmp_path: Path) -> None:
    content = jsonl([{"text": " ", "label": 0}, {"text": "b", "label": 1}])
    assert load(write_task(tmp_path, three("jsonl", content))).rows("test")[0] == Example("", 0)


def test_two_columns_and_doubled_braces(tmp_path: Path) -> None:
    content = jsonl([{"a": "one", "b": " two ", "label": "calm"}])
    file = write_task(tmp_path, three("jsonl", content), text="{{{a}}} / {b}")
    assert load(file).rows("test") == (Example("{one} /  two", 0),)


@pytest.mark.parametrize("name", ["text.body", "a[0]", "x:y", "x!r", "0", " a b "])
def test_columns_of_any_name_but_braces(tmp_path: Path, name: str) -> None:
    content = jsonl([{name: "one", "label": 0}])
    file = write_task(tmp_path, three("jsonl", content), text=f"{{{name}}}!")
    assert load(file).rows("test")[0].text == "one!"


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_long_texts_and_capitals_in_a_suffix(tmp_path: Path, suffix: str) -> None:
    long = "word " * 30_000
    mark = {"csv": ",", "tsv": "\t"}.get(suffix, "")
    content = f"text{mark}label\n{long}{mark}0\n" if mark else jsonl([{"text": long, "label": 0}])
    tasks = []
    for written in (suffix, suffix.upper()):
        folder = tmp_path / written
        folder.mkdir()
        tasks.append(load(write_task(folder, three(written, content))))
    assert tasks[0].rows("test")[0].text == long.strip()
    assert tasks[0].digest == tasks[1].digest


def test_an_emoji_as_json_writes_it(tmp_path: Path) -> None:
    content = '{"text": "\\ud83d\\ude00", "label": 0}\n'
    file = write_task(tmp_path, three("jsonl", content), version=None)
    file.write_text(file.read_text() + 'manual: "\\ud83d\\ude00"\n')
    task = load(file)
    assert (task.rows("test")[0].text, task.manual) == ("😀", "😀")


def test_version_1_is_the_default(tmp_path: Path) -> None:
    digests = {load(write_task(tmp_path, three(), version=version)).digest for version in (1, None)}
    assert len(digests) == 1


@pytest.mark.parametrize("words", ["[1e3, bad]", "[fine, 1E-3]"])
def test_a_number_for_a_word_needs_quotes(tmp_path: Path, words: str) -> None:
    file = write_task(tmp_path, three(), label_words=None)
    text = file.read_text()
    file.write_text(f"{text}label_words: {words}\n")
    with pytest.raises(InputError, match=r"label_words.\d.: found .*, a number \(text in quotes\)"):
        load_task(file)
    file.write_text(f"{text}label_words: ['1e3', bad]\n")
    assert load(file).label_words == ("1e3", "bad")


@pytest.mark.parametrize("place", ["task.yaml", "test.jsonl"])
def test_a_named_pipe_is_no_file(tmp_path: Path, place: str) -> None:
    file = write_task(tmp_path, three())
    (tmp_path / place).unlink()
    os.mkfifo(tmp_path / place)
    with pytest.raises(InputError, match=f"{place}.* cannot be read.*no regular file"):
        load_task(file)


def test_braces_in_the_data_are_harmless(tmp_path: Path) -> None:
    content = jsonl([{"text": "{label} {0} {text}", "label": 0}])
    file = write_task(tmp_path, three("jsonl", content))
    assert load(file).rows("test")[0].text == "{label} {0} {text}"


def test_labels_by_index_and_by_name(tmp_path: Path) -> None:
    content = jsonl([{"text": "x", "label": label} for label in (0, "0", "calm", 1, "angry")])
    labels = [row.label for row in load(write_task(tmp_path, three("jsonl", content))).rows("test")]
    assert labels == [0, 0, 0, 1, 1]


def test_classes_named_by_numbers_are_names(tmp_path: Path) -> None:
    content = jsonl([{"text": "x", "label": label} for label in (1, "2", 2)])
    file = write_task(tmp_path, three("jsonl", content), classes=["1", "2"])
    assert [row.label for row in load(file).rows("test")] == [0, 1, 1]


def test_no_and_yes_are_words(tmp_path: Path) -> None:
    file = write_task(tmp_path, three())
    text = file.read_text().replace("label_words:\n- fine\n- bad", "label_words: [no, yes]")
    assert "[no, yes]" in text
    file.write_text(text)
    assert load(file).label_words == ("no", "yes")


def test_relative_to_base_and_pickled(file: Path) -> None:
    task = load_task("task.yaml", base=file.parent)
    assert pickle.loads(pickle.dumps(task)).rows("test") == load(file).rows("test")


# -------------------------------------------------------------------------------------- splits


def test_held_out_parts_are_disjoint_stratified_and_fixed(tmp_path: Path) -> None:
    rows = [{"text": f"row {index}", "label": int(index % 4 == 0)} for index in range(200)]
    splits = {
        "train": "all",
        "validation": {"from": "all", "share": 0.1},
        "test": {"from": "all", "share": 0.25, "seed": 3},
    }
    file = write_task(tmp_path, {"all.jsonl": jsonl(rows)}, splits=splits)
    task = load(file)
    texts = {split: {row.text for row in task.rows(split)} for split in SPLITS}
    assert [len(texts[split]) for split in SPLITS] == [130, 20, 50]
    assert len(set.union(*texts.values())) == 200
    for split in SPLITS:
        angry = Counter(row.label for row in task.rows(split))[1]
        assert abs(angry - len(texts[split]) / 4) <= 1
    # Whichever split is asked for first, the parts are the same.
    again = load_task(file)
    assert again.rows("test") == task.rows("test")
    assert again.rows("train") == task.rows("train")


def test_another_seed_holds_out_other_rows(tmp_path: Path) -> None:
    def validation(seed: int) -> tuple[Example, ...]:
        splits = {"validation": {"from": "train", "share": 0.3, "seed": seed}}
        data = {name: text for name, text in three().items() if "validation" not in name}
        return load(write_task(tmp_path, data, splits=splits)).rows("validation")

    assert validation(0) != validation(1)
    assert validation(0) == validation(0)


def test_limit_keeps_the_proportions(tmp_path: Path) -> None:
    task = load(write_task(tmp_path, three(), limit={"train": 6, "test": 1000}))
    assert Counter(row.label for row in task.rows("train")) == {0: 3, 1: 3}
    assert len(task.rows("test")) == 20


# -------------------------------------------------------------------------------------- digest


def test_digest_follows_content_and_data(tmp_path: Path) -> None:
    first = resolve_task(str(write_task(tmp_path, three()))).digest
    changed = [
        write_task(tmp_path, three(), **fields) and resolve_task(str(tmp_path / "task.yaml")).digest
        for fields in ({"version": 2}, {"manual": "Well"}, {"limit": {"train": 5}})
    ]
    data = three()
    data["test.jsonl"] += jsonl(ROWS[:1])
    changed.append(resolve_task(str(write_task(tmp_path, data))).digest)
    assert len({first, *changed}) == 5


def test_digest_ignores_description_and_place(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    one = write_task(folders[0], three())
    other = write_task(folders[1], three(), description="the same in other words")
    assert resolve_task(str(one)).digest == resolve_task(str(other)).digest


def test_a_changed_task_is_refused(tmp_path: Path) -> None:
    ref = resolve_task(str(write_task(tmp_path, three())))
    assert load_task(ref).digest == ref.digest
    write_task(tmp_path, three(), version=2)
    with pytest.raises(InputError, match=r"own/task .* has changed since it was planned"):
        load_task(ref)


def test_a_packaged_task_is_found_wherever_the_package_is() -> None:
    ref = resolve_task("mini/topics")
    elsewhere = type(ref)(ref.name, "/elsewhere/topics.yaml", ref.digest)
    assert load_task(elsewhere).digest == ref.digest


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


# ----------------------------------------------------------------------------------------- hub


def hub_task(folder: Path, path: str, **hub: str) -> Path:
    return write_task(folder, {}, data={"hub": {"path": path, **hub}})


def test_hub_data_set(tmp_path: Path) -> None:
    """``load_dataset`` takes a folder in the Hub's layout, which needs no network."""
    data = tmp_path / "data"
    data.mkdir()
    for name, content in three().items():
        (data / name).write_text(content)
    task = load(hub_task(tmp_path, str(data)))
    assert task.rows("test") == load(write_task(tmp_path, three())).rows("test")


def test_hub_digest_holds_the_revision(tmp_path: Path) -> None:
    digests = {
        resolve_task(str(hub_task(tmp_path, path, **hub))).digest
        for path, hub in [
            ("a/b", {}),
            ("a/c", {}),
            ("a/b", {"revision": "1.0"}),
            ("a/b", {"revision": "1.1"}),
            ("a/b", {"name": "large"}),
        ]
    }
    assert len(digests) == 5


def test_hub_data_set_that_cannot_be_loaded(tmp_path: Path, monkeypatch: Any) -> None:
    import datasets

    def fail(*args: Any, **kwargs: Any) -> None:
        assert args == ("owner/set", "small")
        assert kwargs == {"split": "test", "revision": "1.0"}
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    task = load_task(hub_task(tmp_path, "owner/set", name="small", revision="1.0"))
    with pytest.raises(InputError) as caught:
        task.rows("test")
    assert str(caught.value).endswith(
        "task.yaml: split 'test' of the data set owner/set (small) cannot be loaded: "
        "ConnectionError: no route to host"
    )


def test_hub_row_is_named(tmp_path: Path, monkeypatch: Any) -> None:
    import datasets

    rows = [{"text": "a", "label": 0}, {"text": "b", "label": 7}]
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **kwargs: rows)
    with pytest.raises(InputError, match="data set owner/set, row 2 has the label 7"):
        load_task(hub_task(tmp_path, "owner/set")).rows("test")
