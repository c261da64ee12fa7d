"""Figures of the transfer as a whole: tidy table in, matplotlib Figure out, None without data.

Each works under the style of :func:`analysis.present.drawing.drawing`, whose maker of figures it is
given.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.contrasts.effects import hard_pairs
from analysis.data.combinations import SOFT
from analysis.present.drawing import (
    COLOURS,
    MARKERS,
    QUIET,
    New,
    cycled,
    handles,
    number_cells,
    ruled,
    scale_bar,
)
from analysis.present.words import sources_name
from analysis.soft.figures import MOST_SETS, leading

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SLOPE_ROWS = ("single", "all", "agreement")
_MOST_MODELS = 8
MOST_PROMPTS = 300
"""Prompts of one source model that the map shows; more are thinned evenly."""


def source_target_heatmap(new: New, frame: pd.DataFrame) -> "Figure | None":
    """Mean gain over Empty in points, source sets by targets, over rows, tasks, λ and seeds.

    Of many source sets those with the best mean validation score.
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
    """Mean gain of neighbour agreement over the whole vocabulary, s by K, carried over."""
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
        table: numbers in points; NaN is a grey cell with a dash.
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
    image = number_cells(axes, values, limit)
    axes.set_xticks(range(columns), heads)
    axes.set_yticks(range(rows), names)
    scale_bar(fig, image, (left / width, 0.42 / height, 1.4 / width, 0.09 / height), limit, label)
    return fig


