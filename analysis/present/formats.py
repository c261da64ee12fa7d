"""Exhibits as files: tables as CSV (the numbers), Markdown, LaTeX, HTML; figures as SVG and PNG.

A further format of tables is one more entry of :data:`FORMATS`.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from analysis.present.exhibits import Figure, Table
from analysis.present.grid import Line
from analysis.present.pages import rendered
from trainables.files.atomic import replace_file

IMAGES = ("svg", "png")
"""In which formats figures are written."""
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "±": r"$\pm$", "−": r"$-$", "×": r"$\times$", "λ": r"$\lambda$", "ρ": r"$\rho$",
    "–": "--", "†": r"\textdagger{}",
}  # fmt: skip
_MARKDOWN = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_<>[]"})


def to_csv_text(table: Table) -> str:
    """The numbers in full, not as they are printed."""
    return table.numbers.to_csv(index=False)


def to_markdown_text(table: Table) -> str:
    """A Markdown table below its title; names are escaped."""
    grid, escaped = table.grid, _escaped
    start = int(not grid.grouped)
    titles = [f"{title} ({unit})" if unit else title for title, unit in grid.columns]
    lines = [
        f"**{escaped(table.title)}**\n",
        _pipes(map(escaped, [*grid.heads[start:], *titles])),
        _pipes([*["---"] * (2 - start), *("---:" for _ in grid.columns)]),
    ]
    for line in grid.lines:
        entries = [
            f"**{escaped(item.text)}** {escaped(item.note)}" if item.strong else escaped(item.line)
            for item in line.entries
        ]
        lines.append(_pipes([*map(escaped, (line.group, line.label)[start:]), *entries]))
    return "\n".join(lines) + "\n"


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
    for block in grid.blocks:
        lines.append(r"\midrule")
        for group in block:
            lines += [_latex_line(line, line is group[0], own) for line in group]
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    return "\n".join(lines)


def to_html_text(table: Table) -> str:
    """A page with the table alone."""
    return rendered("table.html.j2", title=table.title, grid=table.grid)


FORMATS: dict[str, tuple[str, Callable[[Table], str]]] = {
    "csv": (".csv", to_csv_text),
    "markdown": (".md", to_markdown_text),
    "latex": (".tex", to_latex_text),
    "html": (".html", to_html_text),
}
"""By name, the ending of a format's files and how a table becomes text."""


def write_tables(tables: Iterable[Table], folder: Path, formats: Iterable[str]) -> list[Path]:
    """Write every table in every format of :data:`FORMATS` that is named; paths of the files."""
    chosen = [FORMATS[name] for name in dict.fromkeys(formats)]
    made = ((f"{table.name}{ending}", text_of(table).encode())
            for table in tables for ending, text_of in chosen)  # fmt: skip
    return _written(made, folder)


def write_figures(figures: Iterable[Figure], folder: Path) -> list[Path]:
    """Write every figure that has something to draw, as SVG and PNG; paths of the files."""
    made = ((f"{figure.name}.{fmt}", figure.image(fmt)) for figure in figures for fmt in IMAGES)
    return _written(made, folder)


def _written(files: Iterable[tuple[str, bytes | None]], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, content in files:
        if content is not None:
            replace_file(folder / name, content, durable=False)
            paths.append(folder / name)
    return paths


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


def _escaped(text: str) -> str:
    return text.translate(_MARKDOWN)


def _pipes(cells: Iterable[str]) -> str:
    # A bar would end the cell and a line break the row.
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"
