"""Packs of the family of hard prompts (paper B).

Per task and source, ``tune`` packs search prompts: those that differ only in the words they may use
(vocabulary, s, k, counterparts) and in the seed are one stack. With ``direct`` each target is
searched too, over all its words. Methods with a control have a further cell beside each search, for
the best of as many random prompts, in the same stack. One ``transfer`` pack per target evaluates
every text there, with the target's reference rows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sweep.planning.planner import Planner
from sweep.spec.methods import MethodSpec
from sweep.spec.resolve import ResolvedSpec
from trainables.core.cells import Cell, Pack, content_hash
from trainables.core.settings import stored
from trainables.core.settings.hard import CARRIED, DRAWN, WORDS

Group = tuple[str, ...]


@dataclass
class HardPlanner(Planner):
    """Packs of a method of hard prompts on one task, over all combinations of its settings."""

    @classmethod
    def groups(cls, variants: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        """All combinations together: a target evaluates all their texts at once."""
        yield variants

    @classmethod
    def most_cells(cls, resolved: ResolvedSpec, method: MethodSpec) -> int:
        """Upper bound of a method's cells on one task, references left out."""
        sources, targets = len(resolved.sources), len(resolved.targets)
        groups = resolved.counterparts.get(method.name, {}).values()
        widest = max((len(items) for items in groups), default=1)
        per_seed = sources * widest * (1 + targets) + targets
        planned = sum(1 + int(item.control) for item in method.variants)
        return planned * per_seed * len(resolved.spec.seeds)

    def packs(self) -> Iterator[Pack]:
        """All of them, searches first."""
        found: dict[str, list[Cell]] = {}
        for source in self.resolved.sources:
            found[source] = list(self._searches(source))
        direct = self.resolved.targets if self.resolved.spec.direct else ()
        for model in dict.fromkeys((*self.resolved.sources, *direct)):
            tuned = {cell.id: cell for cell in found.get(model, ())}
            if model in direct:
                tuned |= {cell.id: cell for cell in self._direct(model)}
            yield from self._tune_packs(model, list(tuned.values()))
        for target in self.resolved.targets:
            cells = tuple(
                self._carried(cell, target)
                for source in self.resolved.sources
                for cell in found[source]
                if source != target
            )
            cells += tuple(self.reference_cells(target))
            if cells:
                yield self.pack("transfer", (), cells)

    def _tune_packs(self, model: str, cells: list[Cell]) -> Iterator[Pack]:
        """One pack for each way of searching; the first has a source's reference rows."""
        stacks: dict[str, list[Cell]] = {}
        for cell in cells:
            way = {key: value for key, value in cell.settings.items() if key not in WORDS}
            stacks.setdefault(content_hash(way), []).append(cell)
        references = tuple(self.reference_cells(model)) if model in self.resolved.sources else ()
        for place, stack in enumerate(stacks.values()):
            yield self.pack("tune", (model,), (*stack, *(() if place else references)))

    def _searches(self, source: str) -> Iterator[Cell]:
        seen: set[str] = set()
        for settings in self.variants:
            groups: tuple[Group, ...] = ((),)
            if settings.counterparts_needed:
                groups = self.resolved.counterparts[self.method.name][source]
            for group in groups:
                for seed in self.resolved.spec.seeds:
                    cell = self._source(settings, source, group, seed)
                    # Combinations may differ only in what their vocabulary does not read.
                    if cell.id not in seen:
                        seen.add(cell.id)
                        yield from self._with_control(settings, cell)

    def _direct(self, target: str) -> Iterator[Cell]:
        for settings in self.variants:
            if settings.row == "all" and not settings.counterparts_needed:
                for seed in self.resolved.spec.seeds:
                    yield from self._with_control(
                        settings, self._source(settings, target, (), seed)
                    )

    def _with_control(self, settings: Any, cell: Cell) -> Iterator[Cell]:
        yield cell
        # A search compares points with one another, not each with its control.
        if settings.control and self.resolved.spec.search is None:
            yield replace(cell, row=DRAWN)

    def _source(self, settings: Any, source: str, counterparts: Group, seed: int) -> Cell:
        kept, helper = stored(settings), self.resolved.helper(settings)
        digests = self.digests({source, *counterparts})
        if helper is not None:
            kept |= {"helper": helper.alias}
            # Whoever is asked is asked in its chat template, which other results may not read.
            digests |= {f"helper {helper.alias}": helper.digest}
        return Cell(
            kind="source",
            row=settings.row,
            method=self.method.name,
            task=self.task.name,
            target=source,
            sources=(source,),
            counterparts=counterparts,
            seed=seed,
            settings=kept,
            precision=self.resolved.precision,
            digests=digests,
        )

    def _carried(self, cell: Cell, target: str) -> Cell:
        return Cell(
            kind="transfer",
            row=cell.row,
            method=cell.method,
            task=cell.task,
            target=target,
            sources=cell.sources,
            counterparts=cell.counterparts,
            seed=cell.seed,
            inputs=(cell.id,),
            settings=_carried_settings(cell.settings),
            precision=self.resolved.precision,
            digests=self.digests({*cell.sources, *cell.counterparts, target}),
        )


def _carried_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of a search's settings, those that say how a text is read and what tells it apart."""
    return {key: value for key, value in settings.items() if key in CARRIED}
