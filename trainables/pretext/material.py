"""What a kind of pretext task gets and gives, and how examples are drawn for a list of wishes."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from trainables.core.texts import Word
from trainables.errors import InputError
from trainables.pretext.documents import Document

Row = Mapping[str, Any]
T = TypeVar("T")
_PASSES = 3
"""Fruitless passes over all sentences after which there is no further example."""


@dataclass(frozen=True)
class Labelled:
    """What a labeller says of sentences.

    Attributes:
        classes: C names.
        label_words: likewise, of the task that it labels for.
        probabilities: of each class, by sentence.
        confidence: per class the least probability with which a label counts.
        scoring: of that task.
    """

    classes: tuple[str, ...]
    label_words: tuple[Word, ...]
    probabilities: Mapping[str, Sequence[float]]
    confidence: tuple[float, ...]
    scoring: str | None = None


@dataclass(frozen=True)
class Material:
    """What examples of one split are made of.

    Attributes:
        documents: of this split.
        rows: examples that are wanted.
        random: draws; another one for each kind and split.
        option_words: words that an option of a multiple choice is cut to.
        labelled: labels of sentences, for the kind that needs them.
    """

    documents: Sequence[Document]
    rows: int
    random: random.Random
    option_words: int
    labelled: Labelled | None = None


@dataclass(frozen=True)
class Anchor:
    """The sentence that an example is about: its document and the sentence's place there."""

    document: int
    place: int


@dataclass(frozen=True)
class Kind:
    """A kind of pretext task, an entry of :data:`trainables.core.registries.PRETEXTS`.

    Attributes:
        description: one line for people.
        fields: the task file's, but for name, description and data; of the labels where it needs
            them.
        rows: the examples of a split.
        labelled: whether it needs labels of sentences.
    """

    description: str
    fields: Callable[[Labelled | None], dict[str, Any]]
    rows: Callable[[Material], list[Row]]
    labelled: bool = False


def balanced(values: Sequence[T], count: int, draws: random.Random) -> list[T]:
    """``count`` of the values in random order, each as often as the others or once more."""
    whole, rest = divmod(count, len(values))
    found = [*values] * whole + draws.sample(list(values), rest)
    draws.shuffle(found)
    return found


def drawn(
    material: Material, wishes: Sequence[T], make: Callable[[Anchor, T], Row | None]
) -> list[Row]:
    """One example for each wish, none twice; sentences take turns in shuffled passes.

    Args:
        wishes: e.g. the class of each example.
        make: the example of a sentence and a wish; None where the sentence has none.

    Raises:
        InputError: the documents do not have so many.
    """
    anchors = [
        Anchor(number, place)
        for number, document in enumerate(material.documents)
        for place in document.usable
    ]
    found: dict[str, Row] = {}
    turns: list[Anchor] = []
    for wish in wishes:
        for _ in range(_PASSES * len(anchors) + 1):
            if not turns:
                turns = material.random.sample(anchors, len(anchors))
            row = make(turns.pop(), wish) if turns else None
            if row is not None and str(row) not in found:
                found[str(row)] = row
                break
        else:
            raise InputError(
                f"rows: found {len(wishes):,}, but {len(material.documents):,} documents have no"
                f" further example after {len(found):,}; allowed: at most about so many, or more"
                " documents"
            )
    return list(found.values())


def others(material: Material, document: int, count: int) -> list[int]:
    """``count`` documents that are not this one, or as many as there are; with usable sentences."""
    known = [
        number
        for number, item in enumerate(material.documents)
        if number != document and item.usable
    ]
    return material.random.sample(known, min(count, len(known)))


def neighbours(material: Material, anchor: Anchor) -> list[str]:
    """The sentences before and behind, as far as examples may have them."""
    document = material.documents[anchor.document]
    beside = (anchor.place - 1, anchor.place + 1)
    return [document.sentences[place] for place in beside if place in document.usable]


def apart(material: Material, anchor: Anchor) -> list[str]:
    """Sentences of the same document that are neither this one nor its neighbours, nor alike."""
    document = material.documents[anchor.document]
    near = document.sentences[max(0, anchor.place - 1) : anchor.place + 2]
    far = (place for place in document.usable if abs(place - anchor.place) > 1)
    return [document.sentences[place] for place in far if document.sentences[place] not in near]


def foreign(material: Material, anchor: Anchor, document: int) -> list[str]:
    """Sentences of another document that this one's does not have too."""
    own = set(material.documents[anchor.document].sentences)
    other = material.documents[document]
    return [other.sentences[place] for place in other.usable if other.sentences[place] not in own]
