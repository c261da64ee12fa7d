"""What answers are compared by: words of one token each, or whole label texts.

Words of one token are their ids [C], a tensor: one look at the answer gives the logits of all. Any
other choice is a :class:`LabelTexts` in its place, which :meth:`Backbone.row_logits` takes as well.
It reads every row once for each different beginning of a label text, so that what texts begin with
alike is read once, and adds up log-probabilities over the whole vocabulary (those rows of it that a
token uses, as the loss ``vocabulary`` does):

``sum``
    log p(text) = Σ_i log p(token i | row, tokens before it).
``mean``
    the same divided by the number of tokens, so that long texts are not worse for their length.
``first_token``
    the first token alone stands for the text. One token a text is left, with no second reading.

A masked model has no "before": the text takes as many places as it has tokens, and each token is
predicted with itself alone masked and the others of the text there (pseudo-log-likelihood, Salazar
et al. 2020, "Masked Language Model Scoring", over the tokens of the label only; the row's own are
the same for all classes). With all of them masked at once, "New" and "York" would not know of each
other. What is known of it: pieces of one rare word predict each other, so that such a word scores
high (Kauf & Ivanova 2023).

Of several words a class (a verbaliser), the class has the mean of their scores (as Schick, Schmid &
Schütze 2020). Of words of one token that is the mean of their logits: log-probabilities differ from
them by what is the same for all classes.

Shapes: N rows, C classes, W words, P tokens taken at one reading, d embedding width, V usable rows
of the vocabulary.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.nn.functional as F

from trainables.core.texts import SCORINGS, Word, begun, listed
from trainables.errors import InputError

if TYPE_CHECKING:
    from trainables.backbones.family import Family
    from trainables.backbones.layout import Encoded
    from trainables.backbones.reader import Reader

Given = Any
"""Prompt vectors [R, m, d], or what a model remembers of them."""

Ids = tuple[int, ...]

SHARES = {
    "first_token": lambda length: 1.0,
    "sum": lambda length: 1.0,
    "mean": lambda length: 1.0 / length,
}
"""Per scoring what one of so many tokens that are read counts."""


@dataclass(frozen=True)
class Reads:
    """What one answer takes of a model.

    Attributes:
        rows: times that each row is read.
        tokens: tokens that these have besides the row's own, together.
        longest: tokens that the longest of them has besides.
    """

    rows: int = 1
    tokens: int = 0
    longest: int = 0

    def of(self, rows: int, tokens: int) -> tuple[int, int]:
        """Rows and tokens read for so many rows of so many tokens together."""
        return self.rows * rows, self.rows * tokens + self.tokens * rows


ONE = Reads()
"""Each row once, as it is."""


@dataclass(frozen=True, eq=False)
class Reading:
    """One reading of every row, and what is taken of it.

    Attributes:
        tokens: ids that begin the answer [T]; none: the row as it is.
        place: where the answer is read, counted from where the row itself has it.
        grown: tokens that the row has besides.
        ids: tokens whose scores are taken [P], those of class 0 first.
        sizes: how many of them each class has, C numbers.
        shares: what each counts [P].
    """

    tokens: torch.Tensor
    place: int
    grown: int
    ids: torch.Tensor
    sizes: tuple[int, ...]
    shares: torch.Tensor

    def summed(self, scores: torch.Tensor) -> torch.Tensor:
        """What scores [N, P] of the tokens say for each class [N, C]."""
        parts = (scores * self.shares).split(self.sizes, dim=1)
        return torch.stack([part.sum(1) for part in parts], dim=1)


class Asked(Protocol):
    """What is asked of a :class:`trainables.backbones.base.Backbone`."""

    @property
    def family(self) -> "Family":
        """What the architecture asks for."""

    def row_logits(
        self,
        batch: "Encoded",
        label_ids: Any,
        prompts: Given = None,
        owner: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Logits [N, C] of chosen words, [N, V] of all."""

    def read_once(self, data: "Encoded", prompts: torch.Tensor) -> Given:
        """Prompts for several readings."""


