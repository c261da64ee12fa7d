"""What the planners of all families share: reference rows, digests, how a pack is put together."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sweep.spec.methods import MethodSpec
from sweep.spec.resolve import ResolvedSpec
from trainables.core.cells import Cell, Pack, TaskRef
from trainables.core.settings import family_of

REFERENCES = ("empty", "manual", "constant")


@dataclass
class Planner(ABC):
    """Packs of one method on one task.

    Attributes:
        resolved: the spec.
        method: the method.
        variants: combinations of its settings that this planner plans for.
        task: the task.
        referred: (model, task, cut of texts) whose reference cells some pack already holds;
            shared by all planners of a plan.
    """

    resolved: ResolvedSpec
    method: MethodSpec
    variants: tuple[Any, ...]
    task: TaskRef
    referred: set[tuple[str, str, int | None]]

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
        place = (model, self.task.name, self.variants[0].text_tokens)
        if place in self.referred:
            return
        self.referred.add(place)
        for row in REFERENCES:
            yield Cell(
                kind="reference",
                row=row,
                method="none",
                task=self.task.name,
                target=model,
                settings=self.reference_settings(),
                precision=self.resolved.precision,
                digests=self.digests({model}),
            )

    def reference_settings(self) -> dict[str, Any]:
        """Settings of reference cells."""
        cut = self.variants[0].text_tokens
        return {} if cut is None else {"text_tokens": cut}

    def pack(self, kind: str, sources: tuple[str, ...], cells: tuple[Cell, ...]) -> Pack:
        """A pack of these cells."""
        return Pack(
            kind=kind,
            method=self.method.name,
            task=self.task,
            models={name: self.resolved.models[name] for name in models_of(sources, cells)},
            sources=sources,
            cells=cells,
            needs=needs_of(cells) if kind == "transfer" else (),
            files=self.files(sources),
            calibration=self.resolved.spec.calibration,
            predictions=self.resolved.spec.predictions,
            plugins=self.resolved.spec.loaded,
        )

    def digests(self, models: set[str]) -> dict[str, str]:
        """Digests of models, of the task and of plugins, by name."""
        own = {name: self.resolved.models[name].digest for name in sorted(models)}
        return {**own, self.task.name: self.task.digest, **self.resolved.plugin_digests}


def models_of(sources: tuple[str, ...], cells: Iterable[Cell]) -> tuple[str, ...]:
    """Aliases to load: sources first, in the order of the tuning.

    A transfer needs the vocabulary and embeddings of its sources too.
    """
    names = dict.fromkeys(sources)
    for cell in cells:
        judges = cell.counterparts if sources else ()
        names |= dict.fromkeys((*_carried_from(cell), cell.target, *judges))
    return tuple(names)


def _carried_from(cell: Cell) -> tuple[str, ...]:
    """Sources whose embeddings a transfer reads; a text needs none."""
    return cell.sources if family_of(cell.method) == "soft" else ()


def needs_of(cells: Iterable[Cell]) -> tuple[str, ...]:
    """Ids of the cells whose prompts these carry over, each once."""
    return tuple(dict.fromkeys(name for cell in cells for name in cell.inputs))
