"""A few labelled examples a class."""

from collections import Counter
from collections.abc import Sequence

import torch

from trainables.core.seeds import seeded
from trainables.errors import InputError


def check_shots(shots: int | None, gold: Sequence[int], classes: int, task: str = "") -> None:
    """Refuse more examples a class than there are.

    Args:
        shots: examples a class that are asked for; None: all, which is always good.
        gold: the class of every example of the training split.
        classes: C.
        task: its name, for the message.

    Raises:
        InputError: the smallest class has fewer.
    """
    count = Counter(gold)
    least = min(count[number] for number in range(classes))
    if shots is not None and shots > least:
        of = f" of task {task!r}" if task else ""
        raise InputError(
            f"shots: found {shots}; allowed: at most {least}, the examples of the smallest class in"
            f" the training split{of}"
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
