"""Which parameters decide, over the points of a study, and what of it pure noise would give.

The points were chosen by a search, not drawn evenly: such numbers describe the search rather than
the landscape, and a report must say so.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from analysis.stats.importance import divergence, noise_bounds, top_tenth
from sweep.search.records import Outcome
from sweep.spec.space.distributions import distribution_of
from sweep.spec.space.space import Space

Codes = npt.NDArray[np.int64]
Top = npt.NDArray[np.bool_]

LEAST_POINTS = 4
_BINS = 5
PERMUTATIONS = 200
"""Draws per parameter; more where there are more than ten parameters."""


def importance(
    outcomes: Iterable[Outcome],
    space: Space,
    objectives: Mapping[str, str],
    method: str | None = None,
) -> dict[str, dict[str, float]]:
    """Importance of each parameter for each objective, by PED-ANOVA (Watanabe et al. 2023).

    It asks what sets the best tenth apart, and knows conditional parameters; numbers are put into
    five bins of equally many points.

    Args:
        outcomes: of a study; complete ones count.
        objectives: name to direction.
        method: only points of this method.

    Returns:
        By objective: parameter to importance, descending, with sum 1; empty with fewer than four
        points or nothing that varies.
    """
    complete = _complete(outcomes, method)
    return {
        name: _importance(complete, space, name, direction)
        for name, direction in objectives.items()
    }


def noise(
    outcomes: Iterable[Outcome],
    space: Space,
    objectives: Mapping[str, str],
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> dict[str, dict[str, dict[str, float]]]:
    """PED-ANOVA of parameters that do not matter: values are exchanged among points that have them.

    It ignores that a search samples more where it found something, which even pure noise attracts.

    Args:
        outcomes: of a study; complete ones count.
        objectives: name to direction.
        permutations: draws per parameter.

    Returns:
        By objective and parameter: ``mean`` of the draws and ``bound``, which noise exceeds in any
        parameter with a probability of 5 %, on the scale of :func:`importance`.
    """
    complete = _complete(outcomes, None)
    return {
        name: _noise(complete, space, name, direction, permutations, seed)
        for name, direction in objectives.items()
    }


def _complete(outcomes: Iterable[Outcome], method: str | None) -> list[Outcome]:
    return [
        item
        for item in outcomes
        if item.state == "complete" and method in (None, item.point.method)
    ]


def _importance(
    complete: list[Outcome], space: Space, objective: str, direction: str
) -> dict[str, float]:
    trials = _trials(complete, space, objective)
    if not trials:
        return {}
    raw = _divergences(_regimes(trials, space, direction))
    total, even = sum(raw.values()), 1 / max(len(raw), 1)
    shares = {name: value / total if total else even for name, value in raw.items()}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _noise(
    complete: list[Outcome],
    space: Space,
    objective: str,
    direction: str,
    permutations: int,
    seed: int,
) -> dict[str, dict[str, float]]:
    trials = _trials(complete, space, objective)
    regimes = list(_regimes(trials, space, direction)) if trials else []
    total = sum(_divergences(regimes).values())
    generator, draws = np.random.default_rng(seed), max(permutations, 20 * len(regimes))
    found = {}
    for name, codes, top, factor in regimes:
        moved = generator.permuted(np.tile(top, (draws, 1)), axis=1)
        drawn = factor * divergence(moved, codes) / (total or 1.0)
        mean, bound = noise_bounds(drawn, len(regimes))
        found[name] = {"mean": mean, "bound": bound}
    return found


def _divergences(regimes: Iterable[tuple[str, Codes, Top, float]]) -> dict[str, float]:
    return {
        name: float(factor * divergence(top[None], codes)[0])
        for name, codes, top, factor in regimes
    }


def _regimes(
    trials: list[FrozenTrial], space: Space, direction: str
) -> Iterator[tuple[str, Codes, Top, float]]:
    """By parameter that varies: its values' numbers, which points are in the top, and a factor.

    Only the points that have the parameter count; the factor α² / β weighs them by their shares α
    of the top and β of all points (Watanabe et al. 2026).
    """
    sign = 1.0 if StudyDirection[direction.upper()] == StudyDirection.MAXIMIZE else -1.0
    top = top_tenth(sign * np.array([[trial.value for trial in trials]], dtype=np.float64))[0]
    for name in space.parameters:
        having = np.array([name in trial.params for trial in trials])
        values = [trial.params[name] for trial in trials if name in trial.params]
        if len(set(map(str, values))) < 2:
            continue
        domain = next(trial.distributions[name] for trial in trials if name in trial.params)
        codes = _codes(values, isinstance(domain, CategoricalDistribution))
        alpha = float((top & having).sum() / top.sum())
        yield name, codes, top[having], alpha**2 / float(having.mean())


def _codes(values: list[Any], categories: bool) -> Codes:
    """Numbers of the values; of many numbers, those of bins that hold equally many points."""
    keys = [str(value) if categories else value for value in values]
    known, codes = np.unique(np.array(keys), return_inverse=True)
    if categories or len(known) <= _BINS:
        return codes.reshape(-1).astype(np.int64)
    edges = np.quantile(np.array(values, dtype=np.float64), np.arange(1, _BINS) / _BINS)
    return np.unique(np.searchsorted(edges, values), return_inverse=True)[1].astype(np.int64)


def _trials(complete: list[Outcome], space: Space, objective: str) -> list[FrozenTrial]:
    """The points as trials of one objective; none with too few or where nothing varies."""
    # Parameters that a point does not use (genes of other methods) would blur the picture.
    trials = [_trial(item, space, objective) for item in complete]
    used = {name: {str(trial.params.get(name)) for trial in trials} for name in space.parameters}
    if len(trials) < LEAST_POINTS or all(len(values) < 2 for values in used.values()):
        return []
    return trials


def _trial(outcome: Outcome, space: Space, objective: str) -> FrozenTrial:
    params = space.place(outcome.point)
    return create_trial(
        state=TrialState.COMPLETE,
        value=outcome.values[objective],
        params=params,
        distributions={name: distribution_of(space.parameters[name]) for name in params},
    )
