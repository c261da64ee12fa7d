"""CMA-ES over the numeric ranges of a space; everything else is drawn at random.

Optuna's CMA-ES unpickles its state from the study's storage; people share journals, and no file
that is read here may run code. This one replays the generations in the journal, which takes
milliseconds for hundreds of points and gives the same state after any restart.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from cmaes import CMA
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

GENERATION = "cma_generation"
_SIGMA = 1 / 6
"""First standard deviation in units of a range, Optuna's default."""


@dataclass(frozen=True)
class Axis:
    """A numeric range laid on [0, 1], each whole number or step with the same share of it."""

    low: float
    high: float
    log: bool
    margin: float

    @classmethod
    def of(cls, range_: FloatDistribution | IntDistribution) -> "Axis":
        whole = isinstance(range_, IntDistribution)
        step = range_.step if range_.step is not None else 0.0
        return cls(range_.low, range_.high, range_.log, 0.5 if whole and range_.log else step / 2)

    def unit(self, value: float) -> float:
        low, high = self._ends()
        return (self._scaled(value) - low) / (high - low)

    def value(self, unit: float) -> float:
        """The value at a place in [0, 1], before it is rounded to a step."""
        low, high = self._ends()
        scaled = low + unit * (high - low)
        return min(max(math.exp(scaled) if self.log else scaled, self.low), self.high)

    def _ends(self) -> tuple[float, float]:
        return self._scaled(self.low - self.margin), self._scaled(self.high + self.margin)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else value


class ReplayedCma(BaseSampler):
    """CMA-ES (Hansen 2016, package ``cmaes``) whose state is a function of the finished points."""

    def __init__(self, seed: int, maximize: bool) -> None:
        """For one suggestion."""
        self._seed = seed
        self._sign = -1.0 if maximize else 1.0
        self._random = RandomSampler(seed=seed)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The numeric ranges that every finished point has."""
        found = IntersectionSearchSpace().calculate(study)
        kinds = (FloatDistribution, IntDistribution)
        return {name: item for name, item in found.items() if isinstance(item, kinds)}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if len(search_space) < 2:
            return {}
        finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        optimizer = self._replay(finished, search_space)
        study._storage.set_trial_system_attr(trial._trial_id, GENERATION, optimizer.generation)
        return _values(search_space, optimizer.ask())

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def _replay(
        self, finished: Sequence[FrozenTrial], space: Mapping[str, BaseDistribution]
    ) -> CMA:
        optimizer = CMA(
            mean=np.full(len(space), 0.5),
            sigma=_SIGMA,
            bounds=np.tile([0.0, 1.0], (len(space), 1)),
            seed=self._seed % 2**32,
        )
        generations: dict[int, list[FrozenTrial]] = {}
        # In the order in which they were finished: what came late did not count then either.
        for trial in sorted(finished, key=_when):
            if GENERATION in trial.system_attrs and trial.value is not None:
                generations.setdefault(trial.system_attrs[GENERATION], []).append(trial)
        while len(generations.get(optimizer.generation, ())) >= optimizer.population_size:
            told = generations[optimizer.generation][: optimizer.population_size]
            optimizer.tell(
                [(_units(space, trial), self._sign * float(trial.value or 0.0)) for trial in told]
            )
        return optimizer


def _when(trial: FrozenTrial) -> tuple[datetime, int]:
    return trial.datetime_complete or datetime.min, trial.number


def _units(space: Mapping[str, Any], trial: FrozenTrial) -> NDArray[np.float64]:
    return np.array([Axis.of(item).unit(trial.params[name]) for name, item in space.items()])


def _values(space: Mapping[str, Any], units: NDArray[np.float64]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for (name, item), unit in zip(space.items(), units, strict=True):
        value = Axis.of(item).value(float(unit))
        if item.step is not None and not item.log:
            value = item.low + round((value - item.low) / item.step) * item.step
        value = round(value) if isinstance(item, IntDistribution) else value
        found[name] = min(max(value, item.low), item.high)
    return found
