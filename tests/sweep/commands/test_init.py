"""``sweep init``: columns, splits, words, and files that pass their own checks."""

import csv
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.commands.init.columns import (
    LABEL_NAMES,
    MOST_CLASSES,
    TEXT_NAMES,
    choose_label,
    choose_text,
    profile,
)
from sweep.commands.init.start import start
from sweep.commands.init.texts import flow, relative
from sweep.commands.init.words import SYNONYMS, number_order, propose, typical_words
from sweep.spec.spec import load_spec
from tests.sweep.samples import relaxed
from tests.sweep.test_cli import sweep
from trainables.errors import InputError
from trainables.files.strict_yaml import NumberLoader, WordLoader, load_yaml
from trainables.models.first_look import single_tokens
from trainables.models.names import resolve_model
from trainables.tasks import load_task

LONG = "a text of seven words or so"


def chosen(rows: Sequence[dict[str, Any]], **asked: str | None) -> tuple[str, str]:
    """Names of the text and label columns of some rows."""
    columns, count = profile(enumerate(rows, start=1))
    label = choose_label(columns, count, asked.get("label"), asked.get("text")).column.name
    return choose_text(columns, count, label, asked.get("text")).column.name, label


def table(**columns: Sequence[Any]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


AB = ["a", "b"] * 4
EIGHT = [f"{LONG} {number}" for number in range(8)]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (table(text=EIGHT, label=AB), ("text", "label")),
        (table(label=[1, 0] * 4, text=EIGHT), ("text", "label")),
        (table(id=range(8), words=EIGHT, mark=AB), ("words", "mark")),
        (table(id=[f"x{n}" for n in range(8)], words=EIGHT, mark=AB), ("words", "mark")),
        # A name decides where the values leave it open.
        (table(source=AB, Sentiment=AB[::-1], words=EIGHT), ("words", "Sentiment")),
        (table(tweet=EIGHT, location=EIGHT, label=AB), ("tweet", "label")),
        # Of texts with like names the clearly longer one.
        (table(title=["One"] * 8, body=EIGHT, label=AB), ("body", "label")),
        # True and 0.5 are no labels of a task.
        (table(text=EIGHT, score=[0.5, 1.5] * 4, flag=[True, False] * 4, k=AB), ("text", "k")),
    ],
)
def test_the_columns_are_found(rows: list[dict[str, Any]], expected: tuple[str, str]) -> None:
    assert chosen(rows) == expected


@pytest.mark.parametrize(
    ("rows", "asked", "said"),
    [
        (table(text=EIGHT, one=AB, two=AB[::-1]), {}, "--label: found 'one' and 'two'"),
        (table(one=EIGHT, two=EIGHT, label=AB), {}, "--text: found 'one' and 'two'"),
        (table(text=EIGHT, id=range(8)), {}, "--label: found no column"),
        (table(text=EIGHT, label=["a"] * 8), {}, "'label' has 1 different values"),
        (
            table(text=EIGHT * 6, label=[f"c{n}" for n in range(24)] * 2),
            {},
            "more than 20 different values",
        ),
        (table(text=EIGHT, label=[True, False] * 4), {}, "values of type bool"),
        (table(text=EIGHT, label=["a", "b", "a", " "] * 2), {}, "is empty in line 4"),
        (table(text=EIGHT, label=AB), {"label": "lable"}, "did you mean label?"),
        (table(text=EIGHT, label=AB), {"text": "label", "label": "label"}, "which is the label"),
        (table(n=range(8), label=AB), {}, "--text: found no column of texts"),
        ([*table(text=EIGHT, label=AB), {"text": "x"}], {}, "is in 8 of 9 rows"),
    ],
)
def test_doubts_and_mistakes_are_one_sentence(
    rows: list[dict[str, Any]], asked: dict[str, str], said: str
) -> None:
    with pytest.raises(InputError) as caught:
        chosen(rows, **({"label": "label"} if "is in" in said else asked))
    assert said in str(caught.value) and "allowed: " in str(caught.value)


