"""How many words a search could choose from: known from tokenizers alone, before anything runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from trainables.backbones.reader import Reader
from trainables.core.settings.hard import HardSettings
from trainables.errors import InputError
from trainables.hard.allowed import comparison_of
from trainables.words.agreement import effective_k
from trainables.words.vocabulary import common_vocabulary, usable_tokens


@dataclass(frozen=True)
class Available:
    """Words before any are chosen: how many, and what they are called in a sentence."""

    count: int
    where: str


def available_words(models: Sequence[Reader], settings: HardSettings) -> Available:
    """Words that ``settings`` let a search on ``models[0]`` choose from.

    Args:
        models: the source, then its counterparts.
        settings: of the method.

    Raises:
        InputError: the models share no word, or fewer than K asks for.
    """
    if settings.vocabulary in ("all", "random"):
        kind = "words" if settings.word_start else "tokens"
        count = len(usable_tokens(models[0], settings.word_start))
        return Available(count, f"{kind} of model {models[0].alias!r}")
    names = ", ".join([models[0].alias, *sorted(model.alias for model in models[1:])])
    count = len(common_vocabulary(models))
    if not count:
        raise InputError(
            f"models {names}: no word is a single token in all of them;"
            " allowed: models with a common vocabulary"
        )
    if settings.vocabulary == "agreement":
        effective_k(settings.k, count, comparison_of(settings))
    return Available(count, f"words that {names} share")
