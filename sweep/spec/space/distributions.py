"""Parameters of a space as Optuna's distributions, and Optuna's trials as choosers."""

from dataclasses import dataclass

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from sweep.spec.space.domains import Choices, Range


@dataclass
class TrialChooser:
    """Takes what Optuna suggests.

    Attributes:
        trial: a trial that was just asked for.
        flat: see :class:`sweep.spec.space.domains.Chooser`.
    """

    trial: optuna.Trial
    flat: bool

    def number(self, name: str, domain: Range) -> float:
        if domain.whole:
            step = int(domain.step or 1)
            low, high = int(domain.low), int(domain.high)
            return self.trial.suggest_int(name, low, high, step=step, log=domain.log)
        return self.trial.suggest_float(
            name, domain.low, domain.high, step=domain.step, log=domain.log
        )

    def label(self, name: str, labels: tuple[str, ...]) -> str:
        label: str = self.trial.suggest_categorical(name, labels)
        return label


def distribution_of(parameter: Range | Choices) -> BaseDistribution:
    """What :class:`TrialChooser` makes Optuna record for a parameter."""
    if isinstance(parameter, Choices):
        return CategoricalDistribution(parameter.labels)
    if parameter.whole:
        low, high, step = int(parameter.low), int(parameter.high), int(parameter.step or 1)
        return IntDistribution(low, high, log=parameter.log, step=step)
    return FloatDistribution(parameter.low, parameter.high, parameter.log, parameter.step)