@relaxed
@given(
    label=st.sampled_from(LABEL_NAMES),
    text=st.sampled_from(TEXT_NAMES),
    classes=st.integers(2, MOST_CLASSES),
    each=st.integers(2, 4),
    order=st.randoms(use_true_random=False),
)
def test_well_named_columns_are_found_in_any_order(
    label: str, text: str, classes: int, each: int, order: random.Random
) -> None:
    rows = classes * each
    columns: list[tuple[str, list[Any]]] = [
        ("row_id", list(range(rows))),
        (text, [f"{LONG} {number}" for number in range(rows)]),
        (label, [f"c{number % classes}" for number in range(rows)]),
        ("url", [f"http://x/{number}" for number in range(rows)]),
    ]
    order.shuffle(columns)
    assert chosen(table(**dict(columns))) == (text, label)


@relaxed
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_written_as_it_is_read(value: str) -> None:
    for loader in (NumberLoader, WordLoader):
        assert load_yaml(f"a: [{flow(value)}]", "", loader) == {"a": [value]}


POCKET = [resolve_model(name) for name in load_spec("quickstart").sources]


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (["bad", "good"], ["bad", "good"]),
        # "negative" is no single token of all: then both are synonyms.
        (["negative", "positive"], ["bad", "good"]),
        (["0", "1"], ["no", "yes"]),
        (["1", "2", "3", "4", "5"], ["terrible", "bad", "okay", "good", "great"]),
        (["World News", "Sports"], ["world", "sports"]),
        (["not_good", "good"], ["no", "good"]),
    ],
)
def test_words_come_from_names_and_the_table(classes: list[str], words: list[str]) -> None:
    assert [word for word, _ in propose(classes, POCKET, [])] == words


def test_other_words_are_typical_of_the_texts() -> None:
    texts = [("the cheap money offer", 0), ("more money", 0), ("the house", 1), ("a house", 1)]
    first, second = typical_words(texts, 2)
    assert (first[0], second[0]) == ("money", "house")
    found = propose(["zzqx", "qqzx"], POCKET, texts)
    assert [word for word, _ in found] == ["money", "house"]
    assert [word for word, _ in propose(["zzqx", "qqzx"], POCKET, [])] == ["one", "two"]


def test_the_table_holds_words_for_each_class_that_a_small_model_knows() -> None:
    """At least one synonym of a class is one token everywhere: else its line is of no use."""
    words = {word for words in SYNONYMS.values() for word in words}
    known = [single_tokens(model, words) for model in POCKET]
    useless = [
        name
        for name, synonyms in SYNONYMS.items()
        if not any(all(word in table for table in known) for word in synonyms)
    ]
    assert not useless


def test_files_are_named_from_the_folder_they_are_written_to(tmp_path: Path) -> None:
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    data = tmp_path / "data.csv"
    assert relative(data, tmp_path) == "data.csv"
    assert relative(data, tmp_path / "new" / "out") == "../../data.csv"
    assert relative(data, tmp_path / "link") == "../../data.csv"
    assert relative(data, Path("/elsewhere")) == data.resolve().as_posix()


def test_classes_are_in_a_fixed_order() -> None:
    assert number_order(["10", "9", "-1"]) == ["-1", "9", "10"]
    assert number_order(["10", "b", "a"]) == ["10", "a", "b"]


