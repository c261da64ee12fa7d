"""Which settings tell good results from the rest: PED-ANOVA over the cells of a sweep.

Where a search chose the settings, they were not drawn evenly: such numbers describe the search, not
the landscape. :data:`LABEL` has to stand beside them.
"""

import warnings
from collections.abc import Sequence

import pandas as pd

SETTINGS = (
    "method", "sources", "counterparts", "weight_label", "s", "k", "prompt_length", "position",
    "init", "solver",
)  # fmt: skip
"""Settings looked at, as far as they vary."""
LABEL = (
    "Conditional on the settings that were tried: it tells what sets the best tenth of them apart, "
    "not how the score would answer elsewhere."
)
LEAST_POINTS = 10
_MOST_POINTS = 2000
_MISSING = "–"


def importance(
    frame: pd.DataFrame, settings: Sequence[str] = SETTINGS, value: str = "validation_score"
) -> pd.DataFrame:
    """Importance of settings for the score (PED-ANOVA, Watanabe et al. 2023).

    Scores are centred per task and target and averaged over seeds, tasks and targets, so that hard
    tasks do not count as bad settings. Of more than 2,000 points every k-th in order of the score
    is taken.

    Args:
        frame: cells that compete, e.g. the transfer rows of Ours.
        settings: columns looked at.
        value: score, higher is better; the test split chooses nothing, so validation by default.

    Returns:
        Columns setting, importance (descending, sum 1), values (distinct ones). Empty with fewer
        than ten points or where nothing varies.
    """
    empty = pd.DataFrame({"setting": [], "importance": [], "values": []})
    frame = frame[frame[value].notna()]
    names = [name for name in settings if name in frame and frame[name].nunique(dropna=False) > 1]
    if not names:
        return empty
    level = frame.groupby(["task", "target"], observed=True)[value].transform("mean")
    text = {name: frame[name].astype("string").fillna(_MISSING) for name in names}
    table = pd.DataFrame({**text, "value": (frame[value] - level).to_numpy()})
    points = table.groupby(names, observed=True)[["value"]].mean().reset_index()
    if len(points) < LEAST_POINTS or points["value"].nunique() < 2:
        return empty
    points = points.sort_values("value", kind="stable")
    points = points.iloc[:: max(1, -(-len(points) // _MOST_POINTS))]
    names = [name for name in names if points[name].nunique() > 1]
    found = _ped_anova(points, names)
    table = pd.DataFrame({"setting": list(found), "importance": list(found.values())})
    table["values"] = [int(points[name].nunique()) for name in table["setting"]]
    return table


def _ped_anova(points: pd.DataFrame, names: Sequence[str]) -> dict[str, float]:
    import optuna  # imported late: it costs more than the rest of a report
    from optuna.distributions import BaseDistribution, CategoricalDistribution
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    from optuna.trial import create_trial

    choices: dict[str, BaseDistribution] = {
        name: CategoricalDistribution(sorted(points[name].unique())) for name in names
    }
    trials = [
        create_trial(
            value=line["value"], params={name: line[name] for name in names}, distributions=choices
        )
        for line in points.to_dict("records")
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(direction="maximize")
        optuna.logging.set_verbosity(before)
        study.add_trials(trials)
        found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {name: float(number) for name, number in found.items()}
