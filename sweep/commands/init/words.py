"""Label words for classes that nobody has chosen any for: single tokens on all models."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from trainables.core.cells import ModelRef
from trainables.errors import InputError
from trainables.models.first_look import TOKENIZER, is_local, single_tokens

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "negative": ("bad", "terrible"),
    "neg": ("bad", "terrible"),
    "positive": ("good", "great"),
    "pos": ("good", "great"),
    "neutral": ("okay", "fine", "normal"),
    "mixed": ("both", "okay"),
    "spam": ("free", "offer"),
    "ham": ("friend", "normal"),
    "true": ("yes", "right"),
    "false": ("no", "wrong"),
    "real": ("true", "right"),
    "fake": ("false", "wrong"),
    "entailment": ("yes", "true"),
    "contradiction": ("no", "false"),
    "equivalent": ("same", "yes"),
    "different": ("other", "no"),
    "offensive": ("rude", "bad"),
    "toxic": ("rude", "bad"),
    "hate": ("hatred", "bad"),
    "irony": ("joke", "funny"),
    "sarcasm": ("joke", "funny"),
    "sport": ("sports", "game"),
    "sports": ("game", "team"),
    "politics": ("government", "political"),
    "business": ("money", "company"),
    "technology": ("computer", "science"),
    "tech": ("technology", "computer"),
    "entertainment": ("music", "film"),
    "urgent": ("now", "emergency"),
    "complaint": ("problem", "bad"),
    "praise": ("thanks", "good"),
    "question": ("what", "how"),
    "joy": ("happy", "good"),
    "anger": ("angry", "mad"),
    "sadness": ("sad", "sorry"),
    "fear": ("danger", "dark"),
    "surprise": ("shock", "suddenly"),
    "disgust": ("ugly", "sick"),
    "optimism": ("hope", "good"),
    "other": ("else", "none"),
    "none": ("no", "nothing"),
}
"""Common words for classes that are often met."""

SCALES: Mapping[int, tuple[str, ...]] = {
    2: ("no", "yes"),
    3: ("bad", "okay", "good"),
    5: ("terrible", "bad", "okay", "good", "great"),
}
"""By the number of classes, words for classes that are numbers, from the lowest on."""

_WORD = re.compile(r"[^\W\d_]{4,}")
_PART = re.compile(r"[^\W\d_]{2,}")
_OPPOSITE = re.compile(r"(not?|non|un)[\W_]")
_COMMON = (
    *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "red", "blue"),
    *("green", "white", "black", "north", "south", "east", "west", "home", "water", "light"),
)
_MOST = 200
"""Typical words of a class that are looked at."""

NAME, SYNONYM, TYPICAL = "its name", "a common word for it", "typical of its texts"


class Proposal(NamedTuple):
    """A label word and where it comes from; anything but its name is to be looked at."""

    word: str
    why: str


def number_order(names: Iterable[str]) -> list[str]:
    """Class names in a fixed order: numbers by their value, others by letters."""
    names = list(names)
    whole = all(is_number(name) for name in names)
    return sorted(names, key=(lambda name: (int(name), name)) if whole else None)


def is_number(name: str) -> bool:
    return name.removeprefix("-").isdecimal()


def propose(
    classes: Sequence[str],
    models: Sequence[ModelRef],
    texts: Sequence[tuple[str, int]],
    frames: Collection[bool] = (False,),
) -> list[Proposal]:
    """A word for each class, of which no two are one token on any model.

    Where all names will do, or else all synonyms, these. Else for each class its own name; else a
    synonym, or where classes are numbers their place on a scale; else a part of its name; else a
    word that more of its training texts have than of the others, the more the better; else any
    common word.

    Args:
        classes: their names, as ordered.
        models: whose single tokens they must be.
        texts: training texts with the index of their class.
        frames: see :func:`proposals`.

    Raises:
        InputError: no word will do, or a tokenizer cannot be read.
    """
    levels = _levels(classes, texts)
    known = [_tokens(model, _words_of(levels), frames) for model in models]
    # Words of one kind go together: bad and good, rather than bad and positive.
    for chosen in ([levels[0]], [levels[1]], levels):
        found = _assign(chosen, known)
        if len(found) == len(classes):
            break
    for place, name in enumerate(classes):
        if place not in found:
            raise InputError(
                f"--model: found no word for the class {name!r} that is one token on each of"
                f" {', '.join(model.alias for model in models)}; allowed: models that share words"
            )
    return [found[place] for place in range(len(classes))]


def proposals(
    classes: Sequence[str],
    models: Sequence[ModelRef],
    texts: Sequence[tuple[str, int]],
    frames: Collection[bool] = (False,),
) -> list[list[Proposal]]:
    """The words of :func:`propose`, and those of every kind that has one for each class.

    Args:
        classes: their names, as ordered.
        models: whose single tokens they must be.
        texts: training texts with the index of their class.
        frames: whether words stand behind chat templates, where models have them, or at the start
            of a word; both: they must be single tokens either way.

    Raises:
        InputError: as :func:`propose`.
    """
    levels = _levels(classes, texts)[:-1]
    known = [_tokens(model, _words_of(levels), frames) for model in models]
    assigned = [_assign([level], known) for level in levels]
    whole = [[found[place] for place in sorted(found)] for found in assigned]
    best = propose(classes, models, texts, frames)
    return [best, *(one for one in whole if len(one) == len(classes) and one != best)]


def _words_of(levels: Sequence[tuple[Sequence[tuple[str, ...]], str]]) -> set[str]:
    return {word for level, _ in levels for words in level for word in words}


def _assign(
    levels: Sequence[tuple[Sequence[tuple[str, ...]], str]], known: Sequence[Mapping[str, str]]
) -> dict[int, Proposal]:
    """By class the first word that every model knows and no other class has."""
    found: dict[int, Proposal] = {}
    taken: list[set[str]] = [set() for _ in known]
    for level, why in levels:
        for place, words in enumerate(level):
            for word in () if place in found else words:
                if not all(word in table for table in known):
                    continue
                tokens = [table[word] for table in known]
                if any(token in used for token, used in zip(tokens, taken, strict=True)):
                    continue
                found[place] = Proposal(word, why)
                for token, used in zip(tokens, taken, strict=True):
                    used.add(token)
                break
    return found


def _levels(
    classes: Sequence[str], texts: Sequence[tuple[str, int]]
) -> list[tuple[list[tuple[str, ...]], str]]:
    """Candidates for every class, the better levels first."""
    numbers = all(map(is_number, classes))
    names = [name.lower() for name in classes]
    scale = SCALES.get(len(classes), ("",) * len(classes))
    synonyms = [
        tuple(filter(None, [scale[place]]))
        if numbers
        else SYNONYMS.get(name, ("no", "not") if _OPPOSITE.match(name) else ())
        for place, name in enumerate(names)
    ]
    return [
        ([(name,) if name.split() == [name] and not numbers else () for name in names], NAME),
        (synonyms, "a guess, as it is a number" if numbers else SYNONYM),
        # A part of two names tells neither of them.
        (
            [
                tuple(
                    part
                    for part in sorted(_PART.findall(name), key=len, reverse=True)
                    if sum(part in other for other in names) == 1
                )
                for name in names
            ],
            "a part of its name",
        ),
        (typical_words(texts, len(classes)), TYPICAL),
        ([_COMMON] * len(classes), "a common word that says nothing"),
    ]


def typical_words(texts: Sequence[tuple[str, int]], count: int) -> list[tuple[str, ...]]:
    """Words per class by how many more of its texts have them: share there less share elsewhere.

    Args:
        texts: with the index of their class.
        count: number of classes.
    """
    sizes = Counter(label for _, label in texts)
    having: list[Counter[str]] = [Counter() for _ in range(count)]
    for text, label in texts:
        having[label].update(set(_WORD.findall(text.lower())))
    everywhere = sum(having, Counter())
    found = []
    for label in range(count):
        here, others = max(sizes[label], 1), max(len(texts) - sizes[label], 1)
        more = {
            word: number / here - (everywhere[word] - number) / others
            for word, number in having[label].items()
        }
        # Equal ones by letters: the same data always gives the same words.
        ranked = sorted(more, key=lambda word: (-more[word], word))
        found.append(tuple(ranked[:_MOST]))
    return found


def _tokens(
    model: ModelRef, words: Iterable[str], frames: Collection[bool] = (False,)
) -> dict[str, str]:
    """Those of the words that are one token of a model, and which."""
    if not any(frames) and is_local(model) and (Path(model.location) / TOKENIZER).is_file():
        return single_tokens(model, words)
    from trainables.backbones import load_reader  # torch and transformers, and maybe the Hub

    reader = load_reader(model)
    found = {word: [reader.answer_tokens(word, chat) for chat in sorted(frames)] for word in words}
    return {
        word: " ".join(str(number) for (number,) in ids)
        for word, ids in found.items()
        if all(len(own) == 1 and reader.known(own) for own in ids)
    }
