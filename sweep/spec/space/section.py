"""The section ``search`` of a spec: what is searched for, how, and for how long."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sweep.spec.errors import explain
from sweep.spec.space.measures import MEASURES, Wanted
from sweep.spec.space.pruners import PRUNERS
from sweep.spec.space.samplers import SAMPLERS
from sweep.spec.space.settings import DIRECTIONS, Objective, StudySettings
from trainables.errors import InputError, listed, nearest, show

_MEASURES = ", ".join(MEASURES)
_COUNT = "a whole number of at least 1, or null for no such bound"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ObjectiveEntry(_Entry):
    """What is to be made large or small."""

    measure: str = Field(default="validation/score", description=f"one of {_MEASURES}")
    direction: str | None = Field(
        default=None, description="maximize or minimize, or null for the measure's own"
    )
    tasks: list[str] = Field(
        default_factory=list, description="a list of tasks of the spec, or [] for all"
    )
    targets: list[str] = Field(
        default_factory=list, description="a list of targets of the spec, or [] for all"
    )
    name: str | None = Field(
        default=None,
        min_length=1,
        description="text that tells it from other objectives, or null for the measure's name",
    )


class ConstraintEntry(_Entry):
    """A bound that a point must keep."""

    measure: str = Field(description=f"one of {_MEASURES}")
    at_most: float | None = Field(default=None, description="a number, or null")
    at_least: float | None = Field(default=None, description="a number, or null")
    tasks: list[str] = Field(
        default_factory=list, description="a list of tasks of the spec, or [] for all"
    )
    targets: list[str] = Field(
        default_factory=list, description="a list of targets of the spec, or [] for all"
    )


class SearchSection(_Entry):
    """The section as written, checked but for names of tasks and targets."""

    sampler: str = Field(default="tpe", description=f"one of {', '.join(SAMPLERS)}")
    pruner: str = Field(default="none", description=f"one of {', '.join(PRUNERS)}")
    rungs: str = Field(
        default="tasks",
        description="tasks (points are compared after each task) or steps (while they train)",
    )
    objective: list[ObjectiveEntry] = Field(
        default_factory=lambda: [ObjectiveEntry()],
        min_length=1,
        description=f"a measure ({_MEASURES}), a mapping with the key measure, or a list of them",
    )
    constraints: list[ConstraintEntry] = Field(
        default_factory=list, description="a list of mappings with measure and at_most or at_least"
    )
    trials: int | None = Field(default=None, ge=1, description=_COUNT)
    hours: float | None = Field(
        default=None, gt=0, description="a number of hours above 0, or null for no such bound"
    )
    cells: int | None = Field(default=None, ge=1, description=_COUNT)
    seed: int = Field(default=0, ge=0, description="a whole number of at least 0")
    startup: int = Field(default=10, ge=1, description="a whole number of at least 1")
    population: int = Field(default=20, ge=2, description="a whole number of at least 2")
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

    def goals(self, names: Mapping[str, str]) -> dict[str, Wanted]:
        """Objectives by name.

        Args:
            names: of tasks and targets: from how the spec writes them to how cells do.
        """
        return {name_of(item): _wanted(item, names) for item in self.objective}

    def bounds(self, names: Mapping[str, str]) -> dict[str, tuple[Wanted, ConstraintEntry]]:
        """Constraints by name; ``names`` as for :meth:`goals`."""
        return {bound_name(item): (_wanted(item, names), item) for item in self.constraints}

    def settings(self, study: str = "search") -> StudySettings:
        """How the study searches.

        Raises:
            InputError: sampler, pruner, objectives and constraints do not go together.
        """
        return StudySettings(
            objectives=tuple(
                Objective(name_of(item), item.direction or MEASURES[item.measure].direction)
                for item in self.objective
            ),
            constraints=tuple(bound_name(item) for item in self.constraints),
            sampler=self.sampler,
            pruner=self.pruner,
            seed=self.seed,
            startup=self.startup,
            population=self.population,
            name=study,
        )


def name_of(item: ObjectiveEntry) -> str:
    """The objective's name."""
    return item.name or item.measure


def bound_name(item: ConstraintEntry) -> str:
    """The constraint's name: the measure and its bound."""
    bound = f"<= {item.at_most:g}" if item.at_most is not None else f">= {item.at_least:g}"
    return f"{item.measure} {bound}"


def violation(item: ConstraintEntry, value: float) -> float:
    """How far the value is beyond the bound; at most 0 where it keeps it."""
    if item.at_most is not None:
        return value - item.at_most
    return (item.at_least or 0.0) - value


def parse_search(value: Any, tasks: tuple[str, ...], targets: tuple[str, ...]) -> SearchSection:
    """Check the section.

    Args:
        value: what the YAML holds.
        tasks: names of the spec's tasks, as written.
        targets: names of the spec's targets, as written.

    Raises:
        InputError: one sentence on the first mistake; it starts with the path.
    """
    if not isinstance(value, Mapping):
        raise InputError(
            f"search: found {show(value)}; allowed: a mapping with the keys"
            f" {', '.join(SearchSection.model_fields)}"
        )
    given = dict(value)
    if "objective" in given:
        given["objective"] = _listed(given["objective"])
    try:
        section = SearchSection.model_validate(given)
    except ValidationError as error:
        text = explain(error, SearchSection)
        joint = ": " if text.startswith("unknown key") else "."
        raise InputError(f"search{joint}{text}") from None
    if not (section.trials or section.hours or section.cells):
        raise InputError(
            "search: found no end of it; allowed: at least one of trials, hours and cells"
        )
    _check_names(section, tasks, targets)
    if section.rungs not in ("tasks", "steps"):
        raise InputError(f"search.rungs: found {show(section.rungs)}; allowed: tasks or steps")
    section.settings()
    return section


def _listed(value: Any) -> Any:
    items = value if isinstance(value, list) else [value]
    return [{"measure": item} if isinstance(item, str) else item for item in items]


def _check_names(section: SearchSection, tasks: tuple[str, ...], targets: tuple[str, ...]) -> None:
    entries: list[tuple[str, ObjectiveEntry | ConstraintEntry]] = [
        *((f"search.objective[{i}]", item) for i, item in enumerate(section.objective)),
        *((f"search.constraints[{i}]", item) for i, item in enumerate(section.constraints)),
    ]
    for path, item in entries:
        _known(f"{path}.measure", [item.measure], tuple(MEASURES))
        _known(f"{path}.tasks", item.tasks, tasks)
        _known(f"{path}.targets", item.targets, targets)
    for index, goal in enumerate(section.objective):
        if goal.direction not in (None, *DIRECTIONS):
            raise InputError(
                f"search.objective[{index}].direction: found {show(goal.direction)};"
                f" allowed: {' or '.join(DIRECTIONS)}, or null for the measure's own"
            )
    for index, bound in enumerate(section.constraints):
        if (bound.at_most is None) == (bound.at_least is None):
            found = "neither" if bound.at_most is None else "both"
            raise InputError(
                f"search.constraints[{index}]: found {found} of at_most and at_least; allowed: one"
                " of them"
            )


def _known(path: str, names: list[str], allowed: tuple[str, ...]) -> None:
    for name in names:
        if name not in allowed:
            raise InputError(
                f"{path}: found {show(name)}{nearest(name, allowed)};"
                f" allowed: {listed(allowed, name)}"
            )


def _wanted(item: ObjectiveEntry | ConstraintEntry, names: Mapping[str, str]) -> Wanted:
    tasks, targets = (tuple(names[name] for name in part) for part in (item.tasks, item.targets))
    return Wanted(item.measure, tasks, targets)