def slopes(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean score on the source and on each target of prompts tuned on one model.

    Returns:
        Columns row, sources, target, source_score, score, source_sd and sd, in points: means over
        the tasks that both have and over seeds, and the standard deviation over seeds (NaN with
        one).
    """
    moved = frame[(frame["kind"] == "transfer") & frame["row"].isin(_SLOPE_ROWS)]
    own = frame[(frame["kind"] == "source") & (frame["target"] == frame["sources"])]
    own = own.assign(row=own["row"].replace("independent", "single"))
    key = ["row", "sources", "task", "seed"]
    level = own.groupby(key, observed=True)["score"].mean().rename("source_score")
    means = moved.groupby([*key, "target"], observed=True)["score"].mean().reset_index()
    both = means.merge(level.reset_index(), on=key)
    both[["source_score", "score"]] *= 100
    line, scores = ["row", "sources", "target"], ["source_score", "score"]
    # Tasks weigh equally, whatever number of seeds each has.
    found = both.groupby([*line, "task"], observed=True)[scores].mean().groupby(line).mean()
    spread = both.groupby([*line, "seed"], observed=True)[scores].mean().groupby(line).std()
    return found.join(spread.set_axis(["source_sd", "sd"], axis=1)).reset_index()


def slope_chart(new: New, frame: pd.DataFrame) -> "Figure | None":
    """Scores on the source and after the transfer: a line per source, a panel per target."""
    table = slopes(frame)
    if table.empty:
        return None
    panels = list(table.groupby("target", sort=True))[:_MOST_MODELS]
    rows = [row for row in _SLOPE_ROWS if row in set(table["row"])]
    names = sorted(table["sources"].unique())
    colours, markers = cycled(names, COLOURS), cycled(names, MARKERS)
    side = 0.6 + 0.08 * max(map(len, names))
    width = 0.6 + 2.1 * len(panels) + side
    fig = new(width, 3.0)
    grid = fig.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    lines = dict(zip(rows, ("solid", (0, (4, 2)), (0, (1, 1))), strict=False))
    for axes, (target, part) in zip(grid, panels, strict=True):
        for number, line in enumerate(part.to_dict("records")):
            name, ends = line["sources"], [line["source_score"], line["score"]]
            # Side by side, so that bars stay apart.
            aside = 0.1 * (number - (len(part) - 1) / 2) / max(len(part), 4)
            bars = np.nan_to_num([line["source_sd"], line["sd"]])
            axes.errorbar([aside, 1 + aside], ends, yerr=bars, color=colours[name],
                          marker=markers[name], markersize=4.5, linewidth=1.2, elinewidth=0.8,
                          linestyle=lines[line["row"]])  # fmt: skip
        axes.set_title(str(target), loc="left")
        axes.set_xticks([0, 1], ["on the source", "carried over"])
        axes.set_xlim(-0.25, 1.25)
        ruled(axes, "y")
    grid[0].set_ylabel("points, mean over tasks")
    from matplotlib.lines import Line2D

    legend = [Line2D([], [], color=colours[name], marker=markers[name], markersize=4.5, label=name)
              for name in names]  # fmt: skip
    if len(rows) > 1:
        legend += [Line2D([], [], color=QUIET, linestyle=lines[row], label=row) for row in rows]
    fig.subplots_adjust(left=0.55 / width, right=1 - side / width, top=0.91, bottom=0.1,
                        wspace=0.08)  # fmt: skip
    fig.legend(handles=legend, loc="center left", bbox_to_anchor=(1 - (side - 0.1) / width, 0.5),
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
    places, shares = np.zeros((len(vectors), 2)), np.zeros(2)
    kept = min(2, len(size))
    places[:, :kept] = left[:, :kept] * size[:kept]
    total = float((size**2).sum())
    if total > 0:
        shares[:kept] = size[:kept] ** 2 / total
    # A sign is a matter of taste; equal input shall give equal pictures.
    for at in range(2):
        largest = places[np.abs(places[:, at]).argmax(), at]
        places[:, at] *= -1 if largest < 0 else 1
    return places, shares


def tuned_prompts(
    folder: Path, frame: pd.DataFrame, most: int = MOST_PROMPTS
) -> dict[str, np.ndarray]:
    """Tuned soft prompts of a sweep as [vectors, dimensions], by cell.

    Files that are missing or damaged are left out; of more than ``most`` prompts of one model every
    k-th is read.

    Args:
        most: prompts read for one model.
    """
    from safetensors.numpy import load_file

    rows = frame[(frame["kind"] == "source") & (frame["family"] == SOFT)]
    rows = rows[rows["prompt_file"].notna()]
    vectors = {}
    for _, part in rows.groupby("target", sort=True):
        thinned = part.iloc[:: -(-len(part) // most)]
        for cell, name in zip(thinned["cell"], thinned["prompt_file"], strict=True):
            path = folder / str(name)
            # A record that names a file elsewhere is not followed.
            if not path.resolve().is_relative_to(folder.resolve()):
                continue
            try:
                tensors = load_file(path)
            except Exception:  # safetensors has an error class of its own per cause
                continue
            if "prompt" in tensors and tensors["prompt"].ndim == 2:
                vectors[str(cell)] = tensors["prompt"]
    return vectors


def prompt_map(new: New, frame: pd.DataFrame, vectors: Mapping[str, np.ndarray]) -> "Figure | None":
    """Soft prompts of every source model in the plane of their two principal components.

    Models have spaces of their own: a panel each. Colour is the task, marker the row.

    Args:
        frame: table of :func:`analysis.load`.
        vectors: prompts [vectors, dimensions] by cell; see
            :func:`tuned_prompts`.
    """
    here = frame[frame["cell"].isin(list(vectors))]
    panels = [(str(name), part) for name, part in here.groupby("target", sort=True)
              if len(part) > 2][:_MOST_MODELS]  # fmt: skip
    if not panels:
        return None
    tasks, rows = sorted(here["task"].unique()), sorted(here["row"].unique())
    colours, markers = cycled(tasks, COLOURS), cycled(rows, MARKERS)
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
    fig.subplots_adjust(left=0.02, right=1 - side / width, top=1 - 0.25 / height,
                        bottom=0.3 / height, wspace=0.1, hspace=0.3)  # fmt: skip
    fig.legend(handles=handles(colours, markers), loc="center left",
               bbox_to_anchor=(1 - (side - 0.1) / width, 0.5), fontsize=8)  # fmt: skip
    return fig


def _map_panel(
    axes: "Axes",
    name: str,
    part: pd.DataFrame,
    vectors: Mapping[str, np.ndarray],
    colours: Mapping[str, str],
    markers: Mapping[str, str],
) -> None:
    flat = [vectors[cell].reshape(-1) for cell in part["cell"]]
    # Prompts of several lengths share no space; the most frequent one is shown.
    sizes = pd.Series([len(each) for each in flat], index=part.index)
    kept = (sizes == sizes.mode().iloc[0]).to_numpy()
    points_at, shares = plane(
        np.stack([each for each, keep in zip(flat, kept, strict=True) if keep])
    )
    shown = part[kept].assign(x=points_at[:, 0], y=points_at[:, 1])
    for (task, row), points_of in shown.groupby(["task", "row"]):
        axes.scatter(points_of["x"], points_of["y"], s=16, color=colours[str(task)], alpha=0.75,
                     marker=markers[str(row)], linewidth=0.3, edgecolor="white"
                     )  # fmt: skip
    axes.set_title(name, loc="left")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(f"{100 * shares[0]:.0f} % and {100 * shares[1]:.0f} % of the variance", size=7)
