"""Figures of the transfer as a whole: tidy table in, matplotlib Figure out, None without data.

Each works under the style of :func:`analysis.soft.figures.drawing`, whose maker of figures it is
given.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.contrasts.effects import hard_pairs
from analysis.present.grid import DASH, points
from analysis.present.words import sources_name
from analysis.soft.figures import COLOURS, MOST_SETS, QUIET, diverging, leading, readable_on

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

New = Callable[[float, float], "Figure"]
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_SLOPE_ROWS = ("single", "all", "agreement")
_MOST_MODELS = 8


def source_target_heatmap(new: New, frame: pd.DataFrame) -> "Figure | None":
    """Mean gain over Empty in points, source sets by targets, over rows, tasks, λ and seeds.

    Of many source sets those with the best mean validation score.

    Args:
        new: maker of a figure (width, height in inches).
        frame: rows of one combination of settings.
    """
    moved = frame[(frame["kind"] == "transfer") & frame["gain_over_empty"].notna()]
    if moved.empty:
        return None
    single = ~moved["sources"].str.contains("+", regex=False)
    moved = pd.concat([leading(moved[single], MOST_SETS), leading(moved[~single], MOST_SETS)])
    table = 100 * moved.pivot_table(
        index="sources", columns="target", values="gain_over_empty", observed=True
    )
    order = sorted(table.index, key=lambda name: (name.count("+"), name))
    table = table.loc[order].rename(index=sources_name)
    return number_heatmap(new, table, "points gained over Empty")


def size_surface(new: New, frame: pd.DataFrame) -> "Figure | None":
    """Mean gain of neighbour agreement over the whole vocabulary, s by K, carried over.

    Args:
        new: maker of a figure.
        frame: table of :func:`analysis.data.results.load`.
    """
    if not (frame["row"] == "agreement").any():
        return None
    pairs = hard_pairs(frame).every
    if pairs.empty or pairs["s"].nunique() * pairs["k"].nunique() < 2:
        return None
    table = pairs.pivot_table(index="s", columns="k", values="difference", observed=True)
    table.index = [f"s = {s}" for s in table.index]
    table.columns = [f"K = {k}" for k in table.columns]
    return number_heatmap(new, table, "points, agreement − all words")


def number_heatmap(new: New, table: pd.DataFrame, label: str) -> "Figure":
    """A table of numbers as coloured cells, centred at 0, each with its number.

    Args:
        new: maker of a figure.
        table: numbers in points; NaN is a grey cell with a dash.
        label: what they are.
    """
    values = table.to_numpy(dtype=np.float64)
    rows, columns = values.shape
    names, heads = [str(name) for name in table.index], [str(name) for name in table.columns]
    left = 0.3 + 0.075 * max(map(len, names))
    cell_w = max(0.62, min(1.6, 0.085 * max(map(len, heads)) + 0.15))
    legend = 1.6 + 0.062 * len(label)
    width, height = left + max(cell_w * columns, legend) + 0.3, 0.5 + 0.3 * rows + 0.75
    fig = new(width, height)
    axes = fig.add_axes((left / width, 0.7 / height, cell_w * columns / width, 0.3 * rows / height))
    limit = max(float(np.nanmax(np.abs(values), initial=0.0)), 1.0)
    edges = [np.arange(count + 1) - 0.5 for count in (columns, rows)]
    image = axes.pcolormesh(*edges, np.ma.masked_invalid(values), cmap=diverging(), vmin=-limit,
                            vmax=limit, edgecolors="white", linewidth=1.5)  # fmt: skip
    for (row, column), value in np.ndenumerate(values):
        missing = bool(np.isnan(value))
        ink = QUIET if missing else readable_on(image.to_rgba(np.array([value]))[0])
        text = DASH if missing else points(value, signed=True)
        axes.text(column, row, text, ha="center", va="center", color=ink, size=8)
    axes.set_facecolor("#EFEFEF")
    axes.invert_yaxis()
    axes.set_xticks(range(columns), heads)
    axes.xaxis.tick_top()
    axes.set_yticks(range(rows), names)
    axes.tick_params(length=0, pad=3)
    axes.spines[:].set_visible(False)
    bar = fig.add_axes((left / width, 0.42 / height, 1.4 / width, 0.09 / height))
    scale = fig.colorbar(image, cax=bar, orientation="horizontal")
    scale.outline.set_visible(False)
    ends = [points(end, signed=True) for end in (-limit, limit)]
    scale.set_ticks([-limit, 0, limit], labels=[ends[0], "0", ends[1]])
    bar.tick_params(labelsize=7.5, length=2)
    bar.text(1.08, 0.5, label, va="center", transform=bar.transAxes, size=7.5)
    return fig


def slopes(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean score on the source and on each target of prompts tuned on one model.

    Args:
        frame: table of :func:`analysis.data.results.load`.

    Returns:
        Columns row, sources, target, source_score and score, in points, means over the tasks that
        both have and over seeds.
    """
    moved = frame[(frame["kind"] == "transfer") & frame["row"].isin(_SLOPE_ROWS)]
    own = frame[(frame["kind"] == "source") & (frame["target"] == frame["sources"])]
    own = own.assign(row=own["row"].replace("independent", "single"))
    key = ["row", "sources", "task"]
    level = own.groupby(key, observed=True)["score"].mean().rename("source_score")
    means = moved.groupby([*key, "target"], observed=True)["score"].mean().reset_index()
    both = means.merge(level.reset_index(), on=key)
    both[["source_score", "score"]] *= 100
    groups = both.groupby(["row", "sources", "target"], as_index=False, observed=True)
    return groups[["source_score", "score"]].mean()