def write_csv(path: Path, rows: Sequence[Sequence[str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def labelled(count: int = 30, classes: Sequence[str] = ("ham", "no")) -> list[list[str]]:
    rows = [
        [f"{LONG} {n}, {classes[n % len(classes)]}", classes[n % len(classes)]]
        for n in range(count)
    ]
    return [["text", "label"], *rows]


@pytest.mark.slow
def test_one_file_becomes_a_task_and_a_spec(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_csv(tmp_path / "my tweets.csv", labelled(60))
    out = tmp_path / "new" / "folder"
    assert sweep("init", "--data", str(data), "--out", str(out)) == 0
    said = capsys.readouterr().out
    for part in ("60 rows", "ham 30, no 30", "train 36, validation 12, test 12", "by its name"):
        assert part in said
    task = load_task(out / "task.yaml")
    assert (task.name, task.classes, task.label_words) == (
        "my-tweets",
        ("ham", "no"),
        ("ham", "no"),
    )
    assert len(task.rows("train")) == 36
    spec = load_spec(str(out / "spec.yaml"))
    assert spec.sources == load_spec("quickstart").sources
    assert [way.solver for way in spec.transfer] == ["closed_form", "readout", "distil"]
    assert f"sweep plan '{out / 'spec.yaml'}'" in said or f"sweep plan {out / 'spec.yaml'}" in said
    assert sweep("plan", str(out / "spec.yaml")) == 0
    before = {path: path.read_bytes() for path in out.iterdir()}
    capsys.readouterr()
    assert sweep("init", "--data", str(data), "--out", str(out)) == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in out.iterdir()}


def test_a_folder_with_splits_and_a_file_without_labels(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    write_csv(folder / "train.csv", labelled(40))
    with (folder / "dev.jsonl").open("w") as file:
        for text, label in labelled(10)[1:]:
            file.write(json.dumps({"label": label, "text": text}) + "\n")
    write_csv(folder / "test.csv", [["text"], ["nobody knows"]])
    said = start(folder, tmp_path)
    assert "test.csv has no column 'label' and is left out" in said
    task = load_task(tmp_path / "task.yaml")
    assert [len(task.rows(split)) for split in ("train", "validation", "test")] == [32, 10, 8]


@pytest.mark.slow
def test_models_are_sources_and_a_target(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "data.csv", labelled())
    start(data, tmp_path / "one", ["pocket-bert"])
    one = load_spec(str(tmp_path / "one" / "spec.yaml"))
    assert one.targets == ("pocket-bert",) and "pocket-bert" not in one.sources
    start(data, tmp_path / "two", ["pocket-gpt2", "pocket-bert"])
    two = load_spec(str(tmp_path / "two" / "spec.yaml"))
    assert (two.sources, two.targets, two.pairs) == (("pocket-gpt2",), ("pocket-bert",), ())


def _content(kind: str) -> bytes:
    rows = labelled(8)
    texts = {
        "empty.csv": "",
        "header.csv": "text,label\n",
        "one.csv": "text\na\nb\n",
        "semicolons.csv": "text;label\na;b\n",
        "headless.csv": "\n".join(
            ",".join(row) for row in [["a", "ham"], *[["b", "ham"], ["c", "no"]] * 4]
        ),
        "ragged.csv": "text,label\na\n",
        "few.csv": "\n".join(
            "\t".join(row).replace(",", "").replace("\t", ",") for row in rows[:5]
        ),
        "class.csv": "text,label\n" + "a b c,x\n" * 9,
        "broken.jsonl": '{"text": \n',
        "brace.jsonl": "".join(
            json.dumps({"te{xt": f"{LONG} {n}", "label": n % 2}) + "\n" for n in range(30)
        ),
    }
    special = {
        "binary.csv": b"\x80\x00\xff" * 50,
        "latin.csv": "text,label\nÄrger,a\n".encode("latin-1"),
    }
    return special[kind] if kind in special else texts[kind].encode()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.csv", "--data: found no "),
        ("folder", "found no data file"),
        ("data.xlsx", "allowed: files that end in .jsonl, .csv, .tsv"),
        ("empty.csv", "holds no rows"),
        ("header.csv", "holds no rows"),
        ("one.csv", "has one column, 'text'"),
        ("semicolons.csv", "separated by ';'"),
        ("headless.csv", "a first line with the names"),
        ("ragged.csv", "has 1 values"),
        ("few.csv", "has no row in"),
        ("class.csv", "has 1 different values"),
        ("broken.jsonl", "is not valid JSON"),
        ("brace.jsonl", "a name without braces"),
        ("binary.csv", "is not UTF-8 text"),
        ("latin.csv", "is not UTF-8 text"),
    ],
)
def test_bad_data_is_one_sentence_and_writes_nothing(
    name: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / name
    if name == "folder":
        place.mkdir()
    elif name == "data.xlsx":
        place.write_bytes(b"PK")
    elif not name.startswith("missing"):
        place.write_bytes(_content(name))
    assert sweep("init", "--data", str(place), "--out", str(tmp_path / "out")) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_column_may_be_called_like_one_of_its_values(tmp_path: Path) -> None:
    rows = [["phrase", "spam"], *[[f"{LONG} {n}", ("spam", "not spam")[n % 2]] for n in range(30)]]
    data = write_csv(tmp_path / "data.csv", rows)
    with pytest.raises(InputError, match="or --text and --label where these are names"):
        start(data, tmp_path)
    start(data, tmp_path, text="phrase", label="spam")
    assert load_task(tmp_path / "task.yaml").classes == ("not spam", "spam")
