"""Pretext tasks of a corpus of six documents, held against their definitions one row at a time."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.trainables.pretext.corpus import DOCUMENTS, SHORT, TWICE, WHERE, write_corpus
from trainables.errors import InputError
from trainables.pretext.build import Asked, build, letter_task
from trainables.pretext.documents import parted, read_documents, sentences_of
from trainables.pretext.labeller import labelled_for, read_labels
from trainables.tasks import SPLITS, load_task

ROWS, HELD = 60, 18
Rows = dict[str, list[dict[str, Any]]]


def rows_of(folder: Path, name: str) -> Rows:
    files = {split: folder / name / f"{split}.jsonl" for split in SPLITS}
    return {
        split: [json.loads(line) for line in file.read_text().splitlines()]
        for split, file in files.items()
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pretext")
    build(DOCUMENTS, place, Asked(("nsp", "nss"), rows=ROWS, held_rows=HELD))
    build(DOCUMENTS, place, Asked(("unified",), rows=150, held_rows=15))
    return place


def split_of() -> dict[int, str]:
    """Of each document its split."""
    found = {}
    for split, documents in parted(DOCUMENTS, 0.1, 0).items():
        found |= {DOCUMENTS.index(document.sentences): split for document in documents}
    return found


def options_of(text: str) -> list[str]:
    """Options that stand behind letters, read back."""
    return [item.strip() for item in re.split(r"(?:^| )[A-P]\. ", text)[1:]]


def test_two_documents_and_more_of_each_split() -> None:
    assert Counter(split_of().values()) == {"train": 2, "validation": 2, "test": 2}


def test_pairs_are_neighbours_of_one_document_or_of_two(folder: Path) -> None:
    splits = split_of()
    for split, rows in rows_of(folder, "nsp").items():
        assert len({(row["first"], row["second"]) for row in rows}) == len(rows)
        wanted = (ROWS if split == "train" else HELD) // 3
        assert Counter(row["label"] for row in rows) == {
            "neighbours": wanted, "same_document": wanted, "other_document": wanted
        }  # fmt: skip
        for row in rows:
            assert SHORT not in row.values()
            if TWICE in row.values():
                continue
            one, other = WHERE[row["first"]], WHERE[row["second"]]
            assert splits[one[0]] == splits[other[0]] == split
            near = one[0] == other[0] and abs(one[1] - other[1]) == 1
            same = one[0] == other[0] and abs(one[1] - other[1]) > 1
            assert row["label"] == (
                "neighbours" if near else "same_document" if same else "other_document"
            )


def test_no_sentence_of_a_held_out_document_is_trained_on(folder: Path) -> None:
    splits = split_of()
    texts = {name: (folder / name / "train.jsonl").read_text() for name in ("nsp", "nss")}
    for number, document in enumerate(DOCUMENTS):
        if splits[number] != "train":
            for sentence in document:
                assert all(sentence not in text for text in texts.values())
    # The sentence that two documents share is in the examples of one split at most.
    found = [split for split, rows in rows_of(folder, "nsp").items() if TWICE in json.dumps(rows)]
    assert len(found) <= 1


@pytest.mark.parametrize("name", ["nss", "unified"])
def test_one_option_is_a_neighbour_and_so_many_are_of_the_document(folder: Path, name: str) -> None:
    for split, rows in rows_of(folder, name).items():
        for row in rows:
            options = options_of(row["options"])
            count = len(options)
            assert 2 <= count <= 16 and (name == "unified" or count == 6)
            known = {text: WHERE[text] for text in options if text != TWICE}
            document, place = WHERE.get(row["sentence"], (-1, -1))
            if document < 0 or len(known) < count:
                continue
            beside = ((document, place - 1), (document, place + 1))
            near = [text for text, at in known.items() if at in beside]
            assert near == [options["ABCDEFGHIJKLMNOP".index(row["label"])]]
            same = [at for at in known.values() if at[0] == document]
            assert len(same) == 1 + (1 if count <= 6 else 2 if count <= 10 else 3)
            assert {split_of()[at[0]] for at in known.values()} == {split}


def test_every_place_is_as_often_right_as_the_others(folder: Path) -> None:
    places: dict[int, Counter[str]] = {}
    for row in rows_of(folder, "unified")["train"]:
        places.setdefault(len(options_of(row["options"])), Counter())[row["label"]] += 1
    assert set(places) == set(range(2, 17))
    assert {sum(counts.values()) for counts in places.values()} == {150 // 15}
    for size, counts in places.items():
        assert set(counts) <= set("ABCDEFGHIJKLMNOP"[:size])
        most = max(counts.values())
        assert most - min(counts[letter] for letter in "ABCDEFGHIJKLMNOP"[:size]) <= 1
    six = Counter(row["label"] for row in rows_of(folder, "nss")["train"])
    assert six == dict.fromkeys("ABCDEF", ROWS // 6)


def test_wrong_options_stand_in_any_order(folder: Path) -> None:
    """Where the option of the same document stands among five wrong ones: a χ² of 4 degrees."""
    build(DOCUMENTS, folder / "many", Asked(("nss",), rows=400, held_rows=6, seed=1))
    seen: Counter[int] = Counter()
    for row in rows_of(folder / "many", "nss")["train"]:
        options = options_of(row["options"])
        options.pop("ABCDEF".index(row["label"]))
        places = [WHERE.get(text, (-1, 0))[0] for text in options]
        document = WHERE.get(row["sentence"], (-2, 0))[0]
        if places.count(document) == 1:
            seen[places.index(document)] += 1
    expected = sum(seen.values()) / 5
    assert expected > 50
    assert sum((seen[place] - expected) ** 2 / expected for place in range(5)) < 18.5  # p = 0.001


def test_they_are_tasks_like_others_and_the_same_for_the_same_seed(
    folder: Path, tmp_path: Path
) -> None:
    build(DOCUMENTS, tmp_path, Asked(("nsp", "nss"), rows=ROWS, held_rows=HELD))
    for name, words in (("nsp", ("yes", "maybe", "no")), ("nss", tuple("ABCDEF"))):
        task, again = load_task(folder / f"{name}.yaml"), load_task(tmp_path / f"{name}.yaml")
        assert task.digest == again.digest
        assert (task.name, task.label_words) == (f"pretext/{name}", words)
        assert len(task.rows("train")) == ROWS
    other = tmp_path / "other"
    build(DOCUMENTS, other, Asked(("nsp",), rows=ROWS, held_rows=HELD, seed=5))
    assert load_task(other / "nsp.yaml").digest != load_task(folder / "nsp.yaml").digest
    with pytest.raises(InputError, match=r"--out: found .*; allowed: .* nothing is overwritten"):
        build(DOCUMENTS, other, Asked(("nsp",), rows=ROWS, held_rows=HELD))


def test_options_are_cut(tmp_path: Path) -> None:
    build(DOCUMENTS, tmp_path, Asked(("nss",), rows=6, held_rows=6, option_words=6))
    for row in rows_of(tmp_path, "nss")["train"]:
        assert all(len(item.split()) <= 6 for item in options_of(row["options"]))
    with pytest.raises(InputError, match=r"pretext/nss, train: rows: found 6"):
        build(DOCUMENTS, tmp_path / "x", Asked(("nss",), rows=6, held_rows=6, option_words=1))


@pytest.mark.parametrize("name", ["mini/reviews", "mini/topics", "mrpc_pair"])
def test_letters_and_classes_go_back_and_forth(name: str, tmp_path: Path) -> None:
    plain = load_task(name)
    task = load_task(letter_task(plain, tmp_path))
    assert (task.name, task.classes) == (f"letters/{name}", plain.classes)
    template = task.text if task.pair is None else task.pair
    options = options_of(template.removeprefix(plain.pair or plain.text))
    for number, letter in enumerate(task.label_words):
        assert options["ABCDEFGH".index(str(letter))] == plain.label_words[number]
    if plain.pair is None:
        rows, kept = task.rows("test"), plain.rows("test")
        assert [row.label for row in rows] == [row.label for row in kept]
        assert rows[0].text == f"{kept[0].text} {template.removeprefix('{text} ')}"


def test_pseudo_labels_count_where_they_are_sure(tmp_path: Path) -> None:
    task = load_task("mini/reviews")
    shares = {
        text: (1 - good, good)
        for text, (number, place) in WHERE.items()
        for good in [[0.99, 0.8, 0.4, 0.05][place % 4]]
    }
    labelled = labelled_for(task, shares, (0.9, 0.7))
    asked = Asked(("pseudo",), rows=8, held_rows=8, labelled=labelled)
    build(DOCUMENTS, tmp_path, asked)
    for split, rows in rows_of(tmp_path, "pseudo").items():
        counts = Counter(row["label"] for row in rows)
        assert counts["negative"] == counts["positive"] > 0
        for row in rows:
            number, place = WHERE[row["text"]]
            # negative needs 0.9: only places 3, 7, … have it; positive 0.7: places 0, 1, 4, 5, …
            assert row["label"] == {0: "positive", 1: "positive", 3: "negative"}[place % 4]
            assert split_of()[number] == split
    built = load_task(tmp_path / "pseudo.yaml")
    assert (built.classes, built.label_words) == (task.classes, task.label_words)
    sure = labelled_for(task, shares, (0.96,))
    with pytest.raises(InputError, match=r"confidence: found 0\.96 for class 'negative', which no"):
        build(DOCUMENTS, tmp_path / "x", Asked(("pseudo",), rows=8, held_rows=8, labelled=sure))


def test_files_of_labels(tmp_path: Path) -> None:
    task = load_task("mini/reviews")
    file = tmp_path / "labels.jsonl"
    file.write_text(
        '{"text": "one  text", "label": "positive"}\n\n{"text": "two", "label": 0}\n'
        '{"text": "three", "probabilities": [0.25, 0.75]}\n'
    )
    assert read_labels(file, task) == {
        "one text": [0.0, 1.0], "two": [1.0, 0.0], "three": [0.25, 0.75]
    }  # fmt: skip
    for line in ('{"text": "x", "label": "good"}', '{"text": "x", "probabilities": [1, 1]}', "[]"):
        file.write_text(line)
        with pytest.raises(InputError, match=r"line 1: found .*allowed: \"text\" with \"label\""):
            read_labels(file, task)
    with pytest.raises(
        InputError, match=r"--confidence: found 0\.5,0\.5,0\.5; allowed: one number"
    ):
        labelled_for(task, {}, (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One two. Three four! Five?", ["One two.", "Three four!", "Five?"]),
        ('He said "No." Mr. Smith left.\nMrs. B. Jones too.',
         ['He said "No."', "Mr. Smith left.", "Mrs. B. Jones too."]),
        ("about 3.5 per cent. of it.  It rose", ["about 3.5 per cent. of it.", "It rose"]),
        ("   ", []),
    ],
)  # fmt: skip
def test_texts_become_sentences(text: str, sentences: list[str]) -> None:
    assert list(sentences_of(text)) == sentences


def test_documents_of_all_forms(tmp_path: Path) -> None:
    text = "A one. B two. C three. D four. E five."
    lines = tmp_path / "corpus.jsonl"
    forms: list[Any] = [text, {"text": text}, {"sentences": text.replace(".", ".|").split("|")}]
    lines.write_text("\n".join(map(json.dumps, [*forms, list("abcde"), "Short. One."])))
    known = ("A one.", "B two.", "C three.", "D four.", "E five.")
    plain = tmp_path / "corpus.txt"
    plain.write_text(f"{text.replace('. ', '.{}').format(*'    ')}\n \n\nShort. One.\n")
    for file in (lines, plain):
        found = read_documents(file)
        assert [item for item in found if len(item) == 5 and item[0] != "a"]
        assert all(len(item) == 5 for item in found)
    assert read_documents(lines) == [known, known, known, tuple("abcde")]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("x.csv", "", r"CORPUS: found '.*x.csv'; allowed: a file that ends in .jsonl or .txt"),
        ("x.txt", "One. Two.\n\nThree.", r"found 2 documents, the longest with 2 sentences"),
        ("x.jsonl", "", r"found 0 documents, the longest with 0"),
        ("x.jsonl", "{", r"line 1 is no JSON"),
        ("x.jsonl", "[1]", r"line 1: found \[1\]; allowed: a list of sentences"),
        ("x.jsonl", '{"words": []}', r"line 1: found .*allowed: a list of sentences"),
    ],
)
def test_what_is_no_corpus_is_refused(
    name: str, content: str, sentence: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=sentence):
        read_documents(tmp_path / name)
    with pytest.raises(InputError, match="cannot be read"):
        read_documents(tmp_path / "nothing.txt")


def test_too_few_documents_are_refused(tmp_path: Path) -> None:
    sentence = "CORPUS: found 5 documents of 5 sentences and more; allowed: at least 6"
    with pytest.raises(InputError, match=sentence):
        parted(DOCUMENTS[:5], 0.1, 0)
    with pytest.raises(InputError, match=r"pretext/nsp, train: rows: found 9,000, but 2 documents"):
        build(DOCUMENTS, tmp_path, Asked(("nsp",), rows=9000, held_rows=3))
    assert not list(tmp_path.iterdir())
    read = write_corpus(tmp_path / "c.jsonl")
    assert read_documents(read) == DOCUMENTS
