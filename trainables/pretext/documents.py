"""Ordered documents: read, split into sentences, and parted into training and held-out ones."""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from trainables.errors import InputError, show
from trainables.files.text_files import check_characters, load_json, read_text
from trainables.tasks.splits import SPLITS

LEAST_SENTENCES = 5
"""Sentences of a document, as in PPT's released code: fewer may have no two that are apart."""
LEAST_WORDS = 5
"""Words of a sentence that may stand in an example (the released code: tokens)."""
LEAST_DOCUMENTS = 2
"""Documents of a split: a sentence of another document must be there."""
FORMATS = (".jsonl", ".txt")

Sentences = tuple[str, ...]
_END = re.compile(r"[.!?][\"'”’)\]]*\s+(?=[\"'“‘(\[]?[A-Z0-9])")
_SHORTENED = re.compile(r"\b(?:[A-Z]|Mrs?|Ms|Dr|St|Prof|Messrs|Col|Capt|Gen|Rev|Sr|Jr|vs)\.$")


@dataclass(frozen=True)
class Document:
    """One document of a split.

    Attributes:
        sentences: all of them, in order: neighbours here are neighbours in the text.
        barred: sentences that no example of this split may have.
    """

    sentences: Sentences
    barred: frozenset[str] = frozenset()

    @cached_property
    def usable(self) -> tuple[int, ...]:
        """Places of the sentences that examples may have."""
        return tuple(
            place
            for place, sentence in enumerate(self.sentences)
            if len(sentence.split()) >= LEAST_WORDS and sentence not in self.barred
        )


def sentences_of(text: str) -> Sentences:
    """A text cut behind each full stop, exclamation or question mark that a capital follows.

    Not behind initials and a few common abbreviations. White space becomes one space.
    """
    text = " ".join(text.split())
    found, begin = [], 0
    for match in _END.finditer(text):
        if not _SHORTENED.search(text[begin : match.start() + 1]):
            found.append(text[begin : match.end()].strip())
            begin = match.end()
    return tuple(item for item in (*found, text[begin:].strip()) if item)


def read_documents(path: Path) -> list[Sentences]:
    """The documents of a file, in its order.

    Args:
        path: JSON lines, each a document: a list of sentences, or an object with such a list as
            ``sentences`` or a text as ``text``; or plain text with blank lines between documents.

    Raises:
        InputError: it cannot be read, a line is no document, or none has enough sentences.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(
            f"CORPUS: found {show(str(path))}; allowed: a file that ends in {' or '.join(FORMATS)}"
        )
    text = read_text(path, f"CORPUS {path}")
    every = list(_from_lines(text, path) if path.suffix.lower() == ".jsonl" else _from_text(text))
    longest = max(map(len, every), default=0)
    if longest < LEAST_SENTENCES:
        raise InputError(
            f"CORPUS {path}: found {len(every):,} documents, the longest with {longest} sentences;"
            f" allowed: documents with {LEAST_SENTENCES} and more, in which a sentence has others"
            " that are no neighbours"
        )
    return [item for item in every if len(item) >= LEAST_SENTENCES]


def _from_text(text: str) -> Iterator[Sentences]:
    yield from map(sentences_of, re.split(r"\n\s*\n", text))


def _from_lines(text: str, path: Path) -> Iterator[Sentences]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"CORPUS {path}: line {number}"
        try:
            found = load_json(line)
        except ValueError as error:
            raise InputError(f"{where} is no JSON ({error})") from None
        yield _sentences(found, where)


def _sentences(found: Any, where: str) -> Sentences:
    value = found.get("sentences", found.get("text")) if isinstance(found, dict) else found
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(item, str) for item in texts):
        raise InputError(
            f"{where}: found {show(found)}; allowed: a list of sentences, or an object with"
            ' "sentences" (such a list) or "text"'
        )
    for item in texts:
        check_characters(item, where)
    if isinstance(value, str):
        return sentences_of(value)
    return tuple(" ".join(item.split()) for item in texts if item.strip())


def parted(documents: Sequence[Sentences], share: float, seed: int) -> dict[str, list[Document]]:
    """Documents by split, at random; every document is in one.

    A sentence that also occurs in a document of a later split (validation, test) is barred from the
    examples of an earlier one: no sentence of a held-out document is trained on.

    Args:
        documents: with at least :data:`LEAST_SENTENCES` sentences each.
        share: of the documents for each of validation and test; at least two go there.
        seed: of the choice.

    Raises:
        InputError: there are too few.
    """
    held = max(LEAST_DOCUMENTS, round(share * len(documents)))
    if len(documents) < 2 * held + LEAST_DOCUMENTS:
        raise InputError(
            f"CORPUS: found {len(documents)} documents of {LEAST_SENTENCES} sentences and more;"
            f" allowed: at least {2 * held + LEAST_DOCUMENTS}, {LEAST_DOCUMENTS} to train on and"
            f" {held} each for validation and test"
        )
    order = list(range(len(documents)))
    random.Random(f"pretext|parted|{seed}").shuffle(order)
    places = {
        "test": order[:held],
        "validation": order[held : 2 * held],
        "train": order[2 * held :],
    }
    barred: frozenset[str] = frozenset()
    found: dict[str, list[Document]] = {}
    for split, chosen in places.items():
        mine = [documents[place] for place in sorted(chosen)]
        found[split] = [Document(item, barred) for item in mine]
        barred = barred.union(*mine)
    return {split: found[split] for split in SPLITS}
