"""The retrieval table: what each way to use source tasks' prompts has over no transfer."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analysis.starts.tries import UNIT, Tries
from analysis.stats.best_of_n import expected_best
from analysis.stats.bootstrap import Crossed, crossed_interval

TITLES = {"average_tokens": "cosine of average tokens", "per_token": "per-token mean cosine"}
"""Names of similarities for people."""
UNITS = ("target", "task", "seed")
"""What intervals are over."""
LINES = (
    "No transfer", "Words, best of k", "Random source tasks, best of k", "Best of top-k",
    "Weighted average of top-k", "Mixture of top-k", "All source tasks, best",
)  # fmt: skip
"""Lines of the table, from top to bottom."""
NONE, WORDS, RANDOM, BEST, AVERAGE, MIXTURE, ORACLE = LINES
_STEP = 3


def sizes(count: int) -> list[int]:
    """Numbers k of source tasks that are looked at, of ``count``: 1, 3, 6, … and all."""
    return sorted({1, *range(_STEP, count + 1, _STEP), count})


def retrieval_values(tries: Tries) -> pd.DataFrame:
    """Per unit and line of the table the score of its choice.

    Every choice is by validation; prompts that tie there share the mean of their scores. ``Words``
    and ``Random`` are expectations over all choices of k of their tries. ``Best of top-k`` takes
    the k most similar tasks by the early prompts of the unit's own seed.

    Returns:
        Columns target, task, seed, line, retrieval (empty where none is), k, tries (prompts tuned
        on the target task), score, control (the unit's own start from words) and words (expected
        best of as many tries from words; NaN where there are not so many), 0 to 1.
    """
    rows: list[dict[str, Any]] = []
    words = dict(list(tries.words.groupby(UNIT)))
    made = {
        name: dict(list(rows.groupby(UNIT)))
        for name, rows in ((AVERAGE, tries.averages), (MIXTURE, tries.mixtures))
    }
    for unit, mine in tries.tasks.groupby(UNIT):
        drawn = words[unit]
        control = float(drawn.loc[drawn["draw"] == 0, "score"].iloc[0])
        several = {name: rows[unit] for name, rows in made.items() if unit in rows}
        lines = _lines(tries, mine, drawn, several)
        for line, retrieval, k, count, score in lines:
            enough = count <= len(drawn)
            beside = expected_best(drawn, count) if enough else float("nan")
            named = dict(zip(UNIT, unit, strict=True))
            rows.append(
                {**named, "line": line, "retrieval": retrieval, "k": k, "tries": count,
                 "score": score, "control": control, "words": beside}
            )  # fmt: skip
    columns = [*UNIT, "line", "retrieval", "k", "tries", "score", "control", "words"]
    return pd.DataFrame(rows, columns=columns)


def _lines(
    tries: Tries, mine: pd.DataFrame, drawn: pd.DataFrame, several: Mapping[str, pd.DataFrame]
) -> Iterator[tuple[str, str, int, int, float]]:
    """Line, retrieval, k, tries and score of one unit."""
    every = sizes(len(mine))
    yield NONE, "", 1, 1, float(drawn.loc[drawn["draw"] == 0, "score"].iloc[0])
    for k in every:
        if 1 < k <= len(drawn):
            yield WORDS, "", k, k, expected_best(drawn, k)
    for k in every[:-1]:
        yield RANDOM, "", k, k, expected_best(mine, k)
    for name in tries.retrievals:
        if mine[name].notna().all():
            order = mine.sort_values(name, ascending=False, kind="stable")
            for k in every[:-1]:
                yield BEST, name, k, k, expected_best(order.head(k), k)
    for name, rows in several.items():
        for row in rows.to_dict("records"):
            yield name, str(row["retrieval"]), int(row["top"]), 1, float(row["score"])
    yield ORACLE, "", len(mine), len(mine), expected_best(mine, len(mine))


def retrieval_table(values: pd.DataFrame) -> pd.DataFrame:
    """The means of :func:`retrieval_values` over units, with intervals over targets and seeds.

    Returns:
        One row a line, retrieval and k: n (units), tries, score (points), absolute (over the
        control, points, with ``_low`` and ``_high``), relative (share of the control's error that
        is gone, percent; units without error are left out), over_words (over as many tries from
        words, points, with its ends).
    """
    rows = []
    groups = values.groupby(["line", "retrieval", "k"])
    for (line, retrieval, k), part in sorted(groups, key=lambda item: _place(item[0])):
        gain = 100 * (part["score"] - part["control"])
        error = 100 * (1 - part["control"])
        rows.append({
            "line": line, "retrieval": retrieval, "k": k, "n": len(part),
            "tries": int(part["tries"].max()), "score": 100 * part["score"].mean(),
            **_ends("absolute", part, gain),
            "relative": (100 * gain[error > 0] / error[error > 0]).mean(),
            **_ends("over_words", part, 100 * (part["score"] - part["words"])),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _place(key: Any) -> tuple[int, str, int]:
    line, retrieval, k = key
    return LINES.index(line), retrieval, k


def _ends(name: str, part: pd.DataFrame, values: "pd.Series[float]") -> dict[str, float]:
    found = interval(part, values)
    return {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}


def interval(part: pd.DataFrame, values: "pd.Series[float]") -> Crossed:
    """Mean of a value a unit, with its interval over target tasks, models and seeds."""
    return crossed_interval(part.assign(difference=values), "difference", UNITS, replicates=0)


def beside(values: pd.DataFrame, line: str, other: str, retrieval: str, k: int) -> Crossed:
    """Mean difference in points of a line from another one with the same k, unit by unit."""

    def chosen(name: str, by: str) -> pd.DataFrame:
        here = (values["line"] == name) & (values["retrieval"] == by) & (values["k"] == k)
        return values[here]

    both = chosen(line, retrieval).merge(chosen(other, ""), on=UNIT, suffixes=("", "_other"))
    return interval(both, 100 * (both["score"] - both["score_other"]))


def rank_correlations(tries: Tries, retrieval: str) -> pd.DataFrame:
    """Per unit Spearman's ρ of similarity and score over its source tasks; midranks for ties.

    Returns:
        Columns target, task, seed and rho; units with fewer than three tasks, or without spread on
        either side, are left out.
    """
    rows = []
    for unit, mine in tries.tasks.dropna(subset=[retrieval]).groupby(UNIT):
        ranks = mine[[retrieval, "score"]].rank()
        if len(mine) > 2 and (ranks.nunique() > 1).all():
            rows.append((*unit, ranks[retrieval].corr(ranks["score"])))
    return pd.DataFrame(rows, columns=[*UNIT, "rho"])


def likeness_table(tries: Tries) -> pd.DataFrame:
    """Mean similarity of early prompts of one task and of two, with one seed and with two.

    A prompt is nothing like that of another task if the same task's of another seed is no nearer.

    Returns:
        Columns retrieval, same_task (other seed), other_task (other seed), same_seed (other task).
    """
    table = tries.likeness
    same, seed = table["task"] == table["origin"], table["seed"] == table["other_seed"]
    return pd.DataFrame([
        {"retrieval": name, "same_task": table.loc[same & ~seed, name].mean(),
         "other_task": table.loc[~same & ~seed, name].mean(),
         "same_seed": table.loc[~same & seed, name].mean()}
        for name in tries.retrievals
    ])  # fmt: skip
