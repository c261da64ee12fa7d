"""How often a model reads a row for one answer, told from task files and tokenizers. No torch."""

from collections.abc import Sequence
from functools import cache

from sweep.planning.work import Readings
from sweep.spec.resolve import ResolvedSpec
from trainables.core.cells import ModelRef
from trainables.core.texts import ONCE, Passes, begun, listed
from trainables.errors import InputError
from trainables.models.first_look import is_masked, pieces
from trainables.tasks import load_task

_MASK = "[MASK]"
"""Stands for whatever a masked model has there."""


def readings(resolved: ResolvedSpec) -> Readings:
    """What an answer takes on a cell's model, exact where that lies in a folder.

    Of other models words count as tokens. Free text takes as many readings as its answers may have
    tokens, and on a prompt that is scored as many again for the gold answer: at most so much.
    """
    places = {task.name: number for number, task in enumerate(resolved.tasks)}

    @cache
    def of(alias: str, number: int) -> Passes:
        try:
            task = load_task(resolved.tasks[number])
            if task.free:
                return Passes(task.max_answer_tokens, 2 * task.max_answer_tokens)
            if task.scoring in (None, "first_token"):
                return ONCE
            texts = [text for word in task.label_words for text in listed(word)]
            return _label_texts(resolved.models[alias], texts)
        except InputError:  # whoever loads it says so
            return ONCE

    return lambda cell: of(cell.target, places[cell.task])


def _label_texts(model: ModelRef, texts: Sequence[str]) -> Passes:
    spelled = pieces(model, texts)
    split = [spelled.get(text, tuple(text.split())) for text in texts]
    if all(len(word) == 1 for word in split):
        return ONCE
    mask = _MASK if is_masked(model) else None
    count = len({begun(word, at, mask) for word in split for at in range(len(word))})
    return Passes(count, count)