def slope_chart(new: New, frame: pd.DataFrame) -> "Figure | None":
    """What prompts score on their source and after the transfer: a line per source, panel by row.

    Args:
        new: maker of a figure.
        frame: table of :func:`analysis.data.results.load`.
    """
    table = slopes(frame)
    if table.empty:
        return None
    panels = list(table.groupby("target", sort=True))[:_MOST_MODELS]
    rows = [row for row in _SLOPE_ROWS if row in set(table["row"])]
    names = sorted(table["sources"].unique())
    looks = {name: (COLOURS[at % len(COLOURS)], _MARKERS[at % len(_MARKERS)])
             for at, name in enumerate(names)}  # fmt: skip
    side = 0.6 + 0.08 * max(map(len, names))
    width = 0.6 + 2.1 * len(panels) + side
    fig = new(width, 3.0)
    grid = fig.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    lines = dict(zip(rows, ("solid", (0, (4, 2)), (0, (1, 1))), strict=False))
    for axes, (target, part) in zip(grid, panels, strict=True):
        for line in part.to_dict("records"):
            colour, marker = looks[line["sources"]]
            axes.plot([0, 1], [line["source_score"], line["score"]], color=colour, marker=marker,
                      markersize=4.5, linewidth=1.2, linestyle=lines[line["row"]])  # fmt: skip
        axes.set_title(str(target), loc="left")
        axes.set_xticks([0, 1], ["on the source", "carried over"])
        axes.set_xlim(-0.25, 1.25)
        axes.grid(axis="y", color="#EEEEEE")
        axes.set_axisbelow(True)
    grid[0].set_ylabel("points, mean over tasks")
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colour, marker=marker, markersize=4.5, label=name)
               for name, (colour, marker) in looks.items()]  # fmt: skip
    if len(rows) > 1:
        handles += [Line2D([], [], color=QUIET, linestyle=lines[row], label=row) for row in rows]
    fig.subplots_adjust(left=0.55 / width, right=1 - side / width, top=0.91, bottom=0.1,
                        wspace=0.08)  # fmt: skip
    fig.legend(handles=handles, loc="center left", bbox_to_anchor=(1 - (side - 0.1) / width, 0.5),
               fontsize=8)  # fmt: skip
    return fig


