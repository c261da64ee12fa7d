"""Scores where a model may answer with any word, and two models compared on both scores.

A comparison of label words alone hides what Lester et al. (2021), section 3.3, are about: a model
that was never taught to answer in plain words gives illegal answers, however its label words rank.
Two models that differ in nothing but their adaptation are compared by what they gain on both.
"""

from itertools import combinations
from typing import Any

import pandas as pd

from analysis.present.grid import Entry, Grid, Line, change, percent, points, span
from analysis.present.words import row_label
from analysis.stats.bootstrap import crossed_interval

MOST_PAIRS = 10
VALUES = {"score": "Score", "score_open": "Open score", "illegal_share": "Illegal answers"}
_SAME = ["task", "seed", "start", "prompt_length", "rest"]
_ORDER = ("empty", "manual", "independent", "single", "baseline", "ours", "own")


def measured(frame: pd.DataFrame) -> bool:
    """Whether any result of the table says how it answers among all words."""
    return bool(frame["score_open"].notna().any())


def open_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Both scores and illegal answers by model and row, means over tasks of means over the rest.

    Returns:
        Columns target, row, score, score_open, illegal_share (points and percent), tasks and n
        (results).
    """
    rows = frame[frame["score_open"].notna() & frame["row"].isin(_ORDER)]
    lines = []
    for (target, row), part in rows.groupby(["target", "row"], sort=True):
        by_task = part.groupby("task")[list(VALUES)].mean()
        means = (100 * by_task.mean()).to_dict()
        lines.append({"target": target, "row": row, **means, "tasks": len(by_task), "n": len(part)})
    table = pd.DataFrame(lines, columns=["target", "row", *VALUES, "tasks", "n"])
    rank = table["row"].map(_ORDER.index)
    return table.assign(rank=rank).sort_values(["target", "rank"]).drop(columns="rank")


def open_grid(table: pd.DataFrame) -> Grid:
    lines = tuple(
        Line(
            str(row["target"]),
            str(row["target"]),
            row_label(row["row"]),
            (
                Entry(points(row["score"])),
                Entry(points(row["score_open"])),
                Entry(percent(row["illegal_share"])),
                Entry(str(row["n"])),
            ),
        )
        for row in table.to_dict("records")
    )
    columns = (
        ("Score", "among label words"),
        ("Open score", "among all words"),
        ("Illegal answers", "share of test"),
        ("n", "results"),
    )
    return Grid(("Model", "Row"), columns, lines)


def model_pairs(rows: pd.DataFrame) -> pd.DataFrame:
    """Pairs of models with the same prompts tuned on each, and how far they differ.

    Paired on task, seed, start, length and every other setting. Intervals are over tasks and seeds,
    not over test examples. Pairs in which one name begins with the other come first, as adapted
    models are often named; of many pairs the first :data:`MOST_PAIRS`.

    Args:
        rows: of :func:`analysis.tuned.length_and_start.tuned_alone`.

    Returns:
        Columns one, other, n (pairs of results), and of each of :data:`VALUES` the difference
        (other minus one, in points), NAME_low and NAME_high.
    """
    known = rows[rows["score_open"].notna()]
    pairs = list(combinations(sorted(known["target"].unique()), 2))
    pairs.sort(key=lambda pair: not pair[1].startswith(pair[0]))
    lines = []
    for one, other in pairs[:MOST_PAIRS]:
        sides = [known[known["target"] == name] for name in (one, other)]
        both = sides[0].merge(sides[1], on=_SAME, suffixes=("_one", "_other"))
        if both.empty:
            continue
        line: dict[str, Any] = {"one": one, "other": other, "n": len(both)}
        units = [unit for unit in ("task", "seed") if both[unit].nunique() > 1]
        for name in VALUES:
            difference = 100 * (both[f"{name}_other"] - both[f"{name}_one"])
            table = both.assign(difference=difference, sources=f"{one}+{other}")
            effect = crossed_interval(table, "difference", units, replicates=0)
            line |= {name: effect.mean, f"{name}_low": effect.low, f"{name}_high": effect.high}
        lines.append(line)
    names = [f"{name}{end}" for name in VALUES for end in ("", "_low", "_high")]
    return pd.DataFrame(lines, columns=["one", "other", "n", *names])


def pair_grid(table: pd.DataFrame) -> Grid:
    lines = []
    for row in table.to_dict("records"):
        entries = [change(row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in VALUES]
        lines.append(
            Line("", "", f"{row['other']} − {row['one']}", (*entries, Entry(str(row["n"]))))
        )
    columns = (*((title, "points") for title in VALUES.values()), ("n", "pairs"))
    return Grid(("", "Models"), columns, tuple(lines))


def pair_sentence(table: pd.DataFrame) -> str:
    """Of the first pair, what the open score shows that label words do not."""
    if table.empty:
        return ""
    row = table.iloc[0]
    return (
        f"From {row['one']} to {row['other']}, on the same tasks, starts, lengths and seeds, the"
        f" score among label words changes by {points(row['score'], signed=True)} points"
        f" {span(row['score_low'], row['score_high'])} and the open score by"
        f" {points(row['score_open'], signed=True)}"
        f" {span(row['score_open_low'], row['score_open_high'])}; the share of illegal answers by"
        f" {points(row['illegal_share'], signed=True)}."
    )
