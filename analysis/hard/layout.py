"""The tables of hard prompts as people read them."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import pandas as pd

from analysis.hard.rows import Block, label_of
from analysis.hard.tables import AS_IDS, AS_TEXT
from analysis.present.grid import DASH, FLAG, Entry, Grid, Line, points, span
from analysis.present.words import sources_name

_HEADS = {AS_TEXT: ("Original", AS_TEXT), AS_IDS: ("Original", AS_IDS)}
_BLOCKS = {"empty": "references", "constant": "references"}


def method_grid(table: pd.DataFrame, block: Block, columns: list[str], metric: str) -> Grid:
    """Mean ± sd per line and place, with n.

    Args:
        table: of :func:`analysis.hard.tables.method_table`.
        block: what it is a table of.
        columns: of :func:`analysis.hard.tables.places`.
        metric: the task's.
    """
    lines = []
    keys = ["name", "s", "k", "counterparts"]
    for _, part in table.groupby(keys, sort=False, dropna=False):
        records = {line["place"]: line for line in part.to_dict("records")}
        first = next(iter(records.values()))
        most = max(line["n"] for line in records.values())
        entries = [
            _entry(records[place], most) if place in records else Entry(DASH) for place in columns
        ]
        reference = first["line"] in _BLOCKS
        lines.append(
            Line(
                block=_BLOCKS.get(first["line"], first["line"]),
                group=label_of(first, block.shows),
                label=sources_name(first["counterparts"]) if first["counterparts"] else DASH,
                entries=(*entries, Entry(DASH if reference else str(most))),
            )
        )
    heads = [_HEADS.get(place, (place, metric)) for place in columns]
    return Grid(("Row", "Counterpart"), (*heads, ("n", "seeds")), tuple(lines))


def _entry(line: Mapping[Any, Any], most: int) -> Entry:
    text = points(line["mean"])
    if line["line"] not in _BLOCKS:
        text += f" ± {points(line['sd'])}"
    note = "" if line["n"] == most else f"(n={line['n']})"
    return Entry(text + (FLAG if line["flagged"] else ""), bool(line["better"]), line["hint"], note)


def effect_grid(table: pd.DataFrame, block: Block) -> Grid:
    """Mean gain of Ours over PEZ with its interval: a line per place and s, a column per K.

    Args:
        table: of :func:`analysis.hard.tables.effect_table`.
        block: what it is a table of.
    """
    columns = sorted(table["k"].unique())
    lines = []
    records = table.to_dict("records")
    for (where, s), part in groupby(records, key=lambda line: (line["where"], line["s"])):
        known = {line["k"]: line for line in part}
        most = max(line["n"] for line in known.values())
        entries = [_gain(known[k], most) if k in known else Entry(DASH) for k in columns]
        lines.append(Line(where, where, f"s = {s}", (*entries, Entry(str(most)))))
    heads = [(f"K = {k}", "points") for k in columns]
    title = f"Gain of Ours over {block.name}"
    return Grid((title, "Words kept"), (*heads, ("n", "seeds")), tuple(lines))


def _gain(line: Mapping[Any, Any], most: int) -> Entry:
    note = span(line["low"], line["high"])
    if line["n"] != most:
        note = f"{note} (n={line['n']})".strip()
    hint = f"over {line['cases']} cases of task, source, counterpart and model"
    return Entry(points(line["mean"], signed=True), bool(line["direction"]), hint, note)
