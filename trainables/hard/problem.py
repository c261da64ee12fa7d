"""What a search for hard prompts is asked and what it answers.

Shapes: R replicas, m prompt tokens, d embedding width, V vocabulary, C classes, v validation rows.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from trainables.backbones import Backbone, Encoded, Labels
from trainables.core.frontier import Cost
from trainables.core.registry import loaded
from trainables.core.settings import HardSettings
from trainables.errors import InputError

Progress = Callable[[int, int], None]
"""Called with (step, steps)."""

Rungs = Callable[[int, Mapping[int, float]], Collection[int]]
"""Called with the step and, per replica still there, the validation metric of its best prompt so
far; says which replicas are to stop."""


@dataclass(frozen=True)
class TaskModel:
    """A model with the task as it reads it, prompt slots of m tokens included.

    Attributes:
        backbone: the frozen model.
        label_ids: what answers are compared by, C classes.
        train: training split, for gradients and for candidates.
        validation: validation split (paper B's holdout), for the choice of the prompt.
    """

    backbone: Backbone
    label_ids: Labels
    train: Encoded
    validation: Encoded


@dataclass(frozen=True)
class HardProblem:
    """One task on one source model.

    Attributes:
        source: the model whose gradients propose prompts; ids are those of its tokenizer.
        class_ids: token ids of the class words on the source, for initialisation.
        metric: the task's, a name :mod:`trainables.tasks.metrics` knows.
        evaluators: models that judge candidates instead of the source (mixed training), by alias;
            empty for most methods.
        helper: a causal model that proposes words, where the settings name one.
        examples: text and label word of every training example, for whoever shows them to it.
    """

    source: TaskModel
    class_ids: tuple[int, ...]
    metric: str
    evaluators: dict[str, TaskModel] = field(default_factory=dict)
    helper: Backbone | None = None
    examples: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class HardReplica:
    """One search of a stack.

    Attributes:
        seed: of data order and of the random start; replicas of one seed see the same batches.
        allowed: sorted token ids [s] a prompt may use; never special or undecodable ones.
        evaluator: alias in ``HardProblem.evaluators``, where the method judges elsewhere.
        others: further ones, where it listens to several.
        drawn: whether the best of as many random prompts is wanted as the search scores
            (:mod:`trainables.hard.drawn`), instead of what it finds.
    """

    seed: int
    allowed: torch.Tensor
    evaluator: str | None = None
    others: tuple[str, ...] = ()
    drawn: bool = False

    @property
    def judges(self) -> tuple[str, ...]:
        """Aliases of all evaluators."""
        return (*(() if self.evaluator is None else (self.evaluator,)), *self.others)


@dataclass
class HardFound:
    """The prompt a search ends with.

    Attributes:
        ids: m token ids on the source.
        step: the step it comes from.
        steps: all steps.
        validation: its metric on the validation split, in 0..1.
        logits: its validation logits [v, C], where they are there anyway.
        failed: step at which the loss was no longer finite, or None.
        evaluated: validation rows that were read to choose it.
        saved: validation rows that needed not be read (known before, or out of the race).
        cost: what it took, the final evaluation left out. A race counts what it reads itself; a
            search that reads more adds that.
        curve: per evaluation step, validation, loss and the like; plain numbers.
        stopped: step after which the search was stopped on demand, or None.
        unread: alias of the model whose logits on validation were not all finite, or None.
        told: what else the result is to say, by column; plain numbers.
    """

    ids: tuple[int, ...]
    step: int
    steps: int
    validation: float
    logits: torch.Tensor | None = None
    failed: int | None = None
    evaluated: int = 0
    saved: int = 0
    curve: list[dict[str, Any]] = field(default_factory=list)
    stopped: int | None = None
    unread: str | None = None
    cost: Cost = field(default_factory=Cost)
    told: dict[str, int] = field(default_factory=dict)


class HardSearch(Protocol):
    """A method: from a problem to one prompt a replica.

    A new method is one file with such a function, which a dataclass of settings names (``search``),
    and one entry in :data:`trainables.core.registries.METHODS`; its test inherits the contract in
    ``trainables.testing.hard_contract``.
    """

    def __call__(
        self,
        problem: HardProblem,
        replicas: Sequence[HardReplica],
        settings: Any,
        progress: Progress | None = None,
        rungs: Rungs | None = None,
    ) -> list[HardFound]:
        """Search all replicas as one stack; each gets what it would get alone.

        ``rungs``, if given, is asked between steps who is to stop; those leave the stack.
        """


class PartSearch(Protocol):
    """A search of the replicas that have the same evaluators."""

    def __call__(
        self,
        judges: tuple[str, ...],
        replicas: Sequence[HardReplica],
        progress: Progress | None,
        rungs: Rungs | None,
        /,
    ) -> list[HardFound]:
        """As :class:`HardSearch`, of these."""


def by_judges(
    search: PartSearch,
    problem: HardProblem,
    replicas: Sequence[HardReplica],
    progress: Progress | None,
    rungs: Rungs | None,
) -> list[HardFound]:
    """Search the replicas of each set of evaluators as one stack.

    Raises:
        InputError: a replica names an evaluator that the problem does not have.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, replica in enumerate(replicas):
        groups.setdefault(replica.judges, []).append(place)
    for alias in {alias for judges in groups for alias in judges} - problem.evaluators.keys():
        raise InputError(
            f"evaluator: found {alias!r};"
            f" allowed: {', '.join(problem.evaluators) or 'none, as no evaluator is given'}"
        )
    found: dict[int, HardFound] = {}
    for number, (judges, places) in enumerate(groups.items()):
        part = _shifted(progress, number, len(groups))
        stack = [replicas[place] for place in places]
        mine = search(judges, stack, part, on_places(rungs, places))
        found |= zip(places, mine, strict=True)
    return [found[place] for place in range(len(replicas))]


def on_places(rungs: Rungs | None, places: Sequence[int]) -> Rungs | None:
    """The question of some replicas, by their number among themselves, in terms of all."""
    if rungs is None:
        return None
    own = {place: number for number, place in enumerate(places)}

    def asked(step: int, values: Mapping[int, float]) -> set[int]:
        named = rungs(step, {places[number]: value for number, value in values.items()})
        return {own[place] for place in named if place in own}

    return asked


def _shifted(progress: Progress | None, number: int, groups: int) -> Progress | None:
    """Progress of one group of several, as part of the whole."""
    if progress is None:
        return None
    return lambda step, steps: progress(number * steps + step, groups * steps)


def search_of(settings: HardSettings) -> HardSearch:
    """The method that these are the settings of."""
    found: HardSearch = loaded(type(settings).search)
    return found
