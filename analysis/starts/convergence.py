"""How soon a tuned prompt is good: convergence time and comparable-result time.

Su et al. (NAACL 2022) report both and define neither. Here, on the grid of evaluations t_1 < … < T
of a run with validation scores v, and a tolerance δ of half a point:

    converged(run) = first t with max_{s ≤ t} v(s) ≥ max v − δ
    convergence time       = 100 · converged(start) / converged(control)
    comparable-result time = 100 · min {t : v_start(t) ≥ max v_control − δ} / converged(control)

Nothing is interpolated: the truth lies between an evaluation and the one before, whose distance is
the resolution. A result that is never comparable has no time, and where the control is as good as
it gets before its first step there is nothing to be divided by.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

DELTA = 0.005
"""Tolerance δ, of a score from 0 to 1."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Curve:
    """Validation scores along a run.

    Attributes:
        steps: after which steps it was evaluated, in rising order; 0 is the start.
        values: the scores there, 0 to 1.
    """

    steps: Sequence[int]
    values: Sequence[float]

    @property
    def best(self) -> float:
        """The highest score."""
        return max(self.values)

    def reaches(self, level: float) -> int | None:
        """First evaluation with at least this score; None: never."""
        pairs = zip(self.steps, self.values, strict=True)
        return next((step for step, value in pairs if value >= level - _ROUNDING), None)

    def converged(self, delta: float = DELTA) -> int:
        """First evaluation within ``delta`` of the best."""
        found = self.reaches(self.best - delta)
        assert found is not None
        return found

    def width(self, step: int) -> int:
        """Steps from the evaluation before to this one: what is not known of a time."""
        place = list(self.steps).index(step)
        return step - (self.steps[place - 1] if place else 0)


@dataclass(frozen=True)
class Times:
    """A run beside its control.

    Attributes:
        converged: steps until it is within δ of its best.
        control: likewise of the control.
        comparable: steps until it is within δ of the control's best; None: never.
        width: resolution of ``control`` in steps.
    """

    converged: int
    control: int
    comparable: int | None
    width: int

    @property
    def convergence(self) -> float:
        """Convergence time in percent; NaN where the control takes no step."""
        return self._of_control(self.converged)

    @property
    def comparison(self) -> float:
        """Comparable-result time in percent; infinite: never; NaN as above."""
        return self._of_control(math.inf if self.comparable is None else self.comparable)

    def _of_control(self, steps: float) -> float:
        return 100 * steps / self.control if self.control else math.nan


def times(start: Curve, control: Curve, delta: float = DELTA) -> Times:
    """The times of a run and of its control with the same examples and seed."""
    taken = control.converged(delta)
    return Times(
        converged=start.converged(delta),
        control=taken,
        comparable=start.reaches(control.best - delta),
        width=control.width(taken),
    )
