"""What packs of every family do alike: tune in stacks that fit, carry over in groups that fit."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Protocol, TypeVar

import torch

from trainables.compute.memory import in_parts
from trainables.core.cells import Cell
from trainables.packs.run import Progress, Run, Rungs

T = TypeVar("T")

Tell = Callable[[int, int], None]
"""Called with (step, steps)."""

Prompts = Mapping[str, torch.Tensor]
"""By cell id, vectors [m, d] or the bytes of a text [n]."""


class Family(Protocol):
    """The module of a family of methods, an entry of :data:`trainables.core.registries.FAMILIES`.

    Attributes:
        TOGETHER: cells carried over at once; None for all of a group.
    """

    TOGETHER: int | None

    def tune_sources(
        self,
        run: Run,
        cells: Sequence[Cell],
        known: dict[str, torch.Tensor],
        progress: Progress | None,
    ) -> None:
        """Tune the prompts of ``source`` cells, evaluate them, add them to ``known``."""

    def carried_with(self, run: Run, cell: Cell, known: Prompts) -> Hashable:
        """``transfer`` cells to one target for which this is equal are carried over together."""

    def carry_group(self, run: Run, cells: Sequence[Cell], known: Prompts) -> None:
        """Carry such cells over and evaluate them."""

    def evaluate_crossed(self, run: Run, cells: Sequence[Cell], known: Prompts) -> None:
        """Evaluate ``crossed`` cells, where a family has any."""


def in_stacks(
    items: Sequence[T],
    size: int,
    kind: Hashable,
    tune: Callable[[Sequence[T], Tell | None], None],
    progress: Progress | None,
) -> list[T]:
    """Tune ``items`` as stacks of ``size``, smaller ones where memory is short; what never fits.

    ``tune`` settles the cells of a stack, all of them or none; ``kind`` is what a stack's memory
    depends on besides its size.
    """

    def part(some: Sequence[T], first: int) -> None:
        def tell(step: int, steps: int) -> None:
            if progress:
                progress("train", first * steps + step * len(some), len(items) * steps)

        tune(some, tell if progress else None)

    return in_parts(items, size, kind, part)


def stopping(
    ask: Rungs | None, members: Sequence[tuple[Cell, int, int]]
) -> Callable[[int, Mapping[int, Sequence[float]]], set[int]] | None:
    """The pack's callback for a stack.

    ``members``: cells, each with its place and which of the place's values is the cell's.
    """
    if ask is None:
        return None

    def asked(step: int, values: Mapping[int, Sequence[float]]) -> set[int]:
        told = {cell.id: values[place][which] for cell, place, which in members if place in values}
        named = set(ask(step, told))
        return {place for cell, place, _ in members if cell.id in named}

    return asked


def carry_over(
    run: Run, family: Family, cells: Sequence[Cell], known: Prompts, progress: Progress | None
) -> None:
    """Carry prompts over and evaluate them, the cells that go together at a time."""
    groups: dict[Hashable, list[Cell]] = {}
    for cell in cells:
        missing = [item for item in cell.inputs if item not in known]
        halted = [run.outcome.stopped[item] for item in missing if item in run.outcome.stopped]
        if halted:
            run.outcome.stopped[cell.id] = halted[0]
        elif missing:
            run.outcome.failures[cell.id] = (
                f"the tuned prompt it carries over ({missing[0]}) is not available"
            )
        else:
            key = (cell.target, family.carried_with(run, cell, known))
            groups.setdefault(key, []).append(cell)
    done = 0
    for group in groups.values():
        target, most = group[0].target, family.TOGETHER or len(group)
        for start in range(0, len(group), most):
            some = group[start : start + most]
            kind = ("carry", target, run.device, some[0].settings.get("solver"))
            lost = in_parts(
                some, len(some), kind, lambda part, _: family.carry_group(run, part, known)
            )
            for cell in lost:
                run.outcome.failures[cell.id] = (
                    f"out of memory: one prompt carried over does not fit beside {target} on"
                    f" {run.device}"
                )
            done += len(some)
            if progress:
                progress("transfer", done, len(cells))
