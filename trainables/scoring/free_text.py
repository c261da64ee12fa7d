"""A task's answers on a model: label words, or free text with what it is scored by."""

import math
from functools import partial

import torch

from trainables.backbones import Labels, Reader, spell
from trainables.backbones.free_text import LOSS, SCORE, free_text
from trainables.tasks import Task
from trainables.tasks.answers import answer_score


def answers_of(
    reader: Reader, task: Task, device: str | torch.device = "cpu", chat: bool = False
) -> Labels:
    """What rows of a task are compared by on a model; ``chat``: behind its chat template.

    Raises:
        InputError: label words that do not do, or a model that cannot say free text.
    """
    if not task.free:
        return spell(reader, task.label_words, task.name, task.scoring, device, chat)
    judge = partial(answer_score, task.metric)
    return free_text(reader, task.golds, judge, task.max_answer_tokens, task.name, device, chat)


def answer_scores(found: torch.Tensor) -> list[float]:
    """Mean score of R prompts from [R, n, 2]; NaN where losses are not all finite."""
    known = torch.isfinite(found).flatten(1).all(1).tolist()
    means = found[..., SCORE].double().mean(1).tolist()
    return [mean if good else math.nan for mean, good in zip(means, known, strict=True)]


def answer_loss(found: torch.Tensor) -> torch.Tensor:
    """Mean loss of the gold answers [R] from [R, n, 2]."""
    return found[..., LOSS].mean(1)
