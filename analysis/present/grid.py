"""Tables as people read them: what a line and a cell say, and nothing of where they are shown."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import pandas as pd

from analysis.present.words import ALL_TASKS, row_label, sources_name, weight_name

DASH = "–"
MINUS = "−"
FLAG = "†"

_Name = Callable[[Mapping[str, Any]], str]


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
        """Text and note."""
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
        heads: names of the further columns.
        lines: name and entries of every line.
        words: numbers of the columns that hold words.
    """
    made = tuple(Line("", "", name, tuple(map(Entry, entries))) for name, entries in lines)
    return Grid(("", head), tuple((name, "") for name in heads), made, words)


def score_grid(
    table: pd.DataFrame,
    names: Sequence[str],
    metrics: Mapping[str, str],
    head: str = "Tuned on",
) -> Grid:
    """Mean ± sd per row and task, with n.

    Args:
        table: of :func:`analysis.soft.tables.transfer_table` or ``source_table``.
        names: tasks in the order of the columns.
        metrics: metric name by task.
        head: name of the column of groups.
    """
    return _grid(table, (head, "Row"), names, metrics, _SCORES, _score_entry)


def difference_grid(table: pd.DataFrame, names: Sequence[str], metrics: Mapping[str, str]) -> Grid:
    """Paired difference Ours − Baseline with its interval per source set and task, with n.

    Args:
        table: of :func:`analysis.soft.tables.difference_table`.
        names: tasks in the order of the columns.
        metrics: metric name by task.
    """
    table = table.assign(group=table["sources"], row="ours")
    return _grid(
        table,
        ("Tuned on", "Ours at"),
        names,
        metrics,
        (
            lambda line: "",
            lambda line: sources_name(line["sources"]),
            lambda line: weight_name(line["weight_label"]),
        ),
        _difference_entry,
    )


def share_grid(table: pd.DataFrame, names: Sequence[str], metrics: Mapping[str, str]) -> Grid:
    """Share of the gap between Empty and Direct that is recovered, in percent, with n.

    Args:
        table: of :func:`analysis.soft.ceiling.gap_table`.
        names: tasks in the order of the columns.
        metrics: metric name by task.
    """
    pooled = ("pooled", "over these tasks")
    return _grid(table, ("Tuned on", "Row"), names, metrics, _SCORES, _share_entry, pooled)


def calibration_grid(table: pd.DataFrame, names: Sequence[str], unit: str) -> Grid:
    """Mean ± sd per row before and after each calibration, with n.

    Args:
        table: of :func:`analysis.soft.calibrated.calibration_table`.
        names: its columns (tasks, as the table has it), in order.
        unit: what the means run over.
    """
    units = dict.fromkeys(names, unit)
    return _grid(table, ("Tuned on", "Row"), names, units, _SCORES, _score_entry, None)


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


def span(low: float, high: float) -> str:
    """An interval in brackets; empty where its ends are unknown."""
    if math.isnan(low) or math.isnan(high):
        return ""
    return f"[{points(low, signed=True)}, {points(high, signed=True)}]"


def _score_block(line: Mapping[str, Any]) -> str:
    return str(line["row"] if line["row"] in ("single", "direct") else line["group"])


def _score_group(line: Mapping[str, Any]) -> str:
    return "no tuned prompt" if line["group"] == "references" else sources_name(line["group"])


def _score_label(line: Mapping[str, Any]) -> str:
    text = row_label(line["row"], line["weight_label"])
    partners = [name for name in line["sources"].split("+") if name != line["group"]]
    if line["row"] != "joint":
        return text
    return f"{text} with {' + '.join(partners)}" if line["sources"] else text


_SCORES: tuple[_Name, _Name, _Name] = (_score_block, _score_group, _score_label)


def _grid(
    table: pd.DataFrame,
    heads: tuple[str, str],
    names: Sequence[str],
    metrics: Mapping[str, str],
    heading: tuple[_Name, _Name, _Name],
    entry: Callable[[Mapping[str, Any]], Entry],
    mean: tuple[str, str] | None = ("mean", "over tasks"),
) -> Grid:
    """The grid of a table; ``mean`` heads the column of :data:`ALL_TASKS` (None: there is none)."""
    shown = [*names, ALL_TASKS] if len(names) > 1 and mean else list(names)
    lines = []
    keys = ["group", "row", "sources", "weight_label"]
    for _, part in table.groupby(keys, sort=False):
        records: dict[str, Mapping[str, Any]] = {
            str(record["task"]): {str(name): value for name, value in record.items()}
            for record in part.to_dict("records")
        }
        first = next(iter(records.values()))
        counts = {record["n"] for record in records.values()}
        most = max(counts)
        entries = [
            _with_n(entry(records[task]), records[task]["n"], most)
            if task in records
            else Entry(DASH)
            for task in shown
        ]
        block, group, label = (name(first) for name in heading)
        lines.append(Line(block, group, label, (*entries, Entry(str(most)))))
    columns = [mean if mean and task == ALL_TASKS else (task, metrics.get(task, ""))
               for task in shown]  # fmt: skip
    return Grid(heads, (*columns, ("n", "seeds")), tuple(lines))


def _with_n(entry: Entry, n: int, most: int) -> Entry:
    """Names n in the entry itself where it is not the line's."""
    if n == most:
        return entry
    return replace(entry, note=f"{entry.note} (n={n})".strip())


def _score_entry(line: Mapping[str, Any]) -> Entry:
    text = f"{points(line['mean'])} ± {points(line['sd'])}"
    if line["row"] in ("empty", "manual", "constant"):
        text = points(line["mean"])
    return Entry(text + (FLAG if line["flagged"] else ""), bool(line["better"]), line["hint"])


def _share_entry(line: Mapping[str, Any]) -> Entry:
    return Entry(f"{percent(line['mean'])} ± {percent(line['sd'])}", hint=line["hint"])


def _difference_entry(line: Mapping[str, Any]) -> Entry:
    text = points(line["mean"], signed=True)
    return Entry(text, strong=bool(line["direction"]), note=span(line["low"], line["high"]))
