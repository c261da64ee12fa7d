"""The section ``search`` of a spec: what is searched for, how, and for how long. No Optuna."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from annotated_types import Ge
from pydantic import BaseModel, BeforeValidator, Field, model_validator

from sweep.spec.space.domains import Range
from sweep.spec.space.measures import MEASURES, PointMeasure
from sweep.spec.space.samplers import PRUNERS, SAMPLERS
from sweep.spec.space.space import Space
from trainables.core.settings.base import Count, Number, Settings
from trainables.errors import InputError, check_known, show
from trainables.files.validation import STRICT

Direction = Literal["maximize", "minimize"]
_COUNT = "a whole number of at least 1, or null for no such bound"


@dataclass(frozen=True)
class Objective(Settings):
    """What is to be made large or small.

    Attributes:
        name: key under which results hold it, such as ``validation/score``.
        direction: ``maximize`` or ``minimize``.
    """

    section: ClassVar[str] = "objective"

    name: str
    direction: Direction = "maximize"


@dataclass(frozen=True)
class StudySettings(Settings):
    """Settings of a study. All but the objectives may change when a study is continued.

    Attributes:
        objectives: at least one; the first is the one that steps report.
        constraints: names of numbers that must not be above 0.
        sampler: key of :data:`sweep.spec.space.samplers.SAMPLERS`.
        pruner: key of :data:`sweep.spec.space.samplers.PRUNERS`.
        seed: with the number of trials so far it decides each suggestion.
        startup: random points before ``tpe`` or ``gp`` learn, Optuna's default.
        population: points in a generation of ``nsga2`` and ``nsga3``. Optuna's default is 50, with
            which a search of a hundred points would hardly evolve.
        name: the study's name in its journal.
    """

    section: ClassVar[str] = "search"

    objectives: tuple[Objective, ...] = (Objective("score"),)
    constraints: tuple[str, ...] = ()
    sampler: Annotated[str, SAMPLERS] = "tpe"
    pruner: Annotated[str, PRUNERS] = "none"
    seed: Number = 0
    startup: Count = 10
    population: Annotated[int, Ge(2)] = 20
    name: str = "search"

    def complete(self) -> None:
        if not self.objectives:
            raise InputError("search.objectives: found none; allowed: at least one")
        names = [item.name for item in self.objectives]
        for index, name in enumerate((*names, *self.constraints)):
            if name in (*names, *self.constraints)[:index]:
                raise InputError(f"search: {show(name)} stands there twice; allowed: each once")
        kind = SAMPLERS[self.sampler]
        several = f"found {self.sampler} with {len(self.objectives)} objectives"
        if self.several and not kind.several:
            raise InputError(f"search.sampler: {several}; allowed: {_those('several')}")
        if self.constraints and not kind.constraints:
            raise InputError(
                f"search.sampler: found {self.sampler} with constraints;"
                f" allowed: {_those('constraints')}"
            )
        if self.several and self.pruner != "none":
            raise InputError(
                f"search.pruner: found {self.pruner} with {len(self.objectives)} objectives;"
                " allowed: none, as points can be compared on the way by one objective only"
            )

    @property
    def several(self) -> bool:
        return len(self.objectives) > 1


def _those(mark: str) -> str:
    return ", ".join(name for name, kind in SAMPLERS.items() if getattr(kind, mark))


def check_fit(space: Space, settings: StudySettings) -> None:
    """Raise InputError where the sampler cannot search the space."""
    ranges = [name for name, item in space.parameters.items() if isinstance(item, Range)]
    least = SAMPLERS[settings.sampler].ranges
    if len(ranges) < least:
        raise InputError(
            f"search.sampler: found {settings.sampler} with {len(ranges)} numeric ranges; allowed:"
            f" at least {least} of them, or one of tpe, gp and random"
        )
    if settings.sampler == "grid" and space.continuous():
        raise InputError(
            f"search.sampler: found grid with {space.continuous()[0]}, a range without a step;"
            " allowed: choices, and ranges with a step"
        )


class _Measured(BaseModel):
    """A measure over some tasks and targets, named as the spec names them."""

    model_config = STRICT

    measure: Annotated[str, MEASURES]
    tasks: list[str] = Field(
        default_factory=list, description="a list of tasks of the spec, or [] for all"
    )
    targets: list[str] = Field(
        default_factory=list, description="a list of targets of the spec, or [] for all"
    )

    def of_points(self, names: Mapping[str, str]) -> PointMeasure:
        """The measure of points; ``names`` lead from how the spec writes them to how cells do."""
        tasks, targets = (
            tuple(names[name] for name in part) for part in (self.tasks, self.targets)
        )
        return PointMeasure(self.measure, tasks, targets)


class ObjectiveEntry(_Measured):
    """What is to be made large or small."""

    measure: Annotated[str, MEASURES] = "validation/score"
    direction: Direction | None = Field(
        default=None, description="maximize or minimize, or null for the measure's own"
    )
    name: str | None = Field(
        default=None,
        min_length=1,
        description="text that tells it from other objectives, or null for the measure's name",
    )

    @property
    def label(self) -> str:
        return self.name or self.measure


class ConstraintEntry(_Measured):
    """A bound that a point must keep."""

    at_most: float | None = Field(default=None, description="a number, or null")
    at_least: float | None = Field(default=None, description="a number, or null")

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.at_most is None) == (self.at_least is None):
            found = "neither" if self.at_most is None else "both"
            raise ValueError(f"found {found} of at_most and at_least; allowed: one of them")
        return self

    @property
    def label(self) -> str:
        """The constraint's name: the measure and its bound."""
        bound = f"<= {self.at_most:g}" if self.at_most is not None else f">= {self.at_least:g}"
        return f"{self.measure} {bound}"

    def violation(self, value: float) -> float:
        """How far the value is beyond the bound; at most 0 where it keeps it."""
        if self.at_most is not None:
            return value - self.at_most
        return (self.at_least or 0.0) - value


