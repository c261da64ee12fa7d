"""The tables of cost and gain: numbers as tidy DataFrames, and grids as people read them."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analysis.contrasts.examples import Examples
from analysis.frontier.frontier import HALF, PANELS
from analysis.frontier.lines import CASE, Field
from analysis.frontier.shares import BOUND, gain, share
from analysis.present.grid import DASH, Entry, Grid, Row, percent, points, span
from analysis.present.grid import Line as GridLine
from analysis.stats.bootstrap import Crossed

KEEPS = {"prompt": "a prompt", "readout": "a readout", "none": DASH}
SOURCE = "needs the source"
ACCESS_NAMES = {
    "none": "nothing",
    "labels": "label scores",
    "vocabulary": "word scores",
    "states": "states",
    "gradients": "gradients",
}
"""What a target gives away, in words."""
_BLOCKS = {
    "reference": "no prompt",
    "source": "the source itself",
    "way": "carried over",
    "own": "the target alone",
    "direct": "tuned on it",
}


def line_table(
    field: Field, units: pd.DataFrame, examples: Examples | None = None, others: bool = True
) -> pd.DataFrame:
    """Every line's price and what it gains.

    Args:
        field: all lines.
        units: of ``field``, those to look at.
        examples: reads the kept predictions.
        others: whether lines of rows with other source sets are there.

    Returns:
        One row a line: kind, line, calibrated, access, labels, label_panel, texts, work, tokens,
        product, source (whether it must run), cases, n (results), validation, score, gain (over
        Empty), over (over Empty, calibrated where that is known), share (of the gap between Empty
        and Direct); all but the share in points, the last three with ``_low`` and ``_high``.
    """
    rows = []
    for line in field.lines:
        there = field.there(line, units) if others else units
        mine = line.on(there)
        if mine.empty:
            continue
        over = gain(line, field.empty, there, examples) if field.empty else None
        plain = gain(line, field.plain, there, examples) if field.plain else None
        part = share(field, line, there, examples)
        direct = line.kind == "direct"
        rows.append({
            "kind": line.kind, "line": line.name, "calibrated": line.calibrated,
            "access": line.price.access, "labels": line.price.labels,
            "label_panel": PANELS[line.price.panel], "texts": line.price.texts,
            "work": line.price.work, "tokens": line.price.tokens,
            "product": line.price.product, "source": line.price.source,
            "cases": len(mine[CASE].drop_duplicates()), "n": len(mine),
            "validation": 100 * mine["validation"].mean(), "score": 100 * mine["score"].mean(),
            **ends("gain", plain), **ends("over", over),
            **ends("share", None if direct else part),
        })  # fmt: skip
    return pd.DataFrame(rows)


def ends(name: str, effect: Crossed | None) -> dict[str, float]:
    """An effect and its interval as three columns; NaN for None."""
    nan = float("nan")
    ends = (nan, nan, nan) if effect is None else (effect.mean, effect.low, effect.high)
    return dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))


def line_grid(table: pd.DataFrame, level: str) -> Grid:
    """Price and gain of every line; scores after calibration beside those without.

    Args:
        table: of :func:`line_table`.
        level: what the gain is over.
    """
    columns = (
        ("Score", "points"), ("Gap recovered", "of that to Direct"),
        ("Score", "calibrated"), ("Gap recovered", "calibrated"), ("Gain", f"over {level}"),
        ("Work", "row equivalents"), ("Labels", "read"), ("Texts", "without labels"),
        ("Needs", "of the target"), ("Keeps", ""),
    )  # fmt: skip
    lines = []
    for (kind, name), part in table.groupby(["kind", "line"], sort=False):
        by = {bool(row["calibrated"]): row for row in part.to_dict("records")}
        first = by.get(False) or by[True]
        last = by.get(True) or first
        entries = (
            *_gain(by.get(False)), *_gain(by.get(True)),
            Entry(
                points(last["over"], signed=True),
                note=span(last["over_low"], last["over_high"]),
            ),
            *_price(first),
        )  # fmt: skip
        lines.append(GridLine(str(kind), _BLOCKS[str(kind)], str(name), entries))
    return Grid(("", "Way"), columns, tuple(lines), words=(8, 9))


def _price(row: Row) -> Iterator[Entry]:
    keeps = SOURCE if row["source"] else KEEPS.get(str(row["product"]), DASH)
    for name in ("work", "labels", "texts"):
        yield Entry(DASH if pd.isna(row[name]) else f"{row[name]:,.0f}")
    yield Entry(ACCESS_NAMES.get(str(row["access"]), DASH))
    yield Entry(keeps)


def _gain(row: Mapping[Any, Any] | None) -> Iterator[Entry]:
    if row is None:
        yield from (Entry(DASH), Entry(DASH))
        return
    yield Entry(points(row["score"]), hint=f"{row['cases']} cases, {row['n']} results")
    yield share_entry(row["share"], row["share_low"], row["share_high"])


def share_entry(value: float, low: float, high: float) -> Entry:
    """A share in percent with its interval; a dash for NaN."""
    ends = "" if pd.isna(low) or pd.isna(high) else f"[{percent(100 * low)}, {percent(100 * high)}]"
    return Entry(percent(100 * value), note=ends.replace(" %,", ","))


def summary_grid(table: pd.DataFrame) -> Grid:
    """Area under the frontier and cost of half of the gap.

    Args:
        table: of :func:`analysis.frontier.frontier.summaries`.
    """
    columns = (("Area", "mean gap recovered"), (f"{100 * HALF:.0f} % of the gap", "from work"),
               ("Ways", "to choose from"))  # fmt: skip
    lines = [
        GridLine(row["labels"], row["labels"], f"up to {ACCESS_NAMES[row['access']]}", (
            share_entry(row["area"], row["area_low"], row["area_high"]),
            Entry("not reached" if pd.isna(row["half"]) else f"{row['half']:,.0f}"),
            Entry(str(row["lines"])),
        ))
        for row in table.to_dict("records")
    ]  # fmt: skip
    return Grid(("Labels", "The target gives away"), columns, tuple(lines))


def acceptance_grid(table: pd.DataFrame, level: str) -> Grid:
    """Median shares of the cheap ways without labels.

    Args:
        table: of :func:`analysis.frontier.shares.acceptance`.
        level: what they are compared with.
    """
    columns = (("Keeps", ""), ("Needs", "of the target"), ("Work", "row equivalents"),
               ("Median", "gap recovered"), ("Lower bound", f"{100 * BOUND:.0f} %, one-sided"),
               ("Median", level), ("Cases", "source set, task, target"))  # fmt: skip
    lines = [
        GridLine("", "", row["line"], (
            Entry(KEEPS.get(row["product"], DASH)), Entry(ACCESS_NAMES.get(row["access"], DASH)),
            Entry(f"{row['work']:,.0f}"), Entry(percent(100 * row["median"])),
            Entry(percent(100 * row["low"]), strong=bool(row["above"])),
            Entry(percent(100 * row["empty"])), Entry(str(row["n"])),
        ))
        for row in table.to_dict("records")
    ]  # fmt: skip
    return Grid(("", "Way"), columns, tuple(lines), words=(0, 1))
