"""What planners of all families share: reference rows, how a pack is made, what is left of it."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sweep.spec.methods import MethodSpec
from sweep.spec.resolve import ResolvedSpec
from trainables.core.cells import Cell, Pack, TaskRef
from trainables.core.settings import family_of
from trainables.core.settings.base import CHAT

REFERENCES = ("empty", "manual", "constant")


@dataclass
class Planner(ABC):
    """Packs of one method on one task.

    Attributes:
        resolved: the spec.
        method: the method.
        variants: combinations of its settings that this planner plans for.
        task: the task.
        referred: (model, task, settings) whose reference cells some pack already holds; shared by
            all planners of a plan.
    """

    resolved: ResolvedSpec
    method: MethodSpec
    variants: tuple[Any, ...]
    task: TaskRef
    referred: set[tuple[Any, ...]]

    @classmethod
    @abstractmethod
    def groups(cls, variants: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        """Combinations of settings that share packs, and so a planner."""

    @classmethod
    @abstractmethod
    def most_cells(cls, resolved: ResolvedSpec, method: MethodSpec) -> int:
        """Upper bound of a method's cells on one task, references left out."""

    @abstractmethod
    def packs(self) -> Iterator[Pack]:
        """All of them."""

    def files(self, sources: Iterable[str]) -> Mapping[str, str]:
        """Files that prompts of ``sources`` start from, by source."""
        del sources
        return {}

    def reference_cells(self, model: str) -> Iterator[Cell]:
        """The model's rows without prompt, unless another pack has them already."""
        for settings in map(reference_settings, self.variants):
            place = (model, self.task.name, *settings.items())
            if place in self.referred:
                continue
            self.referred.add(place)
            for row in REFERENCES:
                yield Cell(
                    kind="reference",
                    row=row,
                    method="none",
                    task=self.task.name,
                    target=model,
                    settings=settings,
                    precision=self.resolved.precision,
                    digests=self.digests({model}),
                )

    def pack(self, kind: str, sources: tuple[str, ...], cells: tuple[Cell, ...]) -> Pack:
        """A pack of these cells."""
        return Pack(
            kind=kind,
            method=self.method.name,
            task=self.task,
            models={name: self.resolved.models[name] for name in models_of(sources, cells)},
            sources=sources,
            cells=cells,
            needs=needs_of(cells),
            files=self.files(sources),
            calibration=self.resolved.spec.calibration,
            predictions=self.resolved.spec.predictions,
            evaluation=self.resolved.spec.evaluation,
            plugins=self.resolved.spec.loaded,
            texts={
                name: task
                for name, task in self.resolved.texts.items()
                if any(cell.settings.get("texts_from") == name for cell in cells)
            },
        )

    def digests(self, models: set[str]) -> dict[str, str]:
        """Digests of models, of the task and of plugins, by name."""
        own = {name: self.resolved.models[name].digest for name in sorted(models)}
        return {**own, self.task.name: self.task.digest, **self.resolved.plugin_digests}


def reference_settings(variant: Any) -> dict[str, Any]:
    """Settings of the reference cells beside a combination of settings."""
    settings: dict[str, Any] = {}
    if variant.text_tokens is not None:
        settings["text_tokens"] = variant.text_tokens
    if variant.template == CHAT:
        settings["template"] = CHAT
    return settings


def models_of(sources: tuple[str, ...], cells: Iterable[Cell]) -> tuple[str, ...]:
    """Aliases to load: sources first, in the order of the tuning.

    A transfer needs the vocabulary and embeddings of its sources too.
    """
    names = dict.fromkeys(sources)
    for cell in cells:
        beside = (*cell.counterparts, *_helper_of(cell)) if sources else ()
        names |= dict.fromkeys((*_carried_from(cell), cell.target, *beside))
    return tuple(names)


def _carried_from(cell: Cell) -> tuple[str, ...]:
    """Sources whose embeddings a transfer reads; a text needs none."""
    return cell.sources if family_of(cell.method) == "soft" else ()


def _helper_of(cell: Cell) -> tuple[str, ...]:
    """The model that proposes words of a hard prompt, if any does."""
    helped = cell.kind == "source" and family_of(cell.method) == "hard"
    return (cell.settings["helper"],) if helped and "helper" in cell.settings else ()


def needs_of(cells: Iterable[Cell]) -> tuple[str, ...]:
    """Ids of other cells whose prompts these carry over or start from, each once."""
    cells = tuple(cells)
    here = {cell.id for cell in cells}
    named = dict.fromkeys(name for cell in cells for name in cell.inputs)
    return tuple(name for name in named if name not in here)


def missing_of(pack: Pack, done: Collection[str]) -> Iterator[Pack]:
    """The packs that compute what is missing of ``pack``: none, itself, or up to two smaller ones.

    Only a tuning whose own ``source`` cells are not all finished is done again, and as a whole: its
    other ``source`` cells come along, as they cost nothing more and later cells may take them as
    inputs. What only has to be carried over from finished prompts (to a model that was added to the
    spec, say) trains nothing.

    Args:
        pack: as planned.
        done: ids of finished cells.
    """
    missing = [cell for cell in pack.cells if cell.id not in done]
    if len(missing) == len(pack.cells):
        yield pack
        return
    trained = _trained(pack, missing) if pack.kind == "tune" else []
    here = {cell.id for cell in trained}
    if trained:
        trained += [
            cell
            for cell in missing
            if cell.kind != "source" and cell.inputs and here.issuperset(cell.inputs)
        ]
        # Rows without a tuned prompt go along with what loads their model anyway.
        trained += [cell for cell in missing if cell.kind == "reference"]
        yield _part(pack, "tune", pack.sources, trained)
    taken = {cell.id for cell in trained}
    left = [cell for cell in missing if cell.id not in taken]
    if left:
        yield _part(pack, "transfer", (), left)


def _trained(pack: Pack, missing: Iterable[Cell]) -> list[Cell]:
    wanted = {cell.id for cell in missing if cell.kind == "source"}
    again = {cell.tuning for cell in missing if cell.kind == "source"}
    return [
        cell
        for cell in pack.cells
        if cell.kind == "source"
        # A tuning on one model has one source cell: nothing comes along with it.
        and (cell.id in wanted or (len(cell.sources) > 1 and cell.tuning in again))
    ]


def _part(pack: Pack, kind: str, sources: tuple[str, ...], cells: Iterable[Cell]) -> Pack:
    chosen = {cell.id for cell in cells}
    kept = tuple(cell for cell in pack.cells if cell.id in chosen)
    return replace(
        pack,
        kind=kind,
        sources=sources,
        cells=kept,
        models={name: pack.models[name] for name in models_of(sources, kept)},
        needs=needs_of(kept),
    )
