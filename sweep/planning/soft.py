"""Packs of the soft family (paper A).

Per combination of settings and task there are three kinds:

* ``tune`` of one model: its prompts over all seeds, tuned independently; with a source's reference
  rows. With ``direct`` each target is tuned like this too: row Direct of the report is nothing but
  the ``independent`` cells of a target, and a target that is also a source is tuned once;
* ``tune`` of a pair: its jointly tuned prompts over all λ > 0 and seeds, carried to every target;
* ``transfer`` to one target: what single sources and independently tuned pairs (λ = 0) bring
  there, and the target's reference rows. It ``needs`` the prompts of the first kind.

Each prompt is carried over once by every way of the section ``transfer``; ways that work through
the target have packs of their own, one for all that is taken from the same runs. What a way finds
without anything of a source is computed once a target, task and seed (row ``own``).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sweep.planning.planner import Planner
from sweep.spec.methods import MethodSpec
from sweep.spec.resolve import ResolvedSpec, StartFile
from trainables.core.cells import Cell, Pack, content_hash
from trainables.core.registries import SOLVERS
from trainables.core.settings import (
    ALIGNMENT,
    CARRIED,
    OWN,
    TransferSettings,
    family_of,
    of_one_run,
    stored,
)
from trainables.core.settings.starts import StartSettings
from trainables.core.weight import INDEPENDENT, Weight

LAYOUT_SETTINGS = (
    *("prompt_length", "position", "text_tokens", "template", "answer"),
    *("adapt", "level", "pool", "behind"),
)
"""Settings of a method that say how an input is put together, on whatever model."""
CROSSED = "cross_task"
"""Row of prompts as they are on tasks they were not tuned on."""


def _through(cell: Cell) -> bool:
    """Whether a transfer works through its target: that is worth a pack of its own."""
    return SOLVERS[cell.settings["solver"]].through


def carries(way: TransferSettings, settings: Any) -> bool:
    """Whether a way of transfer carries prompts of a method's settings to another model.

    Keys and values of layers, which no alignment loss could compare, are carried by few; what finds
    a prompt or scores without anything of a source has nothing to do with them either.
    """
    return bool(settings.joint) or SOLVERS[way.solver].layers


def stays(resolved: ResolvedSpec) -> list[str]:
    """Methods whose prompts stay where they were tuned: no way of the spec carries them."""
    return [
        method.name
        for method in resolved.spec.methods.values()
        if family_of(method.name) == "soft"
        and not any(carries(way, each) for way in resolved.transfer for each in method.variants)
    ]


@dataclass
class SoftPlanner(Planner):
    """Packs of one combination of settings of a soft method on one task."""

    independent: dict[tuple[str, int], Cell] = field(default_factory=dict)

    @property
    def settings(self) -> Any:
        """The combination."""
        return self.variants[0]

    @classmethod
    def groups(cls, variants: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        """Combinations that one planner takes: one at a time, they are tuned apart."""
        return ((settings,) for settings in variants)

    @classmethod
    def most_cells(cls, resolved: ResolvedSpec, method: MethodSpec) -> int:
        """Upper bound of a method's cells on one task, references left out."""
        sources, targets, pairs = (
            len(names) for names in (resolved.sources, resolved.targets, resolved.pairs)
        )
        widest = max((len(pair) for pair in resolved.pairs), default=0)
        ways = len(resolved.transfer)
        joint = pairs * len(method.weights) * (widest + ways * targets)
        per_seed = sources * (1 + ways * targets) + (1 + ways) * targets + joint
        return len(method.variants) * per_seed * len(resolved.spec.seeds)

    def packs(self) -> Iterator[Pack]:
        """All of them, tunings first."""
        # Transfers come first because they say which independent tunings are needed at all.
        carried = [(target, tuple(self._carried_cells(target))) for target in self.resolved.targets]
        if self.resolved.spec.direct:
            for target in self.resolved.targets:
                for seed in self.resolved.spec.seeds:
                    self.alone(target, seed)
        yield from self._independent_packs()
        for pair in self.resolved.pairs:
            cells = tuple(self._joint_cells(pair))
            if cells:
                yield self.pack("tune", pair, cells)
        for target, cells in carried:
            yield from self.carry(cells, self.reference_cells(target))

    def carry(self, cells: Iterable[Cell], beside: Iterable[Cell] = ()) -> Iterator[Pack]:
        """Packs of transfers to one target, and of what is evaluated ``beside`` them there."""
        cells = tuple(cells)
        free = [*(cell for cell in cells if not _through(cell)), *beside]
        if free:
            yield self.pack("transfer", (), tuple(free))
        runs: dict[str, list[Cell]] = {}
        for cell in filter(_through, cells):
            runs.setdefault(content_hash(of_one_run(cell.settings)), []).append(cell)
        for run in runs.values():
            yield self.pack("transfer", (), tuple(run))

    def carried(self, source: str, target: str, seed: int) -> list[Cell]:
        """A source's own prompt on a target, by every way that ends in a prompt."""
        cells = self._transfer("single", target, INDEPENDENT, seed, [source])
        return [cell for cell in cells if SOLVERS[cell.settings["solver"]].prompt]

    def _carried_cells(self, target: str) -> Iterator[Cell]:
        seeds = self.resolved.spec.seeds
        if not self.settings.carried:
            return
        for source in self.resolved.sources if self.resolved.singles else ():
            if source != target:
                for seed in seeds:
                    yield from self._transfer("single", target, INDEPENDENT, seed, [source])
        if INDEPENDENT in self.method.weights:
            for pair in self._pairs_without(target):
                for seed in seeds:
                    yield from self._transfer("baseline", target, INDEPENDENT, seed, pair)
        for way, settings in self._ways(OWN):
            for seed in seeds:
                taught = way.teacher == "direct"
                inputs = [self.alone(target, seed)] if taught else []
                yield self._cell(
                    "transfer", OWN, target, (target,), INDEPENDENT, seed, inputs, settings
                )

    def _independent_packs(self) -> Iterator[Pack]:
        for model in dict.fromkeys((*self.resolved.sources, *self.resolved.targets)):
            cells = tuple(cell for (name, _), cell in self.independent.items() if name == model)
            if cells:
                # A target keeps its reference rows in its transfer pack: where the tuning on it
                # fails, what all is measured against is still there.
                if model in self.resolved.sources:
                    cells += tuple(self.reference_cells(model))
                yield self.pack("tune", (model,), cells)

    def _joint_cells(self, pair: tuple[str, ...]) -> Iterator[Cell]:
        targets = [target for target in self.resolved.targets if target not in pair]
        if not targets:
            return
        for weight in self.method.weights:
            for seed in self.resolved.spec.seeds if weight.joint else ():
                tuned = [self._source("joint", name, pair, weight, seed) for name in pair]
                yield from tuned
                for target in targets:
                    for _, settings in self._ways("ours"):
                        yield self._cell(
                            "transfer", "ours", target, pair, weight, seed, tuned, settings
                        )

    def _transfer(
        self, row: str, target: str, weight: Weight, seed: int, sources: Iterable[str]
    ) -> Iterator[Cell]:
        names = tuple(sources)
        for _, settings in self._ways(row):
            inputs = [self.alone(name, seed) for name in names]
            yield self._cell("transfer", row, target, names, weight, seed, inputs, settings)

    def _ways(self, row: str) -> Iterator[tuple[TransferSettings, dict[str, Any]]]:
        """The ways of transfer that have such a row, and the settings of its cells."""
        for way, settings in self._transfers:
            if SOLVERS[way.solver].heads and not self.settings.decides:
                continue
            if row in ((way.rows or CARRIED) if way.aided else (OWN,)):
                yield way, settings

    def alone(self, name: str, seed: int) -> Cell:
        """The prompt tuned on one model alone, planned once for all that ask for it."""
        if (name, seed) not in self.independent:
            self.independent[name, seed] = self._source(
                "independent", name, (name,), INDEPENDENT, seed
            )
        return self.independent[name, seed]

    def started(
        self,
        row: str,
        name: str,
        seed: int,
        start: StartSettings,
        inputs: Iterable[Cell] = (),
        origin: tuple[str, ...] = (),
    ) -> Cell:
        """A prompt tuned on one model alone that starts elsewhere."""
        settings = self._settings["independent"] | stored(start)
        return self._cell(
            "source", row, name, (name,), INDEPENDENT, seed, list(inputs), settings, origin
        )

    def crossed(
        self, name: str, seed: int, inputs: Iterable[Cell], origin: tuple[str, ...]
    ) -> Cell:
        """A prompt as it is on this task; without inputs one of random numbers."""
        return self._cell(
            "crossed", CROSSED, name, (name,), INDEPENDENT, seed, list(inputs), self._layout, origin
        )

    def _source(
        self, row: str, name: str, sources: tuple[str, ...], weight: Weight, seed: int
    ) -> Cell:
        return self._cell("source", row, name, sources, weight, seed, [], self._settings[row])

    def _cell(
        self,
        kind: str,
        row: str,
        target: str,
        sources: tuple[str, ...],
        weight: Weight,
        seed: int,
        inputs: list[Cell],
        settings: dict[str, Any],
        origin: tuple[str, ...] = (),
    ) -> Cell:
        beside = self._beside(sources) if row == "joint" else ()
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
            settings=settings,
            precision=self.resolved.precision,
            digests=self.digests({*sources, target, *beside})
            | (self._start_digests(sources) if kind == "source" else {})
            | self._texts_digest(settings),
            counterparts=beside,
            origin=origin,
        )

    def _beside(self, sources: tuple[str, ...]) -> tuple[str, ...]:
        """Targets whose words bound those a joint tuning of ``sources`` compares prompts on."""
        if self.settings.anchors == "sources":
            return ()
        return tuple(sorted(set(self.resolved.targets) - set(sources)))

    def _starts(self, sources: Iterable[str]) -> Iterator[tuple[str, StartFile]]:
        for name in sources:
            file = self.resolved.start(self.settings, name)
            if file is not None:
                yield name, file

    def _start_digests(self, sources: Iterable[str]) -> dict[str, str]:
        return {f"init {name}": file.digest for name, file in self._starts(sources)}

    def _texts_digest(self, settings: Mapping[str, Any]) -> dict[str, str]:
        """Of the other task whose texts a transfer reads."""
        name = settings.get("texts_from")
        return {name: self.resolved.texts[name].digest} if name else {}

    def _pairs_without(self, target: str) -> Iterator[tuple[str, ...]]:
        return (pair for pair in self.resolved.pairs if target not in pair)

    @cached_property
    def _settings(self) -> dict[str, dict[str, Any]]:
        tuned = stored(self.settings)
        return {
            "joint": tuned,
            "independent": {name: tuned[name] for name in tuned if name not in ALIGNMENT},
        }

    @cached_property
    def _layout(self) -> dict[str, Any]:
        """A prompt is read in the layout it was tuned in, wherever."""
        tuned = stored(self.settings)
        return {name: tuned[name] for name in LAYOUT_SETTINGS if name in tuned}

    @cached_property
    def _transfers(self) -> list[tuple[TransferSettings, dict[str, Any]]]:
        """Each way of transfer that carries such prompts, with the settings of its cells."""
        return [
            (way, stored(way) | self._layout)
            for way in self.resolved.transfer
            if carries(way, self.settings)
        ]

    def files(self, sources: Iterable[str]) -> Mapping[str, str]:
        """Files that prompts of ``sources`` start from, by source."""
        return {name: file.path for name, file in self._starts(sources)}
