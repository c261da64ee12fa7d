"""Pruners by name. Optuna is imported only when one is made.

``wilcoxon`` compares a point with the best one over *instances* (tasks, seeds): each reported step
is an instance, which must have the same number in every point. The others compare points at equal
*steps* of a course that rises (training steps, or the mean over the tasks so far).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


def _none() -> "BasePruner":
    from optuna.pruners import NopPruner

    return NopPruner()


def _wilcoxon() -> "BasePruner":
    from optuna.pruners import WilcoxonPruner

    return WilcoxonPruner(p_threshold=0.1)


def _median() -> "BasePruner":
    from optuna.pruners import MedianPruner

    return MedianPruner()


def _asha() -> "BasePruner":
    from optuna.pruners import SuccessiveHalvingPruner

    return SuccessiveHalvingPruner()


def _hyperband() -> "BasePruner":
    from optuna.pruners import HyperbandPruner

    return HyperbandPruner()


PRUNERS: dict[str, "Callable[[], BasePruner]"] = {
    "none": _none,
    "wilcoxon": _wilcoxon,
    "median": _median,
    "asha": _asha,
    "hyperband": _hyperband,
}
