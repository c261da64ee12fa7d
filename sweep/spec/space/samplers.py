"""Samplers and pruners by name: what each can do, and how it is made, with Optuna only then."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from trainables.core.registry import Registry
from trainables.errors import InputError

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler


class Direction(Protocol):
    """An objective: ``maximize`` or ``minimize``."""

    @property
    def direction(self) -> str:
        """Which of the two."""


class Study(Protocol):
    """What samplers ask of a study's settings."""

    @property
    def objectives(self) -> Sequence[Direction]:
        """At least one."""

    @property
    def several(self) -> bool:
        """Whether there are several objectives."""

    @property
    def startup(self) -> int:
        """Random points before a model learns."""

    @property
    def population(self) -> int:
        """Points in a generation."""


@dataclass(frozen=True)
class SamplerKind:
    """One way to choose the next point.

    Attributes:
        make: the Optuna sampler for a seed; None for the grid, whose order is the space's own.
        flat: whether it needs every parameter in every point; None where it does not care.
            Parameters of other methods are then chosen too and passed over: what a genetic
            algorithm calls inactive genes.
        several: whether it takes several objectives.
        constraints: whether it may be used with constraints.
        asks: how often in a row it may suggest a known point before points are drawn at random. A
            Gaussian process has one best point, and asking again only takes time.
        ranges: numeric ranges that it needs at least.
        packages: what must be installed besides Optuna.
    """

    make: "Callable[[int, Study], BaseSampler] | None"
    flat: bool | None = None
    several: bool = True
    constraints: bool = True
    asks: int = 10
    ranges: int = 0
    packages: tuple[str, ...] = ()


def _tpe(seed: int, settings: "Study") -> "BaseSampler":
    from optuna.samplers import TPESampler

    # Per group of parameters that occur together (those of one method) a joint density; with
    # several objectives Optuna's default is one density a parameter.
    joint = not settings.several
    return TPESampler(seed=seed, n_startup_trials=settings.startup, multivariate=joint, group=joint)


def _nsga2(seed: int, settings: "Study") -> "BaseSampler":
    from optuna.samplers import NSGAIISampler

    return NSGAIISampler(seed=seed, population_size=settings.population)


def _nsga3(seed: int, settings: "Study") -> "BaseSampler":
    from optuna.samplers import NSGAIIISampler

    return NSGAIIISampler(seed=seed, population_size=settings.population)


def _gp(seed: int, settings: "Study") -> "BaseSampler":
    from optuna.samplers import GPSampler

    return GPSampler(seed=seed, n_startup_trials=settings.startup, warn_independent_sampling=False)


def _cmaes(seed: int, settings: "Study") -> "BaseSampler":
    from sweep.spec.space.cma import ReplayedCma

    return ReplayedCma(seed, maximize=settings.objectives[0].direction == "maximize")


def _random(seed: int, settings: "Study") -> "BaseSampler":
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


SAMPLERS: Registry[SamplerKind] = Registry(
    "sampler",
    {
        "tpe": SamplerKind(_tpe, flat=False),
        "nsga2": SamplerKind(_nsga2, flat=True),
        "nsga3": SamplerKind(_nsga3, flat=True),
        "gp": SamplerKind(_gp, flat=True, asks=2, packages=("scipy", "torch")),
        "cmaes": SamplerKind(
            _cmaes, flat=True, several=False, constraints=False, ranges=2, packages=("cmaes",)
        ),
        "random": SamplerKind(_random),
        "grid": SamplerKind(None, asks=0),
    },
)


def check_packages(name: str) -> None:
    """See to it that a sampler's packages are there.

    Raises:
        InputError: one is missing.
    """
    for package in SAMPLERS[name].packages:
        if importlib.util.find_spec(package) is None:
            raise InputError(
                f"search.sampler: {name} needs the package {package}, which is not installed"
                f" (pip install {package}); allowed without it: "
                + ", ".join(other for other, kind in SAMPLERS.items() if not kind.packages)
            )


def make_sampler(name: str, seed: int, settings: "Study") -> Any:
    make = SAMPLERS[name].make or _random
    return make(seed, settings)


def _wilcoxon() -> "BasePruner":
    from optuna.pruners import WilcoxonPruner

    return WilcoxonPruner(p_threshold=0.1)


PRUNERS: Registry["Callable[[], BasePruner]"] = Registry(
    "pruner",
    {
        "none": "optuna.pruners:NopPruner",
        "wilcoxon": _wilcoxon,
        "median": "optuna.pruners:MedianPruner",
        "asha": "optuna.pruners:SuccessiveHalvingPruner",
        "hyperband": "optuna.pruners:HyperbandPruner",
    },
)
"""``wilcoxon`` compares a point with the best one over *instances* (tasks, seeds): each reported
step is an instance, which must have the same number in every point. The others compare points at
equal *steps* of a course that rises (training steps, or the mean over the tasks so far)."""
