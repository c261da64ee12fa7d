"""A few labelled examples a class."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import torch

from trainables.core.seeds import seeded
from trainables.errors import InputError
from trainables.tasks.splits import take
from trainables.tasks.task import Task

BOUND = {"train": "training", "validation": "validation"}
"""Splits that few-shot tuning has few examples of, each with its name for people."""


def check_shots(
    shots: int | None, gold: Sequence[int], classes: int, task: str = "", split: str = "train"
) -> None:
    """Refuse more examples a class than there are.

    Args:
        shots: examples a class that are asked for; None: all, which is always good.
        gold: the class of every example of the split.
        classes: C.
        task: its name, for the message.
        split: key of :data:`BOUND`.

    Raises:
        InputError: the smallest class has fewer.
    """
    count = Counter(gold)
    least = min(count[number] for number in range(classes))
    if shots is not None and shots > least:
        of = f" of task {task!r}" if task else ""
        raise InputError(
            f"shots: found {shots}; allowed: at most {least}, the examples of the smallest class in"
            f" the {BOUND[split]} split{of}"
        )


def drawn(shots: int | None, gold: Sequence[int], classes: int, seed: int) -> torch.Tensor:
    """Places of ``shots`` examples of every class, rising; all where it is None.

    Fewer of one seed are always part of more.

    Args:
        shots: examples a class.
        gold: the class of every example.
        classes: C.
        seed: of the draw.

    Raises:
        InputError: as :func:`check_shots`.
    """
    if shots is None:
        return torch.arange(len(gold))
    check_shots(shots, gold, classes)
    places = torch.tensor(gold)
    chosen = []
    for number in range(classes):
        (own,) = torch.where(places == number)
        order = torch.randperm(len(own), generator=seeded("transfer", "shots", seed, number))
        chosen.append(own[order[:shots]])
    return torch.cat(chosen).sort().values


def few_shot(task: Task, shots: int | None, seed: int) -> Task:
    """The task with ``shots`` training and ``shots`` validation examples a class; None: the task.

    Raises:
        InputError: as :func:`check_shots`.
    """
    if shots is None:
        return task
    few = {}
    for split in BOUND:
        rows = task.rows(split)
        gold = [row.label for row in rows]
        check_shots(shots, gold, task.num_classes, task.name, split)
        few[split] = take(rows, drawn(shots, gold, task.num_classes, seed).tolist())
    return replace(task, _cache={"test": task.rows("test"), **few})
