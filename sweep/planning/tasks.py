"""Task transfer: prompts of some tasks are where the tuning on others starts (Vu et al. 2022).

Per combination of settings, model of ``sources`` and target task, each pack a stack of all seeds:

* ``continued`` cells: from the prompt of each source task, with ``weighted`` from averages of the
  prompts of the most similar ones, with ``mixture`` from a prompt that was tuned on a mixture of
  these tasks and the target task (row ``mixture``);
* ``restarted`` cells, the control with as many tries: from further draws of frequent words. The
  control with one try is row ``independent`` with ``init: vocabulary``;
* with ``controls``, ``independent`` cells of the target tasks from other starts;

* with ``zero_shot``, ``cross_task`` cells: the source tasks' prompts as they are, on the model that
  they were tuned on and, carried over by every way that ends in a prompt, on each target, beside
  prompts of random numbers (Su et al. 2022);
* with ``refine``, ``refined`` cells on each target: from the task's own prompt carried over to it,
  with their control from words.

All of them read the same examples in the same order. What continues ``needs`` the source tasks'
prompts (row ``independent``, with ``source_shots``) and, for averages, prompts of
``embedding_steps`` steps (row ``embedding``), which tell how like tasks are.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from sweep.planning.soft import SoftPlanner
from sweep.spec.methods import MethodSpec
from sweep.spec.resolve import ResolvedSpec
from sweep.spec.task_transfer import TaskTransfer
from trainables.core.cells import Cell, Pack, TaskRef
from trainables.core.settings import family_of
from trainables.core.settings.starts import StartSettings

PLAIN = StartSettings()
WORDS = "vocabulary"
"""What the control starts from."""


def most_cells(resolved: ResolvedSpec) -> int:
    """Upper bound of the cells of task transfer."""
    section = resolved.spec.task_transfer
    if section is None:
        return 0
    averages = (len(section.weighted) + 2 * len(section.mixture)) * len(section.retrieval)
    pairs = resolved.task_pairs.values()
    each = (4 + len(section.controls)) * len(resolved.tasks)
    each += sum(2 * len(names) + averages for names in pairs)
    each += sum(1 + len(names) for names in pairs)
    ways = len(resolved.transfer) * len(resolved.targets)
    each += ways * (len(resolved.tasks) + sum(3 + len(names) for names in pairs))
    return len(_soft(resolved)) * each * len(resolved.sources) * len(resolved.spec.seeds)


def task_packs(resolved: ResolvedSpec, planned: Collection[str]) -> Iterator[Pack]:
    """Packs of task transfer; none where the spec has no such section.

    Args:
        resolved: the spec.
        planned: ids of cells that other packs hold.
    """
    section = resolved.spec.task_transfer
    if section is None:
        return
    taken = set(planned)
    for method, settings in _soft(resolved):
        yield from _TaskTransfer(resolved, section, method, settings, taken).packs()


def _soft(resolved: ResolvedSpec) -> list[tuple[MethodSpec, Any]]:
    """Every combination of settings of a method of soft prompts."""
    methods = resolved.spec.methods.values()
    soft = [method for method in methods if family_of(method.name) == "soft"]
    return [(method, settings) for method in soft for settings in method.variants]


def started_settings(resolved: ResolvedSpec) -> Iterator[tuple[str, Any]]:
    """Settings of tunings that task transfer adds to the methods', each with its method."""
    section = resolved.spec.task_transfer
    for method, settings in _soft(resolved):
        if section is not None:
            for init in (WORDS, *section.controls):
                yield method.name, section.started(settings, init)
            yield method.name, section.for_sources(settings)


@dataclass(frozen=True)
class Looked:
    """Early prompts that tell how like a target task its source tasks are, of one model and seed.

    Attributes:
        task: the target task.
        model: alias.
        early: of each source task.
        own: of the target task.
    """

    task: str
    model: str
    early: dict[str, Cell]
    own: Cell


def looked_at(resolved: ResolvedSpec) -> Iterator[Looked]:
    """Early prompts of the first combination of settings; none without ``embedding_steps``."""
    section = resolved.spec.task_transfer
    if section is None or section.embedding_steps is None:
        return
    method, settings = _soft(resolved)[0]
    planner = _TaskTransfer(resolved, section, method, settings, set())
    places = product(resolved.task_pairs, resolved.sources, resolved.spec.seeds)
    for task, model, seed in places:
        yield planner.looked(task, model, seed)


