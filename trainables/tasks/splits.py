"""Examples and deterministic, class-balanced choices among them.

A choice depends on the seed and on the texts alone, never on a run's seed, on the order of a
generator's draws or on the Python version: the same task file always means the same rows.
"""

import hashlib
import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trainables.core.texts import Text, joined

SPLITS = ("train", "validation", "test")
"""The parts every task has; validation chooses, test only measures."""


@dataclass(frozen=True, slots=True)
class Example:
    """One classified text.

    Attributes:
        text: the task's text format filled in, without surrounding white space; may be
            empty (TweetEval has such rows).
        label: class index, 0 to C - 1.
        pair: likewise the second text of a task on pairs, None in other tasks.
    """

    text: str
    label: int
    pair: str | None = None

    @property
    def content(self) -> Text:
        return self.text if self.pair is None else (self.text, self.pair)

    @property
    def whole(self) -> str:
        """The content as one text."""
        return joined(self.content)


def choose(examples: Sequence[Example], size: int, seed: int = 0) -> list[int]:
    """Indices of ``size`` examples in the class proportions of all, in their original order.

    Every class gets one place first (as far as ``size`` goes), then places follow the highest
    quotient count / (2 places + 1). A smaller choice is therefore part of a larger one.

    Args:
        size: how many; at least ``len(examples)`` returns all.
    """
    if size >= len(examples):
        return list(range(len(examples)))
    queues: dict[int, list[int]] = {}
    for index in _shuffled(examples, seed):
        queues.setdefault(examples[index].label, []).append(index)
    places = dict.fromkeys(queues, 0)
    # Largest quotient first; an empty class precedes all, then the more frequent, then the lower.
    ranking = [(False, -float(len(queue)), label) for label, queue in queues.items()]
    heapq.heapify(ranking)
    for _ in range(max(size, 0)):
        _, _, label = heapq.heappop(ranking)
        places[label] += 1
        if places[label] < len(queues[label]):
            quotient = len(queues[label]) / (2 * places[label] + 1)
            heapq.heappush(ranking, (True, -quotient, label))
    return sorted(index for label, queue in queues.items() for index in queue[: places[label]])


def take(examples: Sequence[Example], indices: Iterable[int]) -> tuple[Example, ...]:
    return tuple(examples[index] for index in indices)


def _shuffled(examples: Sequence[Example], seed: int) -> list[int]:
    """All indices in the order of a hash of seed and text: equal texts stay neighbours."""

    def rank(index: int) -> tuple[bytes, int]:
        key = f"{seed}\n{examples[index].whole}".encode()
        return hashlib.sha256(key).digest(), index

    return sorted(range(len(examples)), key=rank)
