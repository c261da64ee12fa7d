"""The plan: the cells a spec stands for, grouped into packs.

Per method, combination of its settings and task there are three kinds of packs:

* ``tune`` of one model: its prompts over all seeds, tuned independently; with a source's reference
  rows. With ``direct`` each target is tuned like this too: row Direct of the report is nothing but
  the ``independent`` cells of a target, and a target that is also a source is tuned once;
* ``tune`` of a pair: its jointly tuned prompts over all λ > 0 and seeds, carried to every target;
* ``transfer`` to one target: what single sources and independently tuned pairs (λ = 0) bring
  there, and the target's reference rows. It ``needs`` the prompts of the first kind.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Any

from sweep.methods import INDEPENDENT, MethodSpec, Weight
from sweep.resolve import ModelResolver, ResolvedSpec, StartFile, TaskResolver, resolve
from sweep.spec import SweepSpec
from trainables.cells import Cell, Pack, TaskRef
from trainables.errors import InputError
from trainables.settings import stored

REFERENCES = ("empty", "manual", "constant")
LAYOUT_SETTINGS = ("prompt_length", "position", "text_tokens")
"""Settings of a method that say how an input is put together, on whatever model."""

MOST_CELLS = 1_000_000
_TRAINING_ROWS = 8000
"""Training examples of a task whose size is not known: between MRPC's 3,700 and SST-2's 67,000."""
_EVALUATION = 10
"""Steps that evaluating one cell is worth: some 300 texts forwards against 8 forwards and back."""


@dataclass(frozen=True)
class Plan:
    """What a spec stands for.

    Attributes:
        resolved: the spec with its models and tasks.
        packs: all cells, grouped; no cell is in two packs.
    """

    resolved: ResolvedSpec
    packs: tuple[Pack, ...]

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell once."""
        return tuple(cell for pack in self.packs for cell in pack.cells)

    @cached_property
    def by_id(self) -> dict[str, Cell]:
        """Every cell by its id."""
        return {cell.id: cell for cell in self.cells}

    @cached_property
    def direct(self) -> tuple[Cell, ...]:
        """The independent tunings on targets (row Direct), asked for or there anyway."""
        targets = set(self.resolved.targets)
        return tuple(
            cell for cell in self.cells if cell.row == "independent" and cell.target in targets
        )

    @property
    def hash(self) -> str:
        """The spec's hash."""
        return self.resolved.hash

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

        A tuning with a missing cell is done again as a whole: its other ``source`` cells come
        along (they cost nothing more and later cells may take them as inputs), but a cell in
        ``done`` is not written again.

        Args:
            done: ids of finished cells.
        """
        return tuple(pack for pack in (_shrunk(pack, done) for pack in self.packs) if pack.cells)


def make_plan(
    spec: SweepSpec,
    find_model: ModelResolver | None = None,
    find_task: TaskResolver | None = None,
) -> Plan:
    """Every cell that ``spec`` stands for.

    Args:
        spec: a checked spec.
        find_model: see :func:`sweep.resolve.resolve`.
        find_task: see :func:`sweep.resolve.resolve`.

    Raises:
        InputError: an unknown model or task, nothing to transfer, or too many cells.
    """
    resolved = resolve(spec, find_model, find_task)
    most = _upper_bound(resolved)
    if most > MOST_CELLS:
        raise InputError(f"the spec stands for up to {most} cells; allowed: {MOST_CELLS} at most")
    packs: list[Pack] = []
    referred: set[tuple[str, str]] = set()
    for method in spec.methods.values():
        for settings, task in product(method.variants, resolved.tasks):
            packs += _MethodOnTask(resolved, method, settings, task, referred).packs()
    if not any(cell.kind == "transfer" for pack in packs for cell in pack.cells):
        raise InputError(
            f"targets: found {', '.join(resolved.targets)}; allowed: at least one model that is"
            " not the only source"
        )
    return Plan(resolved, tuple(packs))


@dataclass
class _MethodOnTask:
    """Packs of one method, with one combination of its settings, on one task.

    Attributes:
        referred: (model, task) whose reference cells some pack already holds; shared.
    """

    resolved: ResolvedSpec
    method: MethodSpec
    settings: Any
    task: TaskRef
    referred: set[tuple[str, str]]
    independent: dict[tuple[str, int], Cell] = field(default_factory=dict)

    def packs(self) -> Iterator[Pack]:
        # Transfers come first because they say which independent tunings are needed at all.
        carried = [(target, tuple(self._carried_cells(target))) for target in self.resolved.targets]
        if self.resolved.spec.direct:
            for target in self.resolved.targets:
                for seed in self.resolved.spec.seeds:
                    self._alone(target, seed)
        yield from self._independent_packs()
        for pair in self.resolved.pairs:
            cells = tuple(self._joint_cells(pair))
            if cells:
                yield self._pack("tune", pair, cells)
        for target, cells in carried:
            cells += tuple(self._reference_cells(target))
            if cells:
                yield self._pack("transfer", (), cells)

    def _carried_cells(self, target: str) -> Iterator[Cell]:
        seeds = self.resolved.spec.seeds
        for source in self.resolved.sources:
            if source != target:
                for seed in seeds:
                    yield self._transfer("single", target, INDEPENDENT, seed, [source])
        if INDEPENDENT in self.method.weights:
            for pair in self._pairs_without(target):
                for seed in seeds:
                    yield self._transfer("baseline", target, INDEPENDENT, seed, pair)

    def _independent_packs(self) -> Iterator[Pack]:
        for model in dict.fromkeys((*self.resolved.sources, *self.resolved.targets)):
            cells = tuple(cell for (name, _), cell in self.independent.items() if name == model)
            if cells:
                # A target keeps its reference rows in its transfer pack: where the tuning on it
                # fails, what all is measured against is still there.
                if model in self.resolved.sources:
                    cells += tuple(self._reference_cells(model))
                yield self._pack("tune", (model,), cells)

    def _joint_cells(self, pair: tuple[str, ...]) -> Iterator[Cell]:
        targets = [target for target in self.resolved.targets if target not in pair]
        if not targets:
            return
        for weight in self.method.weights:
            for seed in self.resolved.spec.seeds if weight.joint else ():
                tuned = [self._source("joint", name, pair, weight, seed) for name in pair]
                yield from tuned
                for target in targets:
                    yield self._cell("transfer", "ours", target, pair, weight, seed, tuned)

    def _transfer(
        self, row: str, target: str, weight: Weight, seed: int, sources: Iterable[str]
    ) -> Cell:
        names = tuple(sources)
        inputs = [self._alone(name, seed) for name in names]
        return self._cell("transfer", row, target, names, weight, seed, inputs)

    def _alone(self, name: str, seed: int) -> Cell:
        """The prompt tuned on one model alone, planned once for all that ask for it."""
        if (name, seed) not in self.independent:
            self.independent[name, seed] = self._source(
                "independent", name, (name,), INDEPENDENT, seed
            )
        return self.independent[name, seed]

    def _source(
        self, row: str, name: str, sources: tuple[str, ...], weight: Weight, seed: int
    ) -> Cell:
        return self._cell("source", row, name, sources, weight, seed, [])

    def _cell(
        self,
        kind: str,
        row: str,
        target: str,
        sources: tuple[str, ...],
        weight: Weight,
        seed: int,
        inputs: list[Cell],
    ) -> Cell:
        return Cell(
            kind=kind,
            row=row,
            method=self.method.name,
            task=self.task.name,
            target=target,
            sources=sources,
            seed=seed,
            weight=weight.value,
            schedule=weight.schedule,
            inputs=tuple(cell.id for cell in inputs),
            settings=self._settings[kind],
            digests=self._digests({*sources, target})
            | (self._start_digests(sources) if kind == "source" else {}),
        )

    def _reference_cells(self, model: str) -> Iterator[Cell]:
        if (model, self.task.name) in self.referred:
            return
        self.referred.add((model, self.task.name))
        for row in REFERENCES:
            yield Cell(
                kind="reference",
                row=row,
                method="none",
                task=self.task.name,
                target=model,
                settings=self._settings["reference"],
                digests=self._digests({model}),
            )

    def _pack(self, kind: str, sources: tuple[str, ...], cells: tuple[Cell, ...]) -> Pack:
        return Pack(
            kind=kind,
            method=self.method.name,
            task=self.task,
            models={name: self.resolved.models[name] for name in _models_of(sources, cells)},
            sources=sources,
            cells=cells,
            needs=_needs(cells) if kind == "transfer" else (),
            files={name: file.path for name, file in self._starts(sources)},
            calibration=self.resolved.spec.calibration,
        )

    def _starts(self, sources: Iterable[str]) -> Iterator[tuple[str, StartFile]]:
        for name in sources:
            file = self.resolved.start(self.settings, name)
            if file is not None:
                yield name, file

    def _start_digests(self, sources: Iterable[str]) -> dict[str, str]:
        return {f"init {name}": file.digest for name, file in self._starts(sources)}

    def _pairs_without(self, target: str) -> Iterator[tuple[str, ...]]:
        return (pair for pair in self.resolved.pairs if target not in pair)

    @cached_property
    def _settings(self) -> dict[str, dict[str, Any]]:
        tuned = stored(self.settings)
        cut = tuned.get("text_tokens")
        return {
            "source": tuned,
            # A carried prompt is read in the layout it was tuned in.
            "transfer": self.resolved.spec.transfer.stored()
            | {name: tuned[name] for name in LAYOUT_SETTINGS if name in tuned},
            "reference": {} if cut is None else {"text_tokens": cut},
        }

    def _digests(self, models: set[str]) -> dict[str, str]:
        found = {name: self.resolved.models[name].digest for name in sorted(models)}
        return {**found, self.task.name: self.task.digest}


def _shrunk(pack: Pack, done: Collection[str]) -> Pack:
    missing = [cell for cell in pack.cells if cell.id not in done]
    if len(missing) == len(pack.cells):
        return pack
    again = {cell.tuning for cell in missing if pack.kind == "tune" and cell.sources}
    wanted = {cell.id for cell in missing}
    cells = tuple(
        cell
        for cell in pack.cells
        if cell.id in wanted or (cell.kind == "source" and cell.tuning in again)
    )
    # A tune pack of which only reference rows are missing has nothing to train.
    kind, sources = (pack.kind, pack.sources) if again else ("transfer", ())
    return replace(
        pack,
        kind=kind,
        sources=sources,
        cells=cells,
        models={name: pack.models[name] for name in _models_of(sources, cells)},
        needs=_needs(cells) if kind == "transfer" else (),
    )


def _models_of(sources: tuple[str, ...], cells: Iterable[Cell]) -> tuple[str, ...]:
    """Aliases to load: sources first, in the order of the tuning.

    A transfer needs the vocabulary and embeddings of its sources too.
    """
    names = dict.fromkeys(sources)
    for cell in cells:
        names |= dict.fromkeys((*cell.sources, cell.target))
    return tuple(names)


def _needs(cells: Iterable[Cell]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for cell in cells for name in cell.inputs))


def _upper_bound(resolved: ResolvedSpec) -> int:
    spec = resolved.spec
    sources, targets, pairs = (
        len(names) for names in (resolved.sources, resolved.targets, resolved.pairs)
    )
    widest = max((len(pair) for pair in resolved.pairs), default=0)
    per_seed = sum(
        len(method.variants)
        * (sources * (1 + targets) + targets + pairs * len(method.weights) * (widest + targets))
        for method in spec.methods.values()
    )
    return len(resolved.tasks) * (per_seed * len(spec.seeds) + 3 * (sources + targets))


def running_order(packs: Iterable[Pack]) -> list[Pack]:
    """Packs in the order in which to start them.

    Single sources first, since transfer packs wait for them; then transfer packs, so that the
    reference rows, against which everything is measured, are there early; then the joint tunings,
    the costly ones first and those of the same models side by side (they are in memory then),
    in the spec's order of tasks.
    """

    def rank(pack: Pack) -> tuple[Any, ...]:
        stage = 1 if pack.kind == "transfer" else 0 if len(pack.sources) == 1 else 2
        return (stage, -cost(pack), pack.sources)

    return sorted(packs, key=rank)


def cost(pack: Pack) -> int:
    """Work in a pack, in training steps of one replica on one backbone.

    Exact where steps are given; under epochs an estimate, as nobody has read the task yet.
    """
    steps = sum(_steps(cell.settings) for cell in pack.cells if cell.kind == "source")
    return steps + _EVALUATION * len(pack.cells)


def _steps(settings: Mapping[str, Any]) -> int:
    if settings.get("steps"):
        return int(settings["steps"])
    if not settings.get("epochs"):
        return 1
    return int(settings["epochs"]) * -(-_TRAINING_ROWS // int(settings["batch_size"]))


def _differing(variants: Iterable[Any]) -> list[dict[str, Any]]:
    """Of several combinations of settings, in what each differs; of one, nothing."""
    values = [asdict(settings) for settings in variants]
    names = [name for name in values[0] if any(item[name] != values[0][name] for item in values)]
    return [{name: item[name] for name in names} for item in values] if names else []
