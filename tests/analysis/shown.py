"""Grids as tables of text, figures as files, sections as HTML."""

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from analysis.present.drawing import drawing, encoded
from analysis.present.exhibits import Section
from analysis.present.grid import Grid
from analysis.present.pages import rendered


def to_frame(grid: Grid) -> pd.DataFrame:
    """The grid as a DataFrame of text, one column a task."""
    rows = [[line.group, line.label, *(item.line for item in line.entries)] for line in grid.lines]
    return pd.DataFrame(rows, columns=[*grid.heads, *(title for title, _ in grid.columns)])


def drawn(make: Callable[..., Any], *of: Any, fmt: str = "svg") -> bytes | None:
    """The file of a figure; None where there is nothing to draw."""
    with drawing() as new:
        figure = make(new, *of)
        return None if figure is None else encoded(figure, fmt)


def html(sections: Iterable[Section | None]) -> str:
    """The sections as they stand in a page."""
    shown = (section for section in sections if section and section.shown)
    return "\n".join(rendered(section.template, section=section) for section in shown)
