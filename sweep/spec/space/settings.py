"""How a search searches: objectives, constraints, sampler, pruner and seed. No Optuna at import."""

from dataclasses import dataclass

from sweep.spec.space.domains import Range
from sweep.spec.space.pruners import PRUNERS
from sweep.spec.space.samplers import SAMPLERS
from sweep.spec.space.space import Space
from trainables.errors import InputError, nearest, show

DIRECTIONS = ("maximize", "minimize")


@dataclass(frozen=True)
class Objective:
    """What is to be made large or small.

    Attributes:
        name: key under which results hold it, such as ``validation/score``.
        direction: ``maximize`` or ``minimize``.
    """

    name: str
    direction: str = "maximize"

    def __post_init__(self) -> None:
        """Raise InputError for another direction."""
        if self.direction not in DIRECTIONS:
            raise InputError(
                f"objective {self.name}: found the direction {show(self.direction)};"
                f" allowed: {' or '.join(DIRECTIONS)}"
            )


@dataclass(frozen=True)
class StudySettings:
    """Settings of a study. All but the objectives may change when a study is continued.

    Attributes:
        objectives: at least one; the first is the one that steps report.
        constraints: names of numbers that must not be above 0.
        sampler: key of :data:`sweep.spec.space.samplers.SAMPLERS`.
        pruner: key of :data:`sweep.spec.space.pruners.PRUNERS`.
        seed: with the number of trials so far it decides each suggestion.
        startup: random points before ``tpe`` or ``gp`` learn, Optuna's default.
        population: points in a generation of ``nsga2`` and ``nsga3``. Optuna's default is 50, with
            which a search of a hundred points would hardly evolve.
        name: the study's name in its journal.
    """

    objectives: tuple[Objective, ...] = (Objective("score"),)
    constraints: tuple[str, ...] = ()
    sampler: str = "tpe"
    pruner: str = "none"
    seed: int = 0
    startup: int = 10
    population: int = 20
    name: str = "search"

    def __post_init__(self) -> None:
        """Raise InputError for what is not allowed, alone or together."""
        _one_of("sampler", self.sampler, SAMPLERS)
        _one_of("pruner", self.pruner, PRUNERS)
        _whole("seed", self.seed, 0)
        _whole("startup", self.startup, 1)
        _whole("population", self.population, 2)
        if not self.objectives:
            raise InputError("search.objectives: found none; allowed: at least one")
        names = [item.name for item in self.objectives]
        for index, name in enumerate((*names, *self.constraints)):
            if name in (*names, *self.constraints)[:index]:
                raise InputError(f"search: {show(name)} stands there twice; allowed: each once")
        self._check_sampler()

    @property
    def several(self) -> bool:
        """Whether there are several objectives."""
        return len(self.objectives) > 1

    def _check_sampler(self) -> None:
        kind = SAMPLERS[self.sampler]
        if self.several and not kind.several:
            raise InputError(
                f"search.sampler: found {self.sampler} with {len(self.objectives)} objectives;"
                f" allowed: {_those('several')}"
            )
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


def _those(mark: str) -> str:
    return ", ".join(name for name, kind in SAMPLERS.items() if getattr(kind, mark))


def _one_of(name: str, value: object, known: object) -> None:
    names = tuple(known) if isinstance(known, dict) else ()
    listed = ", ".join(names)
    if value not in names:
        raise InputError(
            f"search.{name}: found {show(value)}{nearest(value, names)}; allowed: {listed}"
        )


def _whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(
            f"search.{name}: found {show(value)}; allowed: a whole number of at least {least}"
        )
