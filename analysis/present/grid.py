"""Tables as people read them: what a line and a cell say, and nothing of where they are shown."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import pandas as pd

DASH = "–"
MINUS = "−"
FLAG = "†"

Row = Mapping[Any, Any]


@dataclass(frozen=True)
class Entry:
    """One number of a table.

    Attributes:
        text: what it says.
        strong: shown in bold.
        hint: shown when pointed at; HTML only.
        note: what belongs to the number but is smaller, such as its interval.
    """

    text: str
    strong: bool = False
    hint: str = ""
    note: str = ""

    @property
    def line(self) -> str:
        return f"{self.text} {self.note}".strip()


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Attributes:
        block: lines of one block stand together between rules.
        group: head of the line; consecutive lines of a block and group share it.
        label: what the line is within its group.
        entries: its numbers.
    """

    block: str
    group: str
    label: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Grid:
    """A table ready to be shown.

    Attributes:
        heads: names of the group and label columns.
        columns: per further column its title and, below it, its unit.
        lines: the lines from top to bottom.
        words: numbers of the columns that hold words.
    """

    heads: tuple[str, str]
    columns: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...]
    words: Collection[int] = ()

    @property
    def grouped(self) -> bool:
        """Whether there is a column of groups; without one its head and all groups are empty."""
        return bool(self.heads[0]) or any(line.group for line in self.lines)

    @property
    def blocks(self) -> list[list[list[Line]]]:
        """The lines by block, and in each by group."""
        return [
            [list(group) for _, group in groupby(block, key=lambda line: line.group)]
            for _, block in groupby(self.lines, key=lambda line: line.block)
        ]


def plain_grid(
    head: str,
    heads: Sequence[str],
    lines: Iterable[tuple[str, Sequence[str]]],
    words: Collection[int] = (),
) -> Grid:
    """A grid of plain text: one line a name, one column a head.

    Args:
        head: name of the column of names.
        lines: name and entries of every line.
        words: numbers of the columns that hold words.
    """
    made = tuple(Line("", "", name, tuple(map(Entry, entries))) for name, entries in lines)
    return Grid(("", head), tuple((name, "") for name in heads), made, words)


def grid_of(
    table: pd.DataFrame,
    heads: tuple[str, str],
    keys: list[str],
    column: str,
    columns: Mapping[Any, tuple[str, str]],
    heading: Callable[[Row], tuple[str, str, str]],
    entry: Callable[[Row], Entry],
) -> Grid:
    """The grid of a tidy table: a line for each combination of some columns, and n at its end.

    Args:
        table: one row an entry, with its ``n``.
        heads: names of the group and label columns.
        keys: columns whose values make a line.
        column: column whose values are the further columns of the grid.
        columns: these values with title and unit.
        heading: block, group and label of a line, from the first of its rows.
    """
    lines = []
    for _, part in table.groupby(keys, sort=False, dropna=False):
        rows = {row[column]: row for row in part.to_dict("records")}
        most = max(row["n"] for row in rows.values())
        entries = [
            _with_n(entry(rows[value]), rows[value]["n"], most) if value in rows else Entry(DASH)
            for value in columns
        ]
        first = next(iter(rows.values()))
        lines.append(Line(*heading(first), (*entries, Entry(str(most)))))
    return Grid(heads, (*columns.values(), ("n", "seeds")), tuple(lines))


def _with_n(entry: Entry, n: int, most: int) -> Entry:
    """Names n in the entry itself where it is not the line's."""
    return entry if n == most else replace(entry, note=f"{entry.note} (n={n})".strip())


def points(value: float, signed: bool = False) -> str:
    """One decimal with a true minus sign; a dash for NaN; never ``-0.0``."""
    if value is None or math.isnan(value):
        return DASH
    value = round(float(value), 1) or 0.0
    sign = MINUS if value < 0 else "+" if signed else ""
    return f"{sign}{abs(value):.1f}"


def percent(value: float) -> str:
    """A whole percentage with a true minus sign; a dash for NaN."""
    if math.isnan(value):
        return DASH
    whole = round(float(value))
    return f"{MINUS if whole < 0 else ''}{abs(whole)} %"


def share(value: float) -> str:
    """A share, 0 to 1, as a whole percentage; a dash for NaN."""
    return DASH if math.isnan(value) else f"{100 * value:.0f} %"


def change(mean: float, low: float, high: float) -> Entry:
    """A difference in points over its interval; bold where that excludes 0."""
    return Entry(points(mean, signed=True), strong=low > 0 or high < 0, note=span(low, high))


def span(low: float, high: float) -> str:
    """An interval in brackets; empty where its ends are unknown."""
    if math.isnan(low) or math.isnan(high):
        return ""
    return f"[{points(low, signed=True)}, {points(high, signed=True)}]"
