"""Which parameters decide: Optuna's importance evaluators over the points of a study.

The points were chosen by a search, not drawn evenly: such numbers describe the search rather than
the landscape, and a report must say so.
"""

import warnings
from collections.abc import Iterable, Mapping

import optuna
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
    get_param_importances,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweep.search.distributions import distribution_of
from sweep.search.records import Outcome
from sweep.search.space import Space
from trainables.errors import InputError

LEAST_POINTS = 4


def _ped_anova() -> BaseImportanceEvaluator:
    return PedAnovaImportanceEvaluator()


def _fanova() -> BaseImportanceEvaluator:
    return FanovaImportanceEvaluator(seed=0)


EVALUATORS = {"ped_anova": _ped_anova, "fanova": _fanova}


def importance(
    outcomes: Iterable[Outcome],
    space: Space,
    objectives: Mapping[str, str],
    evaluator: str = "ped_anova",
    method: str | None = None,
) -> dict[str, dict[str, float]]:
    """Importance of each parameter for each objective.

    Args:
        outcomes: of a study; complete ones count.
        space: the study's.
        objectives: name to direction.
        evaluator: ``ped_anova`` (Watanabe et al. 2023: what tells the best tenth from the rest;
            knows conditional parameters) or ``fanova`` (Hutter et al. 2014: shares of the variance;
            only parameters that every point has, and slow with dozens of choices: 100 points with
            45 pairs took 100 s).
        method: only points of this method.

    Returns:
        By objective: parameter to importance, descending, with sum 1; empty with fewer than four
        points or nothing that varies.

    Raises:
        InputError: an unknown evaluator.
    """
    if evaluator not in EVALUATORS:
        raise InputError(f"importance: found {evaluator!r}; allowed: {', '.join(EVALUATORS)}")
    complete = [
        item
        for item in outcomes
        if item.state == "complete" and method in (None, item.point.method)
    ]
    return {
        name: _importance(complete, space, name, direction, evaluator)
        for name, direction in objectives.items()
    }


def _importance(
    complete: list[Outcome], space: Space, objective: str, direction: str, evaluator: str
) -> dict[str, float]:
    # Parameters that a point does not use (genes of other methods) would blur the picture.
    trials = [_trial(item, space, objective) for item in complete]
    used = {name: {str(trial.params.get(name)) for trial in trials} for name in space.parameters}
    if len(trials) < LEAST_POINTS or all(len(values) < 2 for values in used.values()):
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(direction=StudyDirection[direction.upper()])
        study.add_trials(trials)
        found = get_param_importances(study, evaluator=EVALUATORS[evaluator]())
    return {name: float(value) for name, value in found.items()}


def _trial(outcome: Outcome, space: Space, objective: str) -> FrozenTrial:
    params = space.place(outcome.point)
    return create_trial(
        state=TrialState.COMPLETE,
        value=outcome.values[objective],
        params=params,
        distributions={name: distribution_of(space.parameters[name]) for name in params},
    )
