"""What the report says of starts by how many labelled examples there are."""

import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pandas as pd

from analysis.data.combinations import titled
from analysis.present.exhibits import Figure, Part, Table, file_name
from analysis.present.grid import DASH, Entry, Grid, Line, change, points
from analysis.starts.few_shot import WORDS, beside_words, few_shot_table, spreads, started_rows
from analysis.starts.figures import sample_curves
from analysis.stats.intervals import PERCENT

NOTE = (
    "Examples: labelled examples a class that a prompt is tuned with, and as many for validation; "
    "all: both whole splits. Both runs of a pair have the same seed, examples and order; the "
    f"control starts from frequent words. Gain: points on test, mean with its {PERCENT} interval "
    "over target tasks, models and seeds. Spread: standard deviation over runs of a target task, "
    "mean over target tasks and models. Ratio: spread over that of words, geometric mean over "
    "target tasks and models with a t-interval of its logarithm; below 1 seeds differ less."
)
_MOST = 5
"""Starts that a figure has room for, words among them."""


def parts(frame: pd.DataFrame) -> Iterator[Part]:
    """Table, figures and what they say; nothing where no target task has few examples.

    Args:
        frame: table of :func:`analysis.load`.
    """
    rows = started_rows(frame)
    if not (rows["shots"] < math.inf).any():
        return
    both = beside_words(rows)
    if both.empty:
        return
    table = few_shot_table(both)
    starts = [WORDS, *(name for name in both["start"].unique() if name != WORDS)]
    figures = []
    if both["shots"].nunique() > 1:
        spread = spreads(both)
        for (target, variant), part in spread.groupby(["target", "variant"], sort=False):
            figures.append(
                Figure(
                    file_name("few_shot", str(target), str(variant)),
                    f"Score by number of labelled examples on {target}, a panel a target task.",
                    f"{titled(str(target), str(variant))}: points on test by labelled examples a "
                    "class, mean over runs; bars: one standard deviation.",
                    partial(sample_curves, table=part, starts=starts[:_MOST]),
                )
            )
    yield Part("Few examples", texts=_texts(table))
    yield from (Part(exhibits=[item]) for item in figures)  # each as wide as it is
    grid = Table("few_shot", "Starts by number of labelled examples", _grid(table), table)
    yield Part(note=NOTE, exhibits=[grid])


def _texts(table: pd.DataFrame) -> list[str]:
    """A line a start: what it has over words, over all numbers of examples where several."""
    said = []
    for (variant, start), part in table.groupby(["variant", "start"], sort=False):
        if start == WORDS:
            continue
        whole = part.iloc[-1].to_dict()
        several = ", mean over numbers of examples" if len(part) > 1 else ""
        spread = f"; its spread over runs is {_ratio(whole).line} times that of words"
        said.append(
            f"From {titled(str(start), str(variant))}: {_gain(whole).line} points over words"
            f"{several}{spread if whole['units'] else ''}."
        )
    return said


def _gain(row: Mapping[Any, Any]) -> Entry:
    return change(row["gain"], row["gain_low"], row["gain_high"])


def _shots(shots: float) -> str:
    return "any" if math.isnan(shots) else "all" if math.isinf(shots) else f"{shots:.0f}"


def _ratio(row: Mapping[Any, Any]) -> Entry:
    if math.isnan(row["ratio"]):
        return Entry(DASH)
    low, high = row["ratio_low"], row["ratio_high"]
    known = high > low
    return Entry(
        f"{row['ratio']:.2f}",
        strong=bool(known and high < 1),
        note=f"[{low:.2f}, {high:.2f}]" if known else "",
        hint=f"{row['units']:.0f} target tasks and models",
    )


def _grid(table: pd.DataFrame) -> Grid:
    columns = (
        ("Score", "points"), ("Gain", "over words, points"), ("Spread", "points"),
        ("Ratio", "of words' spread"),
    )  # fmt: skip
    several = table["variant"].nunique() > 1
    lines = []
    for row in table.to_dict("records"):
        words = row["start"] == WORDS
        name = f"{row['start']}, {row['variant']}" if several else row["start"]
        lines.append(
            Line(
                row["start"],
                name,
                _shots(row["shots"]),
                (
                    Entry(points(row["score"]), hint=f"{row['n']} results"),
                    Entry(DASH)
                    if words
                    else change(row["gain"], row["gain_low"], row["gain_high"]),
                    Entry(points(row["spread"])),
                    Entry(DASH) if words else _ratio(row),
                ),
            )
        )
    return Grid(("Start", "Examples"), columns, tuple(lines))