class AnswerTexts(ABC):
    """What rows are read for, where it is not the logits of single tokens."""

    @abstractmethod
    def __len__(self) -> int:
        """Numbers that a row gets: one a class, as a rule."""

    @property
    @abstractmethod
    def reads(self) -> Reads:
        """What an answer takes."""

    @abstractmethod
    def vectors(self, table: torch.Tensor) -> torch.Tensor:
        """A vector for each text that an answer may be, of a table [V, d] of embeddings."""

    @property
    def judged(self) -> Reads:
        """What an answer takes where a prompt is evaluated."""
        return self.reads

    @abstractmethod
    def scores(
        self,
        backbone: Asked,
        batch: "Encoded",
        prompts: Given = None,
        owner: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Scores of the classes [N, C]; arguments as :meth:`Backbone.row_logits`."""

    @abstractmethod
    def losses(
        self,
        backbone: Asked,
        batch: "Encoded",
        prompts: Given = None,
        owner: torch.Tensor | None = None,
        whole: bool = False,
    ) -> torch.Tensor:
        """Loss [N] of the rows' own answers, among the classes or over the ``whole`` vocabulary."""

    def once(
        self,
        backbone: Asked,
        batch: "Encoded",
        prompts: Given,
        owner: torch.Tensor | None,
    ) -> Given:
        """Prompts as several readings of a batch take them."""
        several = isinstance(prompts, torch.Tensor) and owner is not None and self.reads.rows > 1
        return backbone.read_once(batch, prompts) if several else prompts


@dataclass(frozen=True, eq=False)
class LabelTexts(AnswerTexts):
    """Label texts of C classes as a model spells them.

    Attributes:
        spelled: tokens of every word of every class.
        readings: what is read.
        open: whether tokens are scored by log-probabilities over the vocabulary (else by logits,
            which is the same for all classes where one token is the whole word).
    """

    spelled: tuple[tuple[Ids, ...], ...]
    readings: tuple[Reading, ...]
    open: bool

    def __len__(self) -> int:
        return len(self.spelled)

    @property
    def words(self) -> list[Ids]:
        """All W words: the first of every class, then the second of those that have one."""
        return [word for level in zip_longest(*self.spelled) for word in level if word is not None]

    @property
    def tokens(self) -> list[int]:
        """All different tokens of :attr:`words`, in their order."""
        return list(dict.fromkeys(chain.from_iterable(self.words)))

    @property
    def reads(self) -> Reads:
        """What an answer takes."""
        grown = [reading.grown for reading in self.readings]
        return Reads(len(grown), sum(grown), max(grown))

    def vectors(self, table: torch.Tensor) -> torch.Tensor:
        """Of each word the mean of its tokens' rows in a table [V, d], float32 [W, d]."""
        return torch.stack([table[list(word)].float().mean(0) for word in self.words])

    def scores(
        self,
        backbone: Asked,
        batch: "Encoded",
        prompts: Given = None,
        owner: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Scores of the classes [N, C]."""
        return self._scores(backbone, batch, prompts, owner, self.open)

    def losses(
        self,
        backbone: Asked,
        batch: "Encoded",
        prompts: Given = None,
        owner: torch.Tensor | None = None,
        whole: bool = False,
    ) -> torch.Tensor:
        """Cross-entropy among the classes, or minus the score of the row's own class."""
        found = self._scores(backbone, batch, prompts, owner, self.open or whole)
        if whole:
            return -found.gather(1, batch.gold[:, None])[:, 0]
        return F.cross_entropy(found, batch.gold, reduction="none")

    def _scores(
        self,
        backbone: Asked,
        batch: "Encoded",
        prompts: Given,
        owner: torch.Tensor | None,
        whole: bool,
    ) -> torch.Tensor:
        """Scores of the classes [N, C], of logits or over the ``whole`` vocabulary."""
        prompts, found = self.once(backbone, batch, prompts, owner), []
        for reading in self.readings:
            rows = backbone.family.answered(batch, reading.tokens, reading.place)
            logits = backbone.row_logits(rows, None if whole else reading.ids, prompts, owner)
            if whole:
                logits = logits[:, reading.ids] - logits.logsumexp(-1, keepdim=True)
            found.append(reading.summed(logits))
        return torch.stack(found).sum(0)


Labels = torch.Tensor | AnswerTexts
"""Ids [C] of words of one token, or whatever else answers are compared by."""


def label_texts(labels: Labels) -> LabelTexts:
    """The same as :class:`LabelTexts`, where it is ids too.

    Raises:
        InputError: there are no classes.
    """
    if isinstance(labels, LabelTexts):
        return labels
    if isinstance(labels, AnswerTexts):
        raise InputError(
            "label words: found a task whose answers are free text; allowed: tasks with classes"
        )
    return _read_as(tuple(((number,),) for number in labels.tolist()), None, "sum", labels.device)


def reads_of(labels: Labels) -> Reads:
    """What an answer takes of a model."""
    return labels.reads if isinstance(labels, AnswerTexts) else ONE


def judged_by(labels: Labels) -> Reads:
    """What an answer takes of a model where a prompt is evaluated."""
    return labels.judged if isinstance(labels, AnswerTexts) else ONE


def spell(
    reader: "Reader",
    words: Sequence[Word],
    task: str,
    scoring: str | None = None,
    device: str | torch.device = "cpu",
    chat: bool = False,
) -> Labels:
    """A task's label words, or lists of words, as a model has them.

    Args:
        reader: of the model; no weights are needed.
        words: one word, text or list of them for each of C classes.
        task: its name, for messages.
        scoring: how texts of several tokens are scored (None: they are refused).
        device: where ids are to be.
        chat: whether answers stand behind the chat template.

    Returns:
        Ids [C] where every class has one token (under ``mean`` and ``sum`` too: scores would differ
        by what is the same for all classes), else how to read them.

    Raises:
        InputError: a text of several tokens without a scoring, one the model cannot spell, two
            classes that it could not tell apart, or one that could never win.
    """
    where = f"model {reader.alias!r}, task {task!r}"
    named = [listed(one) for one in words]
    spelled = [[_spelled(reader, word, where, scoring, chat) for word in own] for own in named]
    if scoring == "first_token":
        spelled = [[word[:1] for word in own] for own in spelled]
    known: dict[Ids, tuple[int, str]] = {}
    for place, (own, texts) in enumerate(zip(spelled, named, strict=True)):
        for word, text in zip(own, texts, strict=True):
            other, first = known.setdefault(word, (place, text))
            if other != place:
                raise InputError(f"{where}: label words {first!r} and {text!r} {_alike(scoring)}")
    if scoring == "sum" and not reader.family.masked:
        _check_prefixes(known, where)
    if all(len(own) == 1 and len(own[0]) == 1 for own in spelled):
        return torch.tensor([own[0][0] for own in spelled], device=device)
    mask = reader.blank if reader.family.masked else None
    kept = tuple(tuple(own) for own in spelled)
    inside = not reader.family.opening
    return _read_as(kept, mask, scoring or "sum", torch.device(device), inside)


def _alike(scoring: str | None) -> str:
    """What is wrong with two classes that read alike."""
    if scoring == "first_token":
        return (
            "begin with the same token; allowed under scoring first_token: another first token for"
            " each class, else scoring mean or sum"
        )
    unit = "token" if scoring is None else "text"
    return f"are the same {unit}; allowed: one distinct {unit} per class"


def _spelled(reader: "Reader", word: str, where: str, scoring: str | None, chat: bool) -> Ids:
    """Tokens of a word at the start of a word."""
    ids = reader.answer_tokens(word, chat)
    behind = " behind the chat template" if chat else ""
    if reader.known(ids) and (len(ids) == 1 or scoring is not None):
        return tuple(ids)
    pieces = " ".join(reader.tokenizer.convert_ids_to_tokens(ids)) or "nothing"
    if scoring is not None:
        raise InputError(
            f"{where}: label word {word!r} cannot be spelled{behind} (it becomes {pieces});"
            " allowed: texts of tokens that the model knows"
        )
    raise InputError(
        f"{where}: label word {word!r} is not a single token{behind} (it becomes {pieces});"
        " allowed: words that are one token on every model, or scoring:"
        f" {', '.join(SCORINGS)} in the task file"
    )


def _check_prefixes(known: dict[Ids, tuple[int, str]], where: str) -> None:
    """Refuse a text that begins another class's: it has at least the other's probability."""
    for word, (place, text) in known.items():
        for count in range(1, len(word)):
            other, first = known.get(word[:count], (place, text))
            if other != place:
                raise InputError(
                    f"{where}: label word {first!r} begins {text!r}, which under scoring sum could"
                    " never score higher; allowed: scoring mean, or texts none of which begins"
                    " another"
                )


def _read_as(
    spelled: tuple[tuple[Ids, ...], ...],
    mask: int | None,
    scoring: str,
    device: torch.device,
    inside: bool = True,
) -> LabelTexts:
    """The readings that all tokens take; without ``mask`` what stands before each is read.

    ``inside``: whether that stands in the row, and not in a decoder of its own.
    """
    taken: dict[tuple[Ids, int, int], list[tuple[int, int, float]]] = {}
    for place, own in enumerate(spelled):
        for word in own:
            share = SHARES[scoring](len(word)) / len(own)
            for at, number in enumerate(word):
                taken.setdefault(begun(word, at, mask), []).append((place, number, share))
    classes = range(len(spelled))
    readings = []
    for (tokens, place, grown), found in taken.items():
        owners, numbers, shares = zip(*found, strict=True)
        readings.append(
            Reading(
                torch.tensor(tokens, dtype=torch.long, device=device),
                place,
                grown if inside else 0,
                ids=torch.tensor(numbers, device=device),
                sizes=tuple(owners.count(one) for one in classes),
                shares=torch.tensor(shares, device=device),
            )
        )
    longest = max(len(word) for own in spelled for word in own)
    return LabelTexts(spelled, tuple(readings), open=longest > 1)
