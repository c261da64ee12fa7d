"""Figures of prompts as they are on other tasks, and of starts along the tuning or by examples."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.present.drawing import (
    COLOURS,
    FAINT,
    INK,
    MARKERS,
    QUIET,
    New,
    bare_cells,
    cycled,
    ruled,
)
from analysis.present.grid import DASH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORDS = "words"
"""What a control is called."""
_ACROSS = 4


def score_heatmap(new: New, table: pd.DataFrame, own: Sequence[tuple[str, str]]) -> "Figure":
    """Scores in points as coloured cells, each with its number; a column has a scale of its own.

    Args:
        table: of :func:`analysis.starts.zero_shot.score_table`; NaN is a grey cell with a dash.
        own: rows and columns of prompts on their own tasks, which are framed.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    values = table.to_numpy(dtype=np.float64)
    rows, columns = values.shape
    names, heads = [str(name) for name in table.index], [str(name) for name in table.columns]
    left = 0.3 + 0.075 * max(map(len, names))
    cell = max(0.62, min(1.6, 0.085 * max(map(len, heads)) + 0.15))
    width, height = left + cell * columns + 0.3, 0.55 + 0.3 * rows + 0.1
    fig = new(width, height)
    place = (left / width, 0.1 / height, cell * columns / width, 0.3 * rows / height)
    axes = fig.add_axes(place)
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    shades = (values - low) / np.where(high > low, high - low, 1.0)
    edges = [np.arange(count + 1) - 0.5 for count in (columns, rows)]
    blue = LinearSegmentedColormap.from_list("score", ["#FFFFFF", "#8FB8DE"])
    axes.pcolormesh(*edges, np.ma.masked_invalid(shades), cmap=blue, vmin=0, vmax=1,
                    edgecolors="white", linewidth=1.5)  # fmt: skip
    for (row, column), value in np.ndenumerate(values):
        known = not np.isnan(value)
        text = f"{value:.0f}" if known else DASH
        axes.text(column, row, text, ha="center", va="center", size=8,
                  color=INK if known else QUIET)  # fmt: skip
    for name, head in own:
        corner = heads.index(head) - 0.46, names.index(name) - 0.44
        axes.add_patch(Rectangle(corner, 0.92, 0.88, fill=False, edgecolor=INK, linewidth=1))
    axes.set_xticks(range(columns), heads)
    axes.set_yticks(range(rows), names)
    bare_cells(axes)
    return fig


def race_curves(new: New, table: pd.DataFrame, starts: Sequence[str]) -> "Figure | None":
    """Validation score by step, a panel a target task: each start, and words.

    Args:
        table: of :func:`analysis.starts.races.mean_curves`.
        starts: which of them, at most as many as there are colours.
    """
    shown = table[table["start"].isin(["", *starts])]
    names = ["", *starts]
    panels = _Panels.of(new, sorted(shown["task"].unique()), names)
    if panels is None:
        return None
    for axes, task in panels:
        part = shown[shown["task"] == task]
        for name in names:
            line = part[part["start"] == name].sort_values("step")
            axes.plot(line["step"], line["value"], **panels.look(name))
        axes.set_xscale("symlog", linthresh=1, linscale=0.4)
        steps = sorted(part["step"].unique())
        ticks = [step for step in (0, 1, 10, 100, 1000, 10_000) if step <= steps[-1]]
        axes.set_xticks(ticks, [f"{step:,}" for step in ticks])
    return panels.finished("step (log scale from 1); validation, points")


def sample_curves(new: New, table: pd.DataFrame, starts: Sequence[str]) -> "Figure | None":
    """Test score by labelled examples, a panel a target task: means and standard deviations.

    Args:
        table: of :func:`analysis.starts.few_shot.spreads`; infinitely many examples are all.
        starts: which of them, the control first, at most as many as there are colours.
    """
    shown = table[table["start"].isin(starts)]
    panels = _Panels.of(new, sorted(shown["task"].unique()), starts)
    if panels is None:
        return None
    numbers = sorted(shown["shots"].unique())
    names = ["all" if np.isinf(number) else f"{number:.0f}" for number in numbers]
    width = 0.08
    for axes, task in panels:
        part = shown[shown["task"] == task]
        for number, name in enumerate(starts):
            line = part[part["start"] == name].sort_values("shots")
            places = [numbers.index(shots) for shots in line["shots"]]
            moved = np.array(places) + width * (number - (len(starts) - 1) / 2)
            axes.errorbar(moved, line["score"], yerr=line["spread"].fillna(0.0), elinewidth=0.7,
                          capsize=1.5, **panels.look(name))  # fmt: skip
        axes.set_xticks(range(len(numbers)), names)
    return panels.finished("labelled examples a class; test, points")


@dataclass(frozen=True)
class _Panels:
    """A panel a task, several beside each other, over a legend of lines; the first is the control.

    Attributes:
        fig: the figure.
        tasks: of the panels.
        axes: as many and more.
        names: of the lines; an empty one is a start from words.
        colours: by name.
        markers: by name.
    """

    fig: "Figure"
    tasks: Sequence[str]
    axes: Sequence[Any]
    names: Sequence[str]
    colours: Mapping[str, str]
    markers: Mapping[str, str]

    @classmethod
    def of(cls, new: New, tasks: Sequence[str], names: Sequence[str]) -> "_Panels | None":
        if not tasks:
            return None
        across = min(_ACROSS, len(tasks))
        down = -(-len(tasks) // across)
        fig = new(0.5 + 1.75 * across, 0.2 + 1.45 * down + _legend_height(names))
        axes = fig.subplots(down, across, sharex=True, squeeze=False)
        colours, markers = cycled(names, (INK, *COLOURS[:6])), cycled(names, MARKERS)
        return cls(fig, tasks, list(axes.flat), names, colours, markers)

    def __iter__(self) -> Iterator[tuple[Any, str]]:
        yield from zip(self.axes, self.tasks, strict=False)

    def look(self, name: str) -> dict[str, Any]:
        """How the line of this name is drawn."""
        return {
            "color": self.colours[name], "marker": self.markers[name], "markersize": 3,
            "linewidth": 1.1, "linestyle": "--" if name == self.names[0] else "-",
        }  # fmt: skip

    def finished(self, below: str) -> "Figure":
        """The figure with titles, grid and legend.

        Args:
            below: what both axes are.
        """
        from matplotlib.lines import Line2D

        fig, (width, height) = self.fig, self.fig.get_size_inches()
        for axes, task in self:
            axes.minorticks_off()
            axes.set_title(task, loc="left", size=8)
            axes.tick_params(labelsize=7)
            axes.grid(color=FAINT)
            ruled(axes, "y")
        for axes in self.axes[len(self.tasks) :]:
            axes.set_visible(False)
        bottom = _legend_height(self.names)
        legend = [
            Line2D([], [], **{**self.look(name), "markersize": 3.5}, label=name or WORDS)
            for name in self.names
        ]
        fig.subplots_adjust(left=0.42 / width, right=1 - 0.08 / width, top=1 - 0.22 / height,
                            bottom=bottom / height, wspace=0.28, hspace=0.42)  # fmt: skip
        fig.text(0.42 / width, (bottom - 0.42) / height, below, size=7.5)
        place = (0.3 / width, 0.0)
        fig.legend(handles=legend, loc="lower left", bbox_to_anchor=place, fontsize=7.5)
        return fig


def _legend_height(names: Sequence[str]) -> float:
    """Inches below the panels, for the words on both axes and a line a name."""
    return 0.5 + 0.19 * len(names)
