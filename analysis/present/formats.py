"""Tables of a report as files: CSV (its numbers), Markdown, LaTeX and HTML (as people read them).

A further format is one more entry of :data:`FORMATS`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import pandas as pd

from analysis.data.results import replace_file
from analysis.present.grid import Entry, Grid, Line, to_html, to_markdown

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "±": r"$\pm$", "−": r"$-$", "×": r"$\times$", "λ": r"$\lambda$", "ρ": r"$\rho$",
    "–": "--", "†": r"\textdagger{}",
}  # fmt: skip
_MARKDOWN = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_<>[]"})


@dataclass(frozen=True)
class Table:
    """One table of a report.

    Attributes:
        name: what its files are called, without their ending.
        title: what it shows.
        grid: as people read it.
        numbers: what stands behind it, one line a number or group of numbers.
    """

    name: str
    title: str
    grid: Grid
    numbers: pd.DataFrame


def to_csv_text(table: Table) -> str:
    """The numbers in full, not as they are printed."""
    return table.numbers.to_csv(index=False)


def to_markdown_text(table: Table) -> str:
    """A Markdown table below its title; names are escaped."""
    grid = _mapped(table.grid, lambda text: text.translate(_MARKDOWN))
    return f"**{table.title.translate(_MARKDOWN)}**\n\n{to_markdown(grid)}"


def to_latex_text(table: Table) -> str:
    """A ``table`` environment for the package booktabs; every text is escaped."""
    grid = table.grid
    own = grid.grouped
    kinds = "l" * (1 + own) + "r" * len(grid.columns)
    heads = [*grid.heads[1 - own :], *(title for title, _ in grid.columns)]
    units = [*[""] * (1 + own), *(unit for _, unit in grid.columns)]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex(table.title)}}}",
        rf"\label{{tab:{re.sub(r'[^A-Za-z0-9-]+', '-', table.name)}}}",
        rf"\begin{{tabular}}{{{kinds}}}",
        r"\toprule",
        _row(map(latex, heads)),
    ]
    if any(units):
        lines.append(_row(rf"{{\footnotesize {latex(unit)}}}" if unit else "" for unit in units))
    for _, block in groupby(grid.lines, key=lambda line: line.block):
        lines.append(r"\midrule")
        for _, group in groupby(block, key=lambda line: line.group):
            lines += [_latex_line(line, place == 0, own) for place, line in enumerate(group)]
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    return "\n".join(lines)


def to_html_text(table: Table) -> str:
    """A page with the table alone."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>'
        f"{_markup(table.title)}</title></head>\n<body>\n{to_html(table.grid, table.title)}\n"
        "</body></html>\n"
    )


FORMATS: dict[str, tuple[str, Callable[[Table], str]]] = {
    "csv": (".csv", to_csv_text),
    "markdown": (".md", to_markdown_text),
    "latex": (".tex", to_latex_text),
    "html": (".html", to_html_text),
}
"""By name, the ending of a format's files and how a table becomes text."""


def write_tables(tables: Sequence[Table], folder: Path, formats: Iterable[str]) -> list[Path]:
    """Write every table in every format, each file at once.

    Args:
        tables: of :func:`analysis.report.tables.report_tables`.
        folder: where to; made where it does not exist.
        formats: keys of :data:`FORMATS`.

    Returns:
        Paths of the files, in the order of the tables.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    chosen = list(dict.fromkeys(formats))
    for table in tables:
        for name in chosen:
            ending, text_of = FORMATS[name]
            path = folder / f"{table.name}{ending}"
            text = text_of(table)
            replace_file(path, partial(_write, text))
            written.append(path)
    return written


def _write(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")


def plain_grid(
    head: str, heads: Sequence[str], lines: Iterable[tuple[str, Sequence[str]]], group: str = ""
) -> Grid:
    """A grid of plain text: one line a name, one column a head.

    Args:
        head: name of the column of names.
        heads: names of the further columns.
        lines: name and entries of every line.
        group: what all lines share, in their first column.
    """
    made = tuple(Line("", group, name, tuple(map(Entry, entries))) for name, entries in lines)
    return Grid(("", head), tuple((name, "") for name in heads), made)


def file_name(*parts: str) -> str:
    """A file's name from names of models and tasks: letters, digits, dots, hyphens, ``_``."""
    return "_".join(re.sub(r"[^A-Za-z0-9._-]+", "-", part).strip("-.") or "x" for part in parts)


def latex(text: str) -> str:
    """Text as LaTeX reads it literally."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def _latex_line(line: Line, first: bool, own: bool) -> str:
    entries = []
    for entry in line.entries:
        text = rf"\textbf{{{latex(entry.text)}}}" if entry.strong else latex(entry.text)
        note = rf" {{\footnotesize {latex(entry.note)}}}" if entry.note else ""
        entries.append(text + note)
    group = [latex(line.group) if first else ""] if own else []
    return _row([*group, latex(line.label), *entries])


def _row(cells: Iterable[str]) -> str:
    # A bracket at the start of a line would be an option of the \\ before it.
    text = " & ".join(cells)
    return ("{}" if text.startswith("[") else "") + text + r" \\"


def _mapped(grid: Grid, change: Callable[[str], str]) -> Grid:
    lines = tuple(
        Line(
            line.block,
            change(line.group),
            change(line.label),
            tuple(
                Entry(change(item.text), item.strong, item.hint, change(item.note))
                for item in line.entries
            ),
        )
        for line in grid.lines
    )
    columns = tuple((change(title), change(unit)) for title, unit in grid.columns)
    heads = (change(grid.heads[0]), change(grid.heads[1]))
    return Grid(heads, columns, lines)


def _markup(text: str) -> str:
    from markupsafe import escape

    return str(escape(text))