def plane(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two principal components of points, and the share of the variance that each holds.

    Args:
        vectors: [points, dimensions].

    Returns:
        Places [points, 2], the larger direction first, and shares [2]; 0 where there is none.
    """
    centred = vectors - vectors.mean(axis=0)
    left, size, _ = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    found, shares = np.zeros((len(vectors), 2)), np.zeros(2)
    kept = min(2, len(size))
    found[:, :kept] = left[:, :kept] * size[:kept]
    total = float((size**2).sum())
    if total > 0:
        shares[:kept] = size[:kept] ** 2 / total
    # A sign is a matter of taste; equal input shall give equal pictures.
    for at in range(2):
        largest = found[np.abs(found[:, at]).argmax(), at]
        found[:, at] *= -1 if largest < 0 else 1
    return found, shares


def prompt_map(new: New, frame: pd.DataFrame, vectors: Mapping[str, np.ndarray]) -> "Figure | None":
    """Soft prompts of every source model in the plane of their two principal components.

    Models have spaces of their own: a panel each. Colour is the task, marker the row.

    Args:
        new: maker of a figure.
        frame: table of :func:`analysis.data.results.load`.
        vectors: prompts [vectors, dimensions] by cell; see
            :func:`analysis.report.figure_files.prompts`.
    """
    here = frame[frame["cell"].isin(list(vectors))]
    panels = [(str(name), part) for name, part in here.groupby("target", sort=True)
              if len(part) > 2][:_MOST_MODELS]  # fmt: skip
    if not panels:
        return None
    tasks, rows = sorted(here["task"].unique()), sorted(here["row"].unique())
    colours = {task: COLOURS[at % len(COLOURS)] for at, task in enumerate(tasks)}
    markers = dict(zip(rows, _MARKERS, strict=False))
    across = min(3, len(panels))
    down = -(-len(panels) // across)
    side = 0.7 + 0.08 * max(map(len, (*tasks, *rows)))
    width, height = 2.5 * across + side, 2.4 * down
    fig = new(width, height)
    grid = fig.subplots(down, across, squeeze=False)
    for axes, (name, part) in zip(grid.flat, panels, strict=False):
        _map_panel(axes, name, part, vectors, colours, markers)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    from matplotlib.lines import Line2D

    handles = [
        *(Line2D([], [], color=colour, marker="o", linestyle="none", label=task)
          for task, colour in colours.items()),
        *(Line2D([], [], color=QUIET, marker=marker, linestyle="none", label=row)
          for row, marker in markers.items()),
    ]  # fmt: skip
    fig.subplots_adjust(left=0.02, right=1 - side / width, top=1 - 0.25 / height,
                        bottom=0.3 / height, wspace=0.1, hspace=0.3)  # fmt: skip
    fig.legend(handles=handles, loc="center left", bbox_to_anchor=(1 - (side - 0.1) / width, 0.5),
               fontsize=8)  # fmt: skip
    return fig


def _map_panel(
    axes: "Axes",
    name: str,
    part: pd.DataFrame,
    vectors: Mapping[str, np.ndarray],
    colours: Mapping[str, str],
    markers: Mapping[str, Any],
) -> None:
    flat = [vectors[cell].reshape(-1) for cell in part["cell"]]
    # Prompts of several lengths share no space; the most frequent one is shown.
    sizes = pd.Series([len(each) for each in flat], index=part.index)
    kept = (sizes == sizes.mode().iloc[0]).to_numpy()
    found, shares = plane(np.stack([each for each, keep in zip(flat, kept, strict=True) if keep]))
    shown = part[kept].assign(x=found[:, 0], y=found[:, 1])
    for (task, row), points_of in shown.groupby(["task", "row"]):
        axes.scatter(points_of["x"], points_of["y"], s=16, color=colours[str(task)], alpha=0.75,
                     marker=markers.get(str(row), "o"), linewidth=0.3, edgecolor="white"
                     )  # fmt: skip
    axes.set_title(name, loc="left")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(f"{100 * shares[0]:.0f} % and {100 * shares[1]:.0f} % of the variance", size=7)
