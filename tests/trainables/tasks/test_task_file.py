"""Task files: what they may hold and how data is read."""

import os
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.trainables.tasks.task_files import ROWS, hub_task, jsonl, load, three, write_task
from trainables.errors import InputError
from trainables.tasks import SPLITS, Example, load_task, resolve_task
from trainables.testing.task_contract import TaskContract


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


def test_digest_ignores_description_type_and_place(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    one = write_task(folders[0], three())
    other = write_task(folders[1], three(), description="the same in other words", type="topic")
    found = [resolve_task(str(path)) for path in (one, other)]
    assert found[0].digest == found[1].digest
    assert [ref.type for ref in found] == ["", "topic"]


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


# ----------------------------------------------------------------------------------------- hub


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