@dataclass
class _TaskTransfer:
    """Packs of one combination of settings.

    Attributes:
        taken: ids of the cells that packs hold; those of this one are added.
    """

    resolved: ResolvedSpec
    section: TaskTransfer
    method: MethodSpec
    settings: Any
    taken: set[str]

    def packs(self) -> Iterator[Pack]:
        """All of them; what others start from comes first."""
        pairs, seeds = self.resolved.task_pairs, self.resolved.spec.seeds
        places = list(product(pairs, self.resolved.sources))
        for task in dict.fromkeys(name for names in pairs.values() for name in names):
            yield from self._alone(self._origin(task))
        for task, init in product(pairs, (WORDS, *self.section.controls)):
            yield from self._alone(self._control(task, init))
        if self.section.embedding_steps is not None:
            early = [(task, self.settings.shots) for task in pairs]
            shots = self.section.source_shots
            early += [(task, shots) for names in pairs.values() for task in names]
            for (task, few), model in product(dict.fromkeys(early), self.resolved.sources):
                cells = [self._early(task, few, model, seed) for seed in seeds]
                yield from self._pack(self._embedding(task, few), model, cells)
        for task, model in places if self.section.restarts else ():
            control, draws = self._control(task), range(1, len(pairs[task]))
            cells = [
                control.started("restarted", model, seed, StartSettings(draw=draw))
                for seed, draw in product(seeds, draws)
            ]
            yield from self._pack(control, model, cells)
        for task, model in places if self.section.mixture else ():
            planner = self._planner(task)
            cells = [cell for seed in seeds for cell in self._mixtures(planner, model, seed)]
            texts = {name: self._ref(name) for name in pairs[task]}
            for pack in self._pack(planner, model, cells):
                yield replace(pack, texts=texts)
        for task, model in places:
            planner = self._planner(task)
            cells = [cell for seed in seeds for cell in self._continued(planner, model, seed)]
            yield from self._pack(planner, model, cells)
        if self.section.zero_shot or self.section.refine:
            yield from self._elsewhere()

    def _elsewhere(self) -> Iterator[Pack]:
        """Prompts as they are on other tasks, and where the tuning on other models starts."""
        pairs, seeds = self.resolved.task_pairs, self.resolved.spec.seeds
        models = [(name, name) for name in self.resolved.sources] if self.section.zero_shot else []
        models += [
            (source, target)
            for source, target in product(self.resolved.sources, self.resolved.targets)
            if source != target
        ]
        asked = dict.fromkeys(name for names in pairs.values() for name in names)
        asked = dict.fromkeys((*(asked if self.section.zero_shot else ()), *pairs))
        carried: dict[tuple[Any, ...], list[Cell]] = {}
        for task, (source, target) in product(asked, models):
            origin = self._origin(task)
            own = [origin.alone(source, seed) for seed in seeds]
            yield from self._pack(origin, source, own)
            for seed, cell in zip(seeds, own, strict=True):
                here = [cell] if source == target else origin.carried(source, target, seed)
                carried[task, source, target, seed] = here
                if source != target:
                    new = [each for each in here if each.id not in self.taken]
                    self.taken.update(each.id for each in new)
                    yield from origin.carry(new)
        for task, (source, target) in product(pairs, models):
            if self.section.zero_shot:
                yield from self._crossed(task, source, target, carried)
            if self.section.refine and source != target:
                control = self._control(task)
                cells = [control.alone(target, seed) for seed in seeds]
                yield from self._pack(control, target, cells)
                planner = self._planner(task)
                cells = [
                    planner.started("refined", target, seed, PLAIN, [cell])
                    for seed in seeds
                    for cell in carried[task, source, target, seed]
                ]
                yield from self._pack(planner, target, cells)

    def _crossed(
        self, task: str, source: str, target: str, prompts: Mapping[tuple[Any, ...], list[Cell]]
    ) -> Iterator[Pack]:
        """Source tasks' prompts on a target task, and random ones; each beside the task's own."""
        planner, cells = self._origin(task), []
        for seed in self.resolved.spec.seeds:
            cells.append(planner.crossed(target, seed, (), ()))
            for name in self.resolved.task_pairs[task]:
                both = (prompts[each, source, target, seed] for each in (name, task))
                for pair in zip(*both, strict=True):
                    cells.append(planner.crossed(target, seed, pair, (name,)))
        yield from self._pack(planner, target, cells, "transfer")

    def _continued(self, planner: SoftPlanner, model: str, seed: int) -> Iterator[Cell]:
        """All prompts of a target task, model and seed that start from source tasks' prompts."""
        task = planner.task.name
        names = self.resolved.task_pairs[task]
        origins = [self._origin(name).alone(model, seed) for name in names]
        for name, cell in zip(names, origins, strict=True):
            yield planner.started("continued", model, seed, PLAIN, [cell], (name,))
        for mixture in self._mixtures(planner, model, seed):
            yield planner.started("continued", model, seed, PLAIN, [mixture], names)
        for retrieval, top in product(self.section.retrieval, self.section.weighted):
            start = StartSettings(top=top, retrieval=retrieval)
            inputs = [*origins, *self._looked_at(task, model, seed)]
            yield planner.started("continued", model, seed, start, inputs, names)

    def _mixtures(self, planner: SoftPlanner, model: str, seed: int) -> Iterator[Cell]:
        """The prompts tuned on a target task and the tasks most similar to it."""
        task, section = planner.task.name, self.section
        for retrieval, top in product(section.retrieval, section.mixture):
            start = StartSettings(top=top, retrieval=retrieval, mixture=True, cap=section.cap,
                                  origin_shots=section.source_shots)  # fmt: skip
            inputs = self._looked_at(task, model, seed)
            names = self.resolved.task_pairs[task]
            yield planner.started("mixture", model, seed, start, inputs, names)

    def looked(self, task: str, model: str, seed: int) -> Looked:
        """Early prompts of the source tasks of a target task, and of itself."""
        shots = self.section.source_shots
        names = self.resolved.task_pairs[task]
        early = {name: self._early(name, shots, model, seed) for name in names}
        return Looked(task, model, early, self._early(task, self.settings.shots, model, seed))

    def _looked_at(self, task: str, model: str, seed: int) -> list[Cell]:
        looked = self.looked(task, model, seed)
        return [*looked.early.values(), looked.own]

    def _early(self, task: str, shots: int | None, model: str, seed: int) -> Cell:
        return self._embedding(task, shots).started("embedding", model, seed, PLAIN)

    def _origin(self, task: str) -> SoftPlanner:
        """Plans a source task's prompts."""
        return self._planner(task, self.section.for_sources(self.settings))

    def _control(self, task: str, init: str = WORDS) -> SoftPlanner:
        """Plans a target task's prompts that start from words, or another control's."""
        return self._planner(task, self.section.started(self.settings, init))

    def _embedding(self, task: str, shots: int | None) -> SoftPlanner:
        """Plans prompts of a few steps."""
        few = {"steps": self.section.embedding_steps, "epochs": None, "max_steps": None}
        settings = replace(self.settings, shots=shots, **few, evaluations=1, spacing="even",
                           checkpoint="last")  # fmt: skip
        return self._planner(task, settings)

    def _planner(self, task: str, settings: Any = None) -> SoftPlanner:
        chosen = self.settings if settings is None else settings
        return SoftPlanner(self.resolved, self.method, (chosen,), self._ref(task), set())

    def _ref(self, task: str) -> TaskRef:
        (ref,) = (ref for ref in self.resolved.tasks if ref.name == task)
        return ref

    def _alone(self, planner: SoftPlanner) -> Iterator[Pack]:
        for model in self.resolved.sources:
            cells = [planner.alone(model, seed) for seed in self.resolved.spec.seeds]
            yield from self._pack(planner, model, cells)

    def _pack(
        self, planner: SoftPlanner, model: str, cells: Iterable[Cell], kind: str = "tune"
    ) -> Iterator[Pack]:
        """A pack of those cells that no other one holds; none where that is none."""
        new = tuple(cell for cell in cells if cell.id not in self.taken)
        self.taken.update(cell.id for cell in new)
        if new:
            yield planner.pack(kind, (model,) if kind == "tune" else (), new)
