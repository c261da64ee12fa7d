"""The vocabulary several tokenizers share: the anchors of relative representations.

Paper A, equation 3: V_common is the intersection of the models' vocabularies, single tokens only.
Two entries are the same when they start a word in both tokenizers, have the same NFC surface, and
the text encodes back to exactly that token in every model. Case is not folded: folding would pair
one row of an uncased model with several of a cased one and count them twice.
"""

import hashlib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

FEW_ANCHORS = 500


class Vocabulary(Protocol):
    """What is asked of a model here; a reader has it."""

    alias: str
    tokenizer: Any
    lead: str
    rows: int

    @property
    def words(self) -> Mapping[str, int]:
        """:func:`word_table` of the model."""
        ...


@dataclass(frozen=True)
class CommonVocabulary:
    """Words that are one token in every model.

    Attributes:
        words: k surfaces, sorted.
        ids: per model, k token ids in the order of ``words``.
    """

    words: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        """Number of anchors k."""
        return len(self.words)

    def sample(self, size: int, seed: int) -> "CommonVocabulary":
        """``size`` of the words at random, in their order; all where there are not more.

        The words with the lowest hashes of seed and word are taken: whatever the Python version, a
        seed always means the same words, and a smaller sample is part of a larger one.
        """

        def rank(place: int) -> bytes:
            return hashlib.sha256(f"{seed}\n{self.words[place]}".encode()).digest()

        kept = sorted(sorted(range(len(self)), key=rank)[:size])
        return CommonVocabulary(
            tuple(self.words[place] for place in kept),
            tuple(tuple(ids[place] for place in kept) for ids in self.ids),
        )


@dataclass(frozen=True)
class Anchors:
    """Which of the words that models share their prompts are compared on.

    Attributes:
        beside: aliases of further models that must have the words too.
        sample: how many of them, at random (None: all).
        seed: of that sample.
    """

    beside: tuple[str, ...] = ()
    sample: int | None = None
    seed: int = 0

    def among(
        self, models: Sequence[Vocabulary], beside: Sequence[Vocabulary] = ()
    ) -> CommonVocabulary:
        """The words, with their ids in ``models``; ``beside`` are the models of that name."""
        shared = common_vocabulary([*models, *beside])
        known = CommonVocabulary(shared.words, shared.ids[: len(models)])
        return known if self.sample is None else known.sample(self.sample, self.seed)


def _wordpiece(token: str, tokenizer: Any) -> str | None:
    del tokenizer
    return None if token.startswith("##") else token


def _bytelevel(token: str, tokenizer: Any) -> str | None:
    if not token.startswith("Ġ"):
        return None
    text: str = tokenizer.backend_tokenizer.decoder.decode([token])
    return text.removeprefix(" ")


def _metaspace(token: str, tokenizer: Any) -> str | None:
    del tokenizer
    return token[1:] if token.startswith("▁") else None


def _surface_rule(tokens: Sequence[str]) -> Callable[[str, Any], str | None]:
    """How this vocabulary marks the start of a word, by what most of its tokens show."""
    marks = {
        _wordpiece: sum(token.startswith("##") for token in tokens),
        _bytelevel: sum(token.startswith("Ġ") for token in tokens),
        _metaspace: sum(token.startswith("▁") for token in tokens),
    }
    return max(marks, key=lambda rule: marks[rule])


def word_table(model: Vocabulary) -> dict[str, int]:
    """Surfaces of the word-start tokens of one model, with their ids.

    Left out are special and added tokens, bytes that are no text, rows beyond the embedding table,
    and whatever does not encode back to exactly its own id.
    """
    tokenizer = model.tokenizer
    vocabulary = tokenizer.get_vocab()
    excluded = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    rule = _surface_rule(list(vocabulary))
    table: dict[str, int] = {}
    for token, number in sorted(vocabulary.items(), key=lambda item: item[1]):
        if number in excluded or number >= model.rows:
            continue
        surface = rule(token, tokenizer)
        if not surface or "\ufffd" in surface or any(char.isspace() for char in surface):
            continue
        table.setdefault(unicodedata.normalize("NFC", surface), number)
    if not table:
        return table
    texts = [model.lead + word for word in table]
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return {
        word: number
        for (word, number), ids in zip(table.items(), encoded, strict=True)
        if list(ids) == [number]
    }


def common_vocabulary(models: Sequence[Vocabulary]) -> CommonVocabulary:
    """Words every model has as one token (equation 3 of paper A).

    Args:
        models: one or more.

    Returns:
        The shared words in sorted order: the same whatever the order of ``models`` but for the
        order of ``ids``.
    """
    tables = [model.words for model in models]
    words = tuple(sorted(set.intersection(*(set(table) for table in tables))))
    return CommonVocabulary(words, tuple(tuple(table[w] for w in words) for table in tables))
