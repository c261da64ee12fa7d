"""The plan: the cells a spec stands for, grouped into packs by the planner of each family."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import product
from typing import Any, ClassVar

from typing_extensions import override

from sweep.planning.hard import HardPlanner
from sweep.planning.planner import REFERENCES, Planner, missing_of, reference_settings
from sweep.planning.soft import SoftPlanner, stays
from sweep.planning.tasks import most_cells, task_packs
from sweep.planning.twins import joined
from sweep.planning.work import cost
from sweep.spec.resolve import ModelResolver, ResolvedSpec, TaskResolver, resolve
from sweep.spec.spec import SweepSpec
from trainables.core.cells import Cell, Pack
from trainables.core.settings import axes, family_of, stored
from trainables.errors import InputError

PLANNERS: dict[str, type[Planner]] = {"soft": SoftPlanner, "hard": HardPlanner}
"""Per family of methods what turns them into packs."""

MOST_CELLS = 1_000_000
_GOOD_PART = 1 / 8
"""Of all work: with packs smaller than that, two or four workers end at about the same time."""


DIRECT_ROWS = ("independent", "all")
"""Rows of prompts tuned on one model alone, without restriction."""


class AnyPlan(ABC):
    """What a spec stands for: a grid's cells, or a search whose cells come as it goes on.

    Attributes:
        resolved: the spec with its models and tasks.
        searched: whether it is a search.
        may_change: what a spec may change and go on with the same folder, for people.
    """

    resolved: ResolvedSpec
    searched: ClassVar[bool]
    may_change: ClassVar[str]

    @property
    @abstractmethod
    def cells(self) -> tuple[Cell, ...]:
        """Every cell that is known by now, once."""

    @property
    @abstractmethod
    def by_id(self) -> Mapping[str, Cell]:
        """The same by id."""

    @property
    @abstractmethod
    def hash(self) -> str:
        """Content hash: a folder holds the results of one such."""

    @abstractmethod
    def counts(self, done: Collection[str] = ()) -> dict[str, Any]:
        """Numbers of what it stands for; of cells in ``done`` as there."""

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """What ``sweep.json`` says beside the spec."""

    @abstractmethod
    def sample(self) -> "Plan":
        """Cells that show what is wrong with models, tasks and words before anything is trained."""


@dataclass(frozen=True)
class Plan(AnyPlan):
    """All cells of a grid.

    Attributes:
        resolved: the spec with its models and tasks.
        packs: all cells, grouped; no cell is in two packs.
    """

    resolved: ResolvedSpec
    packs: tuple[Pack, ...]
    searched: ClassVar[bool] = False
    may_change: ClassVar[str] = (
        "the spec, models, tasks and program version it was made with, to which the spec may add"
    )

    @cached_property
    @override
    def cells(self) -> tuple[Cell, ...]:
        return tuple(cell for pack in self.packs for cell in pack.cells)

    @cached_property
    @override
    def by_id(self) -> dict[str, Cell]:
        return {cell.id: cell for cell in self.cells}

    @cached_property
    def direct(self) -> tuple[Cell, ...]:
        """Prompts tuned on targets themselves (row Direct), asked for or there anyway."""
        targets = set(self.resolved.targets)
        return tuple(
            cell
            for cell in self.cells
            if cell.row in DIRECT_ROWS and cell.kind == "source" and cell.target in targets
        )

    @property
    @override
    def hash(self) -> str:
        return self.resolved.hash

    @override
    def summary(self) -> dict[str, Any]:
        counts = self.counts()
        kept = {key: counts[key] for key in ("kinds", "rows", "tunings", "packs")}
        direct: dict[str, list[str]] = {}
        for method, target in sorted({(cell.method, cell.target) for cell in self.direct}):
            direct.setdefault(method, []).append(target)
        return {"planned_cells": counts["cells"], **kept, "direct": direct}

    @override
    def sample(self) -> "Plan":
        return self

    @override
    def counts(self, done: Collection[str] = ()) -> dict[str, Any]:
        """Numbers of cells, tunings and packs.

        Args:
            done: ids of cells that need not run.
        """
        joint = sum(
            len({cell.tuning for cell in pack.cells if cell.row == "joint"}) for pack in self.packs
        )
        rows = Counter(cell.row for cell in self.cells)
        finished = sum(cell.id in done for cell in self.cells)
        return {
            "name": self.resolved.spec.name,
            "spec_hash": self.hash,
            "cells": len(self.cells),
            "kinds": dict(Counter(cell.kind for cell in self.cells)),
            "rows": dict(rows),
            "tunings": {"independent": rows["independent"], "joint": joint},
            "searches": sum(
                cell.kind == "source" and family_of(cell.method) == "hard" for cell in self.cells
            ),
            "direct": len(self.direct),
            "packs": len(self.packs),
            "combinations": [
                {"method": method.name, **values}
                for method in self.resolved.spec.methods.values()
                for values in _differing(method.variants)
            ],
            "done": finished,
            "to_run": len(self.cells) - finished,
        }

    def remaining(self, done: Collection[str]) -> tuple[Pack, ...]:
        """The packs with only what is missing.

        What comes along with a tuning that is done again (see
        :func:`sweep.planning.planner.missing_of`) is not written again.

        Args:
            done: ids of finished cells.
        """
        return tuple(left for pack in self.packs for left in missing_of(pack, done))


def make_plan(
    spec: SweepSpec,
    find_model: ModelResolver | None = None,
    find_task: TaskResolver | None = None,
) -> Plan:
    """Every cell that ``spec`` stands for.

    Args:
        spec: a checked spec.
        find_model: see :func:`sweep.spec.resolve.resolve`.
        find_task: see :func:`sweep.spec.resolve.resolve`.

    Raises:
        InputError: an unknown model or task, nothing to transfer, or too many cells.
    """
    plan = plan_of(resolve(spec, find_model, find_task))
    if not spec.transfer and not any(cell.kind == "source" for cell in plan.cells):
        raise InputError(
            "transfer: found [] beside direct: false, so that nothing is tuned; allowed: a way of"
            " transfer, or direct: true"
        )
    carries = spec.transfer and not spec.task_transfer and not stays(plan.resolved)
    if carries and not any(cell.kind == "transfer" for cell in plan.cells):
        raise InputError(
            f"targets: found {', '.join(plan.resolved.targets)}; allowed: at least one model that"
            " is not the only source"
        )
    return plan


def plan_of(resolved: ResolvedSpec) -> Plan:
    """Every cell of a spec whose names are looked up.

    Raises:
        InputError: too many cells.
    """
    spec = resolved.spec
    most = _upper_bound(resolved)
    if most > MOST_CELLS:
        raise InputError(f"the spec stands for up to {most} cells; allowed: {MOST_CELLS} at most")
    packs: list[Pack] = []
    referred: set[tuple[Any, ...]] = set()
    for method in spec.methods.values():
        planner = PLANNERS[family_of(method.name)]
        for variants, task in product(planner.groups(method.variants), resolved.method_tasks):
            packs += planner(resolved, method, variants, task, referred).packs()
    packs += task_packs(resolved, {cell.id for pack in packs for cell in pack.cells})
    check_inputs(packs)
    return Plan(resolved, joined(packs, resolved))


def check_inputs(packs: Iterable[Pack]) -> None:
    """Refuse packs that could never run: what they need is not planned, or needs them.

    Raises:
        InputError: a needed prompt is no pack's, or packs wait for one another.
    """
    packs = list(packs)
    places = {cell.id: place for place, pack in enumerate(packs) for cell in pack.cells}
    for pack in packs:
        missing = next((name for name in pack.needs if name not in places), None)
        if missing:
            raise InputError(
                f"plan: {_named(pack)} needs the prompt of cell {missing}; allowed: prompts that"
                " the spec has tuned"
            )
    graph = {place: {places[name] for name in pack.needs} for place, pack in enumerate(packs)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " needs ".join(_named(packs[place]) for place in error.args[1][::-1])
        raise InputError(
            f"plan: {circle}; allowed: prompts that start from others, and none of them from itself"
        ) from None


def _named(pack: Pack) -> str:
    first = pack.cells[0]
    return f"{first.row} on {first.target} (task {pack.task.name})"


def _upper_bound(resolved: ResolvedSpec) -> int:
    tuned = sum(
        PLANNERS[family_of(method.name)].most_cells(resolved, method)
        for method in resolved.spec.methods.values()
    )
    methods = resolved.spec.methods.values()
    read = {str(reference_settings(each)) for method in methods for each in method.variants}
    references = len(read) * len(REFERENCES) * (len(resolved.sources) + len(resolved.targets))
    return len(resolved.tasks) * (tuned + references) + most_cells(resolved)


def running_order(packs: Iterable[Pack]) -> list[Pack]:
    """Packs in the order in which to start them.

    Single sources first, since transfer packs wait for them; then transfer packs, so that the
    reference rows, against which everything is measured, are there early; then the joint tunings,
    the costly ones first and those of the same models side by side (they are in memory then),
    in the spec's order of tasks.

    Tunings that are a good part of all work come before everything else: begun last, one of them
    would run when the other workers have nothing left to do.
    """
    packs = list(packs)
    much = _GOOD_PART * sum(map(cost, packs))

    def rank(pack: Pack) -> tuple[Any, ...]:
        stage = 1 if pack.kind == "transfer" else 0 if len(pack.sources) == 1 else 2
        if stage != 1 and cost(pack) >= much:
            stage = -1
        return (stage, -cost(pack), pack.sources)

    return sorted(packs, key=rank)


def _differing(variants: Sequence[Any]) -> list[dict[str, Any]]:
    """Of several combinations of settings, in what each differs; of one, nothing."""
    values = [stored(settings) for settings in variants]
    every = axes(type(variants[0]))
    names = [name for name in every if len({repr(item.get(name)) for item in values}) > 1]
    return [{name: item.get(name) for name in names} for item in values] if names else []
