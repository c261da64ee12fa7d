"""The vocabulary several tokenizers share: anchors of paper A, words of prompts of paper B.

Paper A, equation 3, and paper B, equation 2: V_common is the intersection of the models'
vocabularies, single tokens only.
Two entries are the same when they start a word in both tokenizers, have the same NFC surface, and
the text encodes back to exactly that token in every model. Case is not folded: folding would pair
one row of an uncased model with several of a cased one and count them twice.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from trainables.errors import InputError

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


CANONICALISER = 1
"""Version of what this module calls a word, for whoever keeps results that depend on it."""


@dataclass(frozen=True)
class Notation:
    """How a family of tokenizers writes its tokens.

    Attributes:
        mark: what tokens of this notation begin with, and those of others do not.
        start: surface of a token that starts a word; None of one that does not.
        inside: whether a token that is no word of :func:`word_table` is text all the same.
    """

    mark: str
    start: Callable[[str, Any], str | None]
    inside: Callable[[str, Any], bool]


def _wordpiece_start(token: str, tokenizer: Any) -> str | None:
    return None if token.startswith("##") else token


def _wordpiece_inside(token: str, tokenizer: Any) -> bool:
    # Any other token that is no word is one no text leads to: [unused1], for one.
    return token.startswith("##") and len(token) > 2 and "\ufffd" not in token


def _bytelevel_start(token: str, tokenizer: Any) -> str | None:
    return _decoded(token, tokenizer).removeprefix(" ") if token.startswith("Ġ") else None


def _bytelevel_inside(token: str, tokenizer: Any) -> bool:
    return "\ufffd" not in _decoded(token, tokenizer) and _is_one_piece(token, tokenizer)


def _metaspace_start(token: str, tokenizer: Any) -> str | None:
    return token[1:] if token.startswith("▁") else None


def _metaspace_inside(token: str, tokenizer: Any) -> bool:
    text = "\ufffd" not in token and not _BYTE.fullmatch(token)
    return text and _is_one_piece(token, tokenizer)


def _decoded(token: str, tokenizer: Any) -> str:
    text: str = tokenizer.backend_tokenizer.decoder.decode([token])
    return text


def _is_one_piece(token: str, tokenizer: Any) -> bool:
    """Whether the tokenizer's model makes exactly this token of its own characters."""
    pieces = tokenizer.backend_tokenizer.model.tokenize(token)
    return [piece.value for piece in pieces] == [token]


_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
"""A byte in SentencePiece's notation, for characters that it has no token for."""

_SENTINEL = re.compile(r"▁?<extra_id_\d+>")
"""What is to be filled in by T5 and its like; in mT5's vocabulary it stands among the words."""

NOTATIONS = (
    Notation("##", _wordpiece_start, _wordpiece_inside),
    Notation("Ġ", _bytelevel_start, _bytelevel_inside),
    Notation("▁", _metaspace_start, _metaspace_inside),
)
"""WordPiece, byte-level BPE, SentencePiece."""


def _ordinary_tokens(model: Vocabulary) -> tuple[Notation, list[tuple[str, int]]]:
    """How the tokens are written, by the mark most of them bear, and all that may be text.

    Special and added tokens (LLaMA 3's reserved ones are among these), sentinels and ids beyond the
    embedding table are left out; ids ascend.
    """
    tokenizer = model.tokenizer
    vocabulary = tokenizer.get_vocab()
    marked = [
        sum(token.startswith(notation.mark) for token in vocabulary) for notation in NOTATIONS
    ]
    excluded = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    ordinary = [
        (token, number)
        for token, number in sorted(vocabulary.items(), key=lambda item: item[1])
        if number not in excluded and number < model.rows and not _SENTINEL.fullmatch(token)
    ]
    return NOTATIONS[marked.index(max(marked))], ordinary


def word_table(model: Vocabulary) -> dict[str, int]:
    """Surfaces of the word-start tokens of one model, with their ids.

    Left out are special and added tokens, bytes that are no text, rows beyond the embedding table,
    and whatever does not encode back to exactly its own id. No id occurs twice: of tokens with the
    same NFC surface, the one that its text encodes to is taken.

    Kept for the process by content of the tokenizer: models of one size or another that share it
    are asked once.
    """
    key = _content(model)
    if key not in _tables:
        if len(_tables) >= RESIDENT_TABLES:
            _tables.clear()
        _tables[key] = _word_table(model)
    return dict(_tables[key])


RESIDENT_TABLES = 32
_tables: dict[str, dict[str, int]] = {}


def _content(model: Vocabulary) -> str:
    """SHA-256 of all that :func:`word_table` depends on."""
    tokenizer = model.tokenizer
    parts = (tokenizer.all_special_ids, sorted(tokenizer.added_tokens_decoder), model.lead)
    digest = hashlib.sha256(repr((*parts, model.rows)).encode())
    digest.update(tokenizer.backend_tokenizer.to_str().encode())
    return digest.hexdigest()


def _word_table(model: Vocabulary) -> dict[str, int]:
    notation, ordinary = _ordinary_tokens(model)
    table: dict[str, set[int]] = {}
    for token, number in ordinary:
        surface = notation.start(token, model.tokenizer)
        if not surface or "\ufffd" in surface or any(char.isspace() for char in surface):
            continue
        table.setdefault(unicodedata.normalize("NFC", surface), set()).add(number)
    if not table:
        return {}
    texts = [model.lead + word for word in table]
    encoded = model.tokenizer(texts, add_special_tokens=False)["input_ids"]
    return {
        word: ids[0]
        for (word, numbers), ids in zip(table.items(), encoded, strict=True)
        if len(ids) == 1 and ids[0] in numbers
    }


def usable_tokens(model: Vocabulary, word_start: bool = True) -> tuple[int, ...]:
    """Ids that a hard prompt on this model may consist of, ascending.

    Args:
        word_start: only the words of :func:`word_table`; otherwise also what stands inside words,
            white space and the like. Never special, added or reserved tokens, bytes that are no
            text, or rows of the embedding table that no token has.
    """
    words = set(model.words.values())
    if word_start:
        return tuple(sorted(words))
    notation, ordinary = _ordinary_tokens(model)
    return tuple(
        number
        for token, number in ordinary
        if number in words or notation.inside(token, model.tokenizer)
    )


def check_shared(count: int, names: Sequence[str]) -> None:
    """Refuse models that share no word.

    Raises:
        InputError: ``count`` is 0.
    """
    if not count:
        raise InputError(
            f"models {', '.join(names)}: no word is a single token in all of them;"
            " allowed: models with a common vocabulary"
        )


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
