"""The words a hard prompt may consist of: all, random ones, shared ones, or those that agree.

Rows of paper B: PEZ (``all``), PEZ-pruned (``random``), CommonVocab-pruned (``common``) and Ours
(``agreement``).
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import torch

from trainables.backbones import Backbone, Reader
from trainables.core.seeds import seeded
from trainables.core.settings.hard import HardSettings
from trainables.errors import InputError
from trainables.hard.agreed import fingerprint, model_agreement
from trainables.words.agreement import Agreement, Comparison, effective_k
from trainables.words.vocabulary import (
    CommonVocabulary,
    check_shared,
    common_vocabulary,
    usable_tokens,
)


@dataclass(frozen=True)
class Allowed:
    """Tokens a search may use, and where they come from.

    Attributes:
        ids: sorted token ids [s] on the source, on its device.
        available: words they were chosen from, without excluded label words; for ``common`` and
            ``agreement`` what is left of the common vocabulary.
        common: size c of the common vocabulary; None where it was not asked for.
        asked: s of the settings; None for ``all``, which asks for no number.
        agreement: scores of all common words; None for other vocabularies.
        warning: one sentence where fewer words are there than asked for.
    """

    ids: torch.Tensor
    available: int
    common: int | None
    asked: int | None
    agreement: Agreement | None
    warning: str | None

    @property
    def used(self) -> int:
        """Number s of words really used."""
        return len(self.ids)


@dataclass(frozen=True)
class _Question:
    models: Sequence[Backbone]
    settings: HardSettings
    seed: int
    folder: Path | None
    ks: Collection[int]


@dataclass(frozen=True)
class _Answer:
    """Candidates in the order in which they are taken, so that every s is a prefix."""

    ids: torch.Tensor
    where: str
    common: int | None = None
    agreement: Agreement | None = None


def _all(question: _Question) -> _Answer:
    ids, where = _own_words(question.models[0], question.settings)
    return _Answer(torch.tensor(ids, dtype=torch.long), where)


def _random(question: _Question) -> _Answer:
    every = _all(question)
    return _Answer(_shuffled(every.ids, "random", question.seed), every.where)


def _common(question: _Question) -> _Answer:
    shared, where = _shared(question)
    ids = torch.tensor(shared.ids[0])
    return _Answer(_shuffled(ids, "common", question.seed), where, len(shared))


def _agreement(question: _Question) -> _Answer:
    shared, where = _shared(question)
    k, comparison = question.settings.k, comparison_of(question.settings)
    # Other K of the sweep that these models are too small for are told when it is their turn.
    size = min(len(shared), comparison.sample_size)
    ks = {k, *(other for other in question.ks if other < size)}
    found = model_agreement(question.models, ks, comparison, question.folder, shared)[k]
    ids = torch.tensor(shared.ids[0])[found.ranking]
    return _Answer(ids, where, len(shared), found)


CHOICES: dict[str, Callable[[_Question], _Answer]] = {
    "all": _all,
    "random": _random,
    "common": _common,
    "agreement": _agreement,
}
"""Per ``vocabulary`` of the settings, how candidates are found and in which order."""


def comparison_of(settings: HardSettings) -> Comparison:
    """How the settings want neighbours compared."""
    return Comparison(
        mode=settings.agreement,
        k_scale=settings.k_scale,
        sample_size=settings.sample_size,
        samples=settings.samples,
        seed=settings.sample_seed,
        include_self=settings.include_self,
        center=settings.center,
    )


def allowed_tokens(
    models: Sequence[Backbone],
    settings: HardSettings,
    seed: int,
    label_ids: Collection[int] = (),
    folder: Path | None = None,
    ks: Collection[int] = (),
) -> Allowed:
    """Tokens that prompts on ``models[0]`` may use.

    A larger s only adds tokens; the draws of ``random`` and ``common`` depend on ``seed`` alone,
    and nothing depends on the order of the counterparts.

    Args:
        models: the source, then its counterparts (for ``all`` and ``random``, none are needed).
        label_ids: tokens of the label words on the source, left out with ``exclude_labels``.
        folder: where agreements are kept, see :func:`~trainables.hard.agreed.model_agreement`.
        ks: other K of the same sweep, to be worked out in the same pass.

    Raises:
        InputError: no counterpart where one is needed, a counterpart that is the source or another
            one, no common word, none left, or a K that is not below their number.
    """
    answer = CHOICES[settings.vocabulary](_Question(models, settings, seed, folder, ks))
    candidates = answer.ids
    if settings.exclude_labels:
        labels = torch.tensor(sorted(label_ids), dtype=candidates.dtype)
        candidates = candidates[~torch.isin(candidates, labels)]
    available = len(candidates)
    if not available:
        raise InputError(
            f"vocabulary: found {settings.vocabulary!r}, which leaves none of the {len(answer.ids)}"
            f" {answer.where} for a prompt; allowed: models with other words than label words"
        )
    asked = None if settings.vocabulary == "all" else settings.s
    warning = None
    if asked is not None and asked > available:
        warning = (
            f"s: found {asked}, but vocabulary {settings.vocabulary!r} has only {available}"
            f" {answer.where}; all {available} are used"
        )
    ids = candidates[:asked].sort().values.to(models[0].device)
    return Allowed(ids, available, answer.common, asked, answer.agreement, warning)


def _shuffled(ids: torch.Tensor, name: str, seed: int) -> torch.Tensor:
    return ids[torch.randperm(len(ids), generator=seeded("vocabulary", name, seed))]


def _shared(question: _Question) -> tuple[CommonVocabulary, str]:
    """The common vocabulary of source and counterparts, and what to call it."""
    models = question.models
    if len(models) < 2:
        raise InputError(
            f"counterparts: found none for vocabulary {question.settings.vocabulary!r};"
            " allowed: at least one model beside the source"
        )
    for one, other in combinations(models, 2):
        if fingerprint(one) == fingerprint(other):
            raise InputError(
                f"counterparts: found {other.alias!r}, which has the same words and embeddings as"
                f" {one.alias!r}; allowed: models that differ from the source and from each other"
            )
    return _shared_words(models)


def _own_words(model: Reader, settings: HardSettings) -> tuple[Sequence[int], str]:
    """What a prompt may use of one model, and what to call it."""
    kind = "words" if settings.word_start else "tokens"
    return usable_tokens(model, settings.word_start), f"{kind} of model {model.alias!r}"


def _shared_words(models: Sequence[Reader]) -> tuple[CommonVocabulary, str]:
    names = [models[0].alias, *sorted(model.alias for model in models[1:])]
    shared = common_vocabulary(models)
    check_shared(len(shared), names)
    return shared, f"words that {', '.join(names)} share"


@dataclass(frozen=True)
class Available:
    """Words before any are chosen: how many, and what they are called in a sentence."""

    count: int
    where: str


def available_words(models: Sequence[Reader], settings: HardSettings) -> Available:
    """Words that ``settings`` let a search on ``models[0]`` choose from.

    Args:
        models: the source, then its counterparts.

    Raises:
        InputError: the models share no word, or fewer than K asks for.
    """
    if settings.vocabulary in ("all", "random"):
        ids, where = _own_words(models[0], settings)
        return Available(len(ids), where)
    shared, where = _shared_words(models)
    if settings.vocabulary == "agreement":
        effective_k(settings.k, len(shared), comparison_of(settings))
    return Available(len(shared), where)
