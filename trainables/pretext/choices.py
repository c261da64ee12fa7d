"""Which of several sentences stands beside this one: letters as answers (PPT's NSS, unified form).

One option is a neighbour (before or behind), one of six others is of the same document and the
rest of others (Gu et al. 2022). Of more options up to three are of the same document.
"""

from collections.abc import Callable, Sequence
from string import ascii_uppercase
from typing import Any

from trainables.pretext.material import (
    Anchor,
    Kind,
    Labelled,
    Material,
    Row,
    apart,
    balanced,
    drawn,
    foreign,
    neighbours,
    others,
)

SIX = (6,)
UNIFIED = range(2, 17)
"""Numbers of options of the unified form."""
DOCUMENTS = 4
"""Other documents that options come from, at most."""
QUESTION_WORDS = 3
"""The sentence itself is cut to so many times the words of an option."""


def letters(count: int) -> list[str]:
    """The first letters of the alphabet, one an option."""
    return list(ascii_uppercase[:count])


def lettered(options: Sequence[str]) -> str:
    """Options behind their letters: ``A. this B. that``."""
    return " ".join(
        f"{letter}. {option}" for letter, option in zip(letters(len(options)), options, strict=True)
    )


def same_document(options: int) -> int:
    """How many of so many options are of the same document, but no neighbour."""
    return 1 + (options > 6) + (options > 10)


def _cut(sentence: str, words: int) -> str:
    return " ".join(sentence.split()[:words])


def _wrong(material: Material, anchor: Anchor, count: int) -> list[str] | None:
    """The other options; None where there are too few. From other documents in equal parts."""
    near = apart(material, anchor)
    same = same_document(count + 1)
    if len(near) < same:
        return None
    found = material.random.sample(near, same)
    chosen = others(material, anchor.document, min(DOCUMENTS, count - same)) if count > same else []
    for number, document in enumerate(chosen):
        wanted = len(range(number, count - same, len(chosen)))
        there = [item for item in foreign(material, anchor, document) if item not in found]
        if len(there) < wanted:
            return None
        found += material.random.sample(there, wanted)
    return found if len(found) == count else None


def _rows(sizes: Sequence[int]) -> Callable[[Material], list[Row]]:
    def rows(material: Material) -> list[Row]:
        def make(anchor: Anchor, wish: tuple[int, int]) -> Row | None:
            size, place = wish
            right = neighbours(material, anchor)
            wrong = _wrong(material, anchor, size - 1) if right else None
            if wrong is None:
                return None
            material.random.shuffle(wrong)
            every = [*wrong[:place], material.random.choice(right), *wrong[place:]]
            options = [_cut(item, material.option_words) for item in every]
            if len(set(options)) < size:
                return None
            sentence = material.documents[anchor.document].sentences[anchor.place]
            return {
                "sentence": _cut(sentence, QUESTION_WORDS * material.option_words),
                "options": lettered(options),
                "label": ascii_uppercase[place],
            }

        counts = balanced(sizes, material.rows, material.random)
        wishes = [
            (size, place)
            for size in sizes
            for place in balanced(range(size), counts.count(size), material.random)
        ]
        material.random.shuffle(wishes)
        return drawn(material, wishes, make)

    return rows


def _fields(sizes: Sequence[int]) -> Callable[[Labelled | None], dict[str, Any]]:
    def fields(labelled: Labelled | None) -> dict[str, Any]:
        return {
            "type": "pretext",
            "text": "{sentence} {options}",
            "classes": letters(max(sizes)),
            "label_words": letters(max(sizes)),
            "manual": "The correct one is",
        }

    return fields


nss = Kind("Which of six sentences stands beside this one.", _fields(SIX), _rows(SIX))
unified = Kind(
    "Which of 2 to 16 sentences stands beside this one.", _fields(UNIFIED), _rows(UNIFIED)
)
