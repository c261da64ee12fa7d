"""Prompts tuned on examples of several tasks at once (Vu et al. 2022; Raffel et al. 2020).

A mixture holds a target task and the tasks that were retrieved for it. Examples are drawn in
proportion to the tasks' sizes, none counting as larger than ``cap``; within a task they come in
whole shuffled passes. Every row's loss is over the label words of its own task.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from trainables.backbones import Encoded, Labels
from trainables.core.seeds import chained_passes, seeded
from trainables.dynamic.guide import Guided
from trainables.errors import InputError


@dataclass(frozen=True)
class Mixed:
    """Training examples of several tasks as one split.

    Attributes:
        train: those of all tasks, task by task; ``gold`` counts through the label words of all.
        label_ids: label words of all tasks, task by task [U].
        tasks: the task of each label word [U].
        sizes: examples of each task.
    """

    train: Encoded
    label_ids: torch.Tensor
    tasks: torch.Tensor
    sizes: tuple[int, ...]


def single_tokens(labels: Labels, task: str, model: str) -> torch.Tensor:
    """What a mixture compares answers of a task by: ids [C] of words of one token.

    Raises:
        InputError: answers are texts of several tokens, lists of words, or free text.
    """
    if isinstance(labels, torch.Tensor):
        return labels
    raise InputError(
        f"task_transfer.mixture: found task {task!r}, whose answers are not one token a class on"
        f" model {model!r}; allowed: such tasks without mixtures ([]), or one label word of one"
        " token a class"
    )


def mixed(parts: Sequence[tuple[Encoded, torch.Tensor]]) -> Mixed:
    """The training examples [n, L] and label ids [C] of each task as one split."""
    longest = max(data.ids.shape[1] for data, _ in parts)
    kinds = any(data.types is not None for data, _ in parts)
    begins = {data.begin for data, _ in parts}
    before, golds = 0, []
    for data, ids in parts:
        golds.append(data.gold + before)
        before += len(ids)

    def padded(values: torch.Tensor) -> torch.Tensor:
        return F.pad(values, (0, longest - values.shape[1]))

    def types(data: Encoded) -> torch.Tensor:
        return torch.zeros_like(data.ids) if data.types is None else data.types

    every = [data for data, _ in parts]
    label_ids = torch.cat([ids for _, ids in parts])
    decoders = [data.decoder for data in every if data.decoder is not None]
    guided = [data.guided for data in every if data.guided is not None]
    train = Encoded(
        ids=torch.cat([padded(data.ids) for data in every]),
        lengths=torch.cat([data.lengths for data in every]),
        slots=torch.cat([data.slots for data in every]),
        answers=torch.cat([data.answers for data in every]),
        gold=torch.cat(golds),
        begin=begins.pop() if len(begins) == 1 else None,
        types=torch.cat([padded(types(data)) for data in every]) if kinds else None,
        decoder=torch.cat(decoders) if decoders else None,
        guided=Guided.joined(guided) if guided else None,
    )
    counts = torch.tensor([len(ids) for _, ids in parts])
    tasks = torch.arange(len(parts)).repeat_interleave(counts).to(label_ids.device)
    return Mixed(train, label_ids, tasks, tuple(len(data) for data in every))


def rates(sizes: Sequence[int], cap: int) -> list[float]:
    """Share of each task in a mixture: min(size, cap) over the sum of these."""
    counted = [min(size, cap) for size in sizes]
    return [size / sum(counted) for size in counted]


def mixed_order(
    sizes: Sequence[int], chosen: Sequence[int], cap: int, steps: int, size: int, seed: int
) -> torch.Tensor:
    """Examples of every step, [steps, size], as places in the split of all tasks.

    Args:
        sizes: examples of each task in it.
        chosen: places of the tasks that are mixed.
        cap: see :func:`rates`.
        seed: of the draw.
    """
    shares = torch.tensor(rates([sizes[place] for place in chosen], cap))
    draw = torch.multinomial(
        shares, steps * size, replacement=True, generator=seeded("mixture", seed)
    )
    order = torch.empty(steps * size, dtype=torch.long)
    for number, place in enumerate(chosen):
        (at,) = torch.where(draw == number)
        passes = chained_passes(sizes[place], len(at), 1, seeded("order", seed, place))
        order[at] = sum(sizes[:place]) + passes.flatten()
    return order.view(steps, size)
