"""Starts by how many labelled examples there are: the mean, and how much seeds differ (PPT).

A *unit* is a target task on one model; its *runs* differ in the seed, and in the draw of examples
where the sweep has several. Every start of a unit with one number of examples meets the same runs.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.starts.retrieval import interval
from analysis.stats.intervals import t_interval
from trainables.core.settings.starts import NAMES

WORDS = "words"
"""The control: a start from frequent words."""
CONTROLS = {"vocabulary": WORDS}
"""How starts by ``init`` are called, where it is not by their own name."""
UNIT = ["target", "task"]
RUN = [*UNIT, "seed", "draw"]
_NOT_TOLD = {"init", "init_std", "init_range", "init_text", "init_file", *NAMES}
_ASIDE = {*_NOT_TOLD, "shots", "shots_seed"}
COLUMNS = [*RUN, "variant", "shots", "start", "score"]


def started_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Every prompt of a target task that starts from one source task's prompt, or is a control.

    Args:
        frame: table of :func:`analysis.load`.

    Returns:
        Columns :data:`COLUMNS`: ``draw`` of the examples, ``variant`` (settings in which the sweep
        varies apart from start and examples; empty where there are none), ``shots`` (infinite: all
        examples), ``start`` (the source task, ``words``, or a control's ``init``) and the score on
        test, 0 to 1. Controls only where a start from a source task has the same settings.
    """
    single = ~frame["origin"].fillna("+").str.contains("+", regex=False)
    continued = frame[(frame["row"] == "continued") & frame["top"].isna() & single]
    alone = frame[(frame["row"] == "independent") & frame["task"].isin(set(continued["task"]))]
    made = pd.concat(
        [continued.assign(start=continued["origin"]), alone.assign(start=alone["init"])]
    )
    told = [json.loads(text) for text in made["settings"]]
    made = made.assign(
        start=made["start"].replace(CONTROLS),
        draw=[values.get("shots_seed") or 0 for values in told],
        variant=[json.dumps({k: v for k, v in item.items() if k not in _ASIDE}) for item in told],
        shots=made["shots"].astype(float).fillna(math.inf),
    )
    keys = ["target", "task", "variant", "shots"]
    known = made.loc[made["row"] == "continued", keys].drop_duplicates()
    rows = made.merge(known, on=keys)[COLUMNS]
    return rows.assign(variant=rows["variant"].map(_labels(list(rows["variant"].unique()))))


def _labels(variants: Sequence[str]) -> dict[str, str]:
    """In what each variant differs from the others."""
    told = {text: json.loads(text) for text in variants}
    names = dict.fromkeys(name for values in told.values() for name in values)
    vary = [name for name in names if len({str(item.get(name)) for item in told.values()}) > 1]
    return {
        text: ", ".join(f"{name} {values.get(name)}" for name in vary)
        for text, values in told.items()
    }


def beside_words(rows: pd.DataFrame) -> pd.DataFrame:
    """Every run of :func:`started_rows` beside that of the same seed and examples from words.

    Returns:
        The columns with ``control`` (0 to 1) and ``gain`` (points); runs without one are left out.
    """
    keys = [*RUN, "variant", "shots"]
    words = rows.loc[rows["start"] == WORDS, [*keys, "score"]]
    both = rows.merge(words.rename(columns={"score": "control"}), on=keys)
    return both.assign(gain=100 * (both["score"] - both["control"]))


def spreads(both: pd.DataFrame) -> pd.DataFrame:
    """Per unit, variant, start and number of examples how much runs differ.

    Returns:
        Columns of the group, ``runs``, ``score`` and ``spread`` (mean and standard deviation over
        runs, ddof 1, points), ``control_spread``, and ``log_ratio`` of the two; NaN where one of
        them is 0 or there is a single run.
    """
    rows = []
    for key, part in both.groupby([*UNIT, "variant", "start", "shots"], sort=False):
        mine, words = (100 * part[name].std(ddof=1) for name in ("score", "control"))
        known = mine > 0 and words > 0
        rows.append((
            *key, len(part), 100 * part["score"].mean(), mine, words,
            math.log(mine / words) if known else math.nan,
        ))  # fmt: skip
    names = [*UNIT, "variant", "start", "shots", "runs", "score", "spread", "control_spread"]
    return pd.DataFrame(rows, columns=[*names, "log_ratio"])


def few_shot_table(both: pd.DataFrame) -> pd.DataFrame:
    """The means of starts by variant, start and number of examples, over units and runs.

    Returns:
        One row each; ``shots`` NaN is over all numbers of examples. Columns n (runs), score,
        control, gain with its ends over tasks, models and seeds (points), spread and
        control_spread (mean standard deviations over runs), and of their ratio ``ratio`` (geometric
        mean over units) with its ends (t-interval of the logarithm) and ``units`` that have one.
    """
    spread = spreads(both)
    rows = []
    starts = list(dict.fromkeys(both["start"]))
    keys = both[["variant", "start"]].drop_duplicates()
    keys = keys.sort_values("start", key=lambda names: names.map(starts.index), kind="stable")
    for key in keys.itertuples(index=False):
        mine = _at(both, key.variant, key.start)
        apart = _at(spread, key.variant, key.start)
        numbers = sorted(mine["shots"].unique())
        for shots in (*numbers, *([math.nan] if len(numbers) > 1 else [])):
            every = math.isnan(shots)
            part = mine if every else mine[mine["shots"] == shots]
            there = apart if every else apart[apart["shots"] == shots]
            rows.append({
                "variant": key.variant, "start": key.start, "shots": shots,
                **_numbers(part, there),
            })  # fmt: skip
    return pd.DataFrame(rows)


def _at(table: pd.DataFrame, variant: Any, start: Any) -> pd.DataFrame:
    found: pd.DataFrame = table[(table["variant"] == variant) & (table["start"] == start)]
    return found


def _numbers(part: pd.DataFrame, spread: pd.DataFrame) -> Mapping[str, float]:
    gain = interval(part, part["gain"])
    logs = spread.groupby(UNIT)["log_ratio"].mean().dropna()
    ratio = t_interval(logs)
    return {
        "n": len(part),
        "score": 100 * part["score"].mean(), "control": 100 * part["control"].mean(),
        "gain": gain.mean, "gain_low": gain.low, "gain_high": gain.high,
        "spread": spread["spread"].mean(), "control_spread": spread["control_spread"].mean(),
        "ratio": float(np.exp(ratio.mean)), "ratio_low": float(np.exp(ratio.low)),
        "ratio_high": float(np.exp(ratio.high)), "units": ratio.n,
    }  # fmt: skip
