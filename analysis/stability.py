"""How much a headline number rests on one model or one task: it is computed anew without each."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from analysis.effects import case_means, hard_differences, paired
from analysis.families import HARD, SOFT, of_family
from analysis.results import weight_rank

Numbers = Mapping[str, float]
_PAIR_ON = ["sources", "task", "target", "seed"]
_DECIMALS = 12


def soft_numbers(frame: pd.DataFrame) -> dict[str, float]:
    """Headline numbers of soft prompts, in points; λ is chosen anew on validation.

    Args:
        frame: table of :func:`analysis.results.load`, or a part of it.

    Returns:
        ``Ours − Baseline``, ``cases up, %`` and the gain over Empty of Ours, Baseline and Single;
        those that the rows allow.
    """
    moved = _moved(frame, SOFT)
    mine = chosen_rows(moved)
    pairs = paired(mine, moved[moved["row"] == "baseline"], _PAIR_ON)
    found = _differences("Ours − Baseline", pairs)
    parts = {"Ours": mine, "Baseline": moved[moved["row"] == "baseline"],
             "Single": moved[moved["row"] == "single"]}  # fmt: skip
    return found | _gains(parts)


def hard_numbers(frame: pd.DataFrame) -> dict[str, float]:
    """Headline numbers of hard prompts, in points: neighbour agreement against all words.

    Args:
        frame: table of :func:`analysis.results.load`, or a part of it.
    """
    moved = _moved(frame, HARD)
    found = _differences("agreement − all words", hard_differences(frame))
    names = {"agreement": "agreement", "all": "all words"}
    return found | _gains({name: moved[moved["row"] == row] for row, name in names.items()})


NUMBERS: dict[str, Callable[[pd.DataFrame], dict[str, float]]] = {
    SOFT: soft_numbers,
    HARD: hard_numbers,
}
"""By family, what is computed anew."""


def leave_one_out(
    frame: pd.DataFrame, numbers: Callable[[pd.DataFrame], Numbers] = soft_numbers
) -> pd.DataFrame:
    """Every headline number without each source model, each target and each task.

    Without a model: without all rows that were tuned on it or carried to it.

    Args:
        frame: table of :func:`analysis.results.load`.
        numbers: table to headline numbers by name.

    Returns:
        Columns number, left_out (``model`` or ``task``), name, value (without it; NaN where nothing
        is left), all (with everything), change, and flips (the sign changes).
    """
    moved = frame[frame["kind"] == "transfer"]
    whole = numbers(moved)
    lines = []
    for kind, name, part in _without(moved):
        rest = numbers(part)
        for number, full in whole.items():
            value = rest.get(number, float("nan"))
            lines.append((number, kind, name, value, full, value - full, value * full < 0))
    columns = ["number", "left_out", "name", "value", "all", "change", "flips"]
    return pd.DataFrame(lines, columns=columns)


def chosen_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of Ours at the weight with the best mean validation score per target and source set.

    The same choice as :func:`analysis.selection.choose` by ``pair`` (per combination of settings),
    in one pass over the table, since it is made anew for every model and task left out.
    """
    ours = frame[(frame["row"] == "ours") & frame["validation_score"].notna()]
    key = ["combination", "target", "sources"]
    found = ours.groupby([*key, "weight_label"], as_index=False)["validation_score"].agg(
        ["mean", "size"]
    )
    if found.empty:
        return ours
    found = found[found["size"] == found.groupby(key)["size"].transform("max")]
    found = found.assign(
        score=-found["mean"].round(_DECIMALS), rank=found["weight_label"].map(weight_rank)
    )
    best = found.sort_values(["score", "rank", "weight_label"], kind="stable")
    best = best.drop_duplicates(key)[[*key, "weight_label"]]
    return ours.merge(best, on=[*key, "weight_label"])


def _without(moved: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    sets = moved["sources"].astype("string").fillna("")
    distinct = {text: set(text.split("+")) for text in sets.unique()}
    models = sorted(set().union(*distinct.values(), set(moved["target"].unique())) - {""})
    parts = []
    for name in models:
        holds = sets.map({text: name in members for text, members in distinct.items()})
        kept = ~(holds.astype(bool) | (moved["target"] == name))
        parts.append(("model", str(name), moved[np.asarray(kept)]))
    for name in sorted(moved["task"].unique()):
        parts.append(("task", str(name), moved[np.asarray(moved["task"] != name)]))
    return parts


def _moved(frame: pd.DataFrame, family: str) -> pd.DataFrame:
    rows = of_family(frame, family)
    return rows[rows["kind"] == "transfer"]


def _differences(name: str, pairs: pd.DataFrame) -> dict[str, float]:
    if pairs.empty:
        return {}
    means = case_means(pairs)["difference"]
    return {name: float(pairs["difference"].mean()), "cases up, %": 100 * float((means > 0).mean())}


def _gains(parts: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    means = {name: part["gain_over_empty"].mean() for name, part in parts.items() if len(part)}
    return {f"{name} − Empty": 100 * float(mean) for name, mean in means.items() if mean == mean}
