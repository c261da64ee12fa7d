"""What models make of a task's texts without any prompt; no label is read but by ``score``.

Shapes: n texts, C classes.
"""

import math

import torch

from trainables.backbones import Backbone, Layout, reads_of
from trainables.errors import InputError
from trainables.scoring.evaluate import finite, no_number, scores
from trainables.tasks import Task

TEXTS = 128
"""Texts that are read: the first of the validation split."""


def readings(
    model: Backbone,
    task: Task,
    text_tokens: int | None = None,
    most: int = TEXTS,
    chat: bool = False,
) -> torch.Tensor:
    """Label-word log-probabilities [n, C] of the Empty row, renormalised over the label words.

    Args:
        task: whose validation texts are read; their labels are not.
        text_tokens: texts are cut to this many tokens.
        most: texts at most.
        chat: in the model's own chat template, where it has one.

    Raises:
        InputError: a label word does not do on the model, the split cannot be read, or the
            model's logits are not all finite.
    """
    task.need_classes("recommend", "tasks with classes")
    rows = task.rows("validation")[:most]
    chat = chat and model.chat is not None
    labels = model.labels(task.label_words, task.name, task.scoring, chat)
    blind, layout = [0] * len(rows), Layout(text_tokens=text_tokens, chat=chat)
    spare = reads_of(labels).longest
    data = model.read([row.content for row in rows], blind, layout, task.name, spare)
    logits = model.split_logits(data, labels)
    if not bool(finite(logits)):
        raise InputError(no_number(model.alias, task.name, "validation"))
    return logits[0].double().log_softmax(-1).cpu()


def score(log_probabilities: torch.Tensor, task: Task) -> float:
    """The task's metric on these texts, 0 to 1. Reads the validation labels."""
    gold = torch.tensor([row.label for row in task.rows("validation")[: len(log_probabilities)]])
    return scores(log_probabilities[None], gold, task.metric)[0]


def entropy(log_probabilities: torch.Tensor) -> float:
    """Mean entropy of the texts' label distributions over log C: 1 knows nothing, 0 is sure."""
    classes = log_probabilities.shape[-1]
    each = -(log_probabilities.exp() * log_probabilities).sum(-1)
    return float(each.mean()) / math.log(classes)


def balance(log_probabilities: torch.Tensor) -> float:
    """Entropy of the mean label distribution over log C: 0 where one class takes everything."""
    mean = log_probabilities.exp().mean(0, keepdim=True).clamp_min(1e-300).log()
    return entropy(mean)


def reading_correlation(left: torch.Tensor, right: torch.Tensor) -> float:
    """Pearson correlation of two models' readings over texts, mean over classes.

    Each text's log-probabilities are centred over classes first, so that only what a text says of
    the classes counts. A class that one of the models reads alike in all texts counts as 0.

    Args:
        left: log-probabilities [n, C].
        right: [n, C] of the same texts.
    """
    x, y = (side - side.mean(-1, keepdim=True) for side in (left, right))
    x, y = x - x.mean(0), y - y.mean(0)
    scale = x.norm(dim=0) * y.norm(dim=0)
    defined = scale > 1e-12
    each = torch.where(defined, (x * y).sum(0) / scale.clamp_min(1e-12), 0.0)
    return float(each.mean())