def _objectives(value: Any) -> Any:
    items = value if isinstance(value, list) else [value]
    return [{"measure": item} if isinstance(item, str) else item for item in items]


_ObjectiveForms = Annotated[str, MEASURES] | ObjectiveEntry
_Objectives = Annotated[
    list[ObjectiveEntry],
    Field(min_length=1),
    BeforeValidator(
        _objectives,
        json_schema_input_type=_ObjectiveForms
        | Annotated[list[_ObjectiveForms], Field(min_length=1)],
    ),
]


class SearchSection(BaseModel):
    """How to search."""

    model_config = STRICT

    sampler: Annotated[str, SAMPLERS] = "tpe"
    pruner: Annotated[str, PRUNERS] = "none"
    rungs: Literal["tasks", "steps"] = Field(
        default="tasks",
        description="tasks (points are compared after each task) or steps (while they train)",
    )
    objective: _Objectives = Field(default_factory=lambda: [ObjectiveEntry()])
    constraints: list[ConstraintEntry] = Field(
        default_factory=list, description="a list of mappings with measure and at_most or at_least"
    )
    trials: int | None = Field(default=None, ge=1, description=_COUNT)
    hours: float | None = Field(
        default=None, gt=0, description="a number of hours above 0, or null for no such bound"
    )
    cells: int | None = Field(default=None, ge=1, description=_COUNT)
    seed: int = Field(default=0, ge=0)
    startup: int = Field(default=10, ge=1)
    population: int = Field(default=20, ge=2)
    parallel: int | None = Field(
        default=None,
        ge=1,
        description="how many points to run at a time, a whole number of at least 1, or null for"
        " as many as there is room for",
    )
    warm_start: str | None = Field(
        default=None,
        min_length=1,
        description="the folder of an older search to learn from, or null",
    )

    @model_validator(mode="after")
    def _ends_and_fits(self) -> Self:
        if not (self.trials or self.hours or self.cells):
            raise ValueError("found no end of it; allowed: at least one of trials, hours and cells")
        self.settings()
        return self

    def goals(self, names: Mapping[str, str]) -> dict[str, PointMeasure]:
        """Objectives by name.

        Args:
            names: of tasks and targets: from how the spec writes them to how cells do.
        """
        return {item.label: item.of_points(names) for item in self.objective}

    def bounds(self, names: Mapping[str, str]) -> dict[str, tuple[PointMeasure, ConstraintEntry]]:
        """Constraints by name; ``names`` as for :meth:`goals`."""
        return {item.label: (item.of_points(names), item) for item in self.constraints}

    def settings(self, study: str = "search") -> StudySettings:
        """How the study searches.

        Raises:
            InputError: sampler, pruner, objectives and constraints do not go together.
        """
        return StudySettings(
            objectives=tuple(
                Objective(item.label, item.direction or MEASURES[item.measure].direction)
                for item in self.objective
            ),
            constraints=tuple(item.label for item in self.constraints),
            sampler=self.sampler,
            pruner=self.pruner,
            seed=self.seed,
            startup=self.startup,
            population=self.population,
            name=study,
        )

    def check_names(self, tasks: tuple[str, ...], targets: tuple[str, ...]) -> None:
        """See that objectives and constraints name tasks and targets of the spec.

        Raises:
            InputError: one does not.
        """
        entries: dict[str, list[Any]] = {
            "objective": self.objective,
            "constraints": self.constraints,
        }
        for kind, items in entries.items():
            for index, item in enumerate(items):
                for key, known in (("tasks", tasks), ("targets", targets)):
                    for name in getattr(item, key):
                        check_known(name, known, f"search.{kind}[{index}].{key}")
