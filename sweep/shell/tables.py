"""What commands print on a terminal: the same facts as in a pipe, as tables with colours."""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

_LOUD = (("warning", "yellow"), ("error", "red"), ("failed", "red"))
"""Beginnings of lines, and the colour of those."""


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        columns: headings; one that begins with ``>`` is of numbers, which stand to the right.
        rows: as many texts each.
        title: above it; empty for none.
    """

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]] = ()
    title: str = ""


Part = str | Sheet
"""A line, or a table."""
View = Callable[[Any], Iterable[Part]]
"""Gives what is shown of a command's result."""


def on_terminal() -> bool:
    """Whether people read standard output, on a terminal that can do more than print letters."""
    stream = sys.stdout
    return stream is not None and stream.isatty() and os.environ.get("TERM") not in ("dumb", "")


def show(parts: Iterable[Part]) -> None:
    """Print on the terminal, as wide as that is; without colours where ``NO_COLOR`` is set."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False, emoji=False)
    for number, part in enumerate(parts):
        if isinstance(part, Sheet):
            if part.rows:
                console.print(_table(part))
            continue
        # Names of models and tasks are no markup.
        loud = (style for start, style in _LOUD if part.strip().startswith(start))
        console.print(Text(part, style="" if number else "bold", overflow="fold"),
                      style=next(loud, None))  # fmt: skip


def _table(sheet: Sheet) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, title=sheet.title or None, title_justify="left",
                  title_style="bold", header_style="bold cyan", pad_edge=False)  # fmt: skip
    for name in sheet.columns:
        right = name.startswith(">")
        table.add_column(
            Text(name.removeprefix(">")),
            justify="right" if right else "left",
            no_wrap=right,
            overflow="fold",
        )
    for row in sheet.rows:
        table.add_row(*map(Text, row))
    return table
