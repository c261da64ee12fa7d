"""What tuned prompts start from: their own draw, another draw, or prompts of other tasks.

A ``source`` cell with ``inputs`` starts from the prompts of other cells on the same model. Of one
input that prompt is the start. With ``top`` the inputs are, for the n tasks of ``origin``, their n
prompts, then n prompts that tell how like these tasks are (tuned for a few steps), then such a
prompt of the cell's own task. A mixture of tasks (:mod:`trainables.soft.mixture`) has the latter
n + 1 alone: it starts from a draw of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from trainables.core.cells import Cell
from trainables.core.registries import SIMILARITIES
from trainables.core.settings.starts import StartSettings, parted
from trainables.tasks.similarity import nearest, weights

_SEEDS = 2**32
"""Seeds are below it: another draw's numbers are no other seed's."""
OWN = StartSettings()
"""The seed's own draw."""


@dataclass(frozen=True)
class Begun:
    """What a prompt starts from, beside its seed and the method's ``init``.

    Attributes:
        inputs: ids of cells whose prompts it starts from; empty: from none.
        origin: tasks of these prompts.
        settings: how.
    """

    inputs: tuple[str, ...] = ()
    origin: tuple[str, ...] = ()
    settings: StartSettings = OWN

    @classmethod
    def of(cls, cell: Cell) -> "Begun":
        """What a ``source`` cell says of it."""
        return cls(cell.inputs, cell.origin, parted(cell.settings)[1])

    @property
    def order(self) -> tuple[Any, ...]:
        """What replicas of one seed are sorted by."""
        how = self.settings
        return (self.inputs, how.draw, how.top or 0, how.retrieval or "")

    @property
    def mixed(self) -> bool:
        """Whether it is tuned on a mixture of tasks."""
        return self.settings.mixture

    def seed(self, seed: int) -> int:
        """What the start is drawn with, where it is drawn."""
        return seed + self.settings.draw * _SEEDS


OWN_DRAW = Begun()
"""From the draw of the seed alone."""


@dataclass(frozen=True)
class Given:
    """What a start needs of other cells' prompts.

    Attributes:
        prompt: [m, d], float32 on the CPU; None where the start is drawn all the same.
        tasks: places in ``origin`` of the tasks that were retrieved, the most similar first.
        numbers: what a result says of it.
    """

    prompt: torch.Tensor | None
    tasks: tuple[int, ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)


def given(
    begun: Begun, known: Mapping[str, torch.Tensor], vectors: int | None = None
) -> Given | None:
    """What ``begun`` takes of prompts by cell id; None where it takes nothing.

    ``vectors``: how many of a prompt's rows are vectors, by which tasks are compared; None: all.
    """
    if not begun.inputs:
        return None
    prompts = [known[name].float().cpu() for name in begun.inputs]
    top, retrieval = begun.settings.top, begun.settings.retrieval
    if top is None or retrieval is None:
        return Given(prompts[0])
    *early, own = (prompt[:vectors] for prompt in prompts[-1 - len(begun.origin) :])
    found = [SIMILARITIES[retrieval](one.numpy(), own.numpy()) for one in early]
    places = nearest(found, top)
    told = {
        "start_tasks": [begun.origin[place] for place in places],
        "start_similarities": [found[place] for place in places],
    }
    if begun.mixed:
        return Given(None, tuple(places), told)
    shares = weights([found[place] for place in places])
    average = sum(share * prompts[place] for share, place in zip(shares, places, strict=True))
    return Given(torch.as_tensor(average), tuple(places), {**told, "start_shares": shares})
