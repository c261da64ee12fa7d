"""Figures of the transfer to one target: tidy table in, matplotlib Figure out, None without data.

Each works under the style of :func:`analysis.present.drawing.drawing`, whose maker of figures it is
given.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.contrasts.crossfit import complete
from analysis.contrasts.selection import Choices, at_choices
from analysis.data.results import weight_rank
from analysis.present.drawing import (
    COLOURS,
    INK,
    QUIET,
    New,
    cycled,
    handles,
    number_cells,
    ruled,
    scale_bar,
)
from analysis.present.grid import FLAG
from analysis.present.words import ROW_NAMES, sources_name, weight_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS, MOST_SETS = 12, 24
"""Source sets that a figure has room for, as panels and as lines; the tables have all."""
_MOST_MARKS = 1000
_MARKERS = {"single": "^", "baseline": "s", "ours": "o"}


def gain_heatmap(
    new: New, frame: pd.DataFrame, target: str, choices: Choices, across: int = 2
) -> "Figure | None":
    """Gain over Empty in points, source sets by tasks, averaged over seeds.

    Single sources above; below them Baseline and Ours (at the chosen weights) side by side, or one
    below the other where ``across`` is 1. All panels share one colour scale centred at 0; a dagger
    marks cells where more than half of the seeds predict one class.
    """
    here = frame[frame["target"] == target].dropna(subset=["gain_over_empty"])
    joint = leading(here[here["row"].isin(("baseline", "ours"))], MOST_SETS)
    panels = {
        "single": leading(here[here["row"] == "single"], MOST_SETS),
        "baseline": joint[joint["row"] == "baseline"],
        "ours": at_choices(joint, choices),
    }
    shown = pd.concat(list(panels.values()))
    if shown.empty:
        return None
    names = sorted(shown["task"].unique())
    means = shown.groupby(["row", "sources", "task"])["gain_over_empty"].mean()
    limit = max(float(100 * means.abs().max()), 1.0)
    sets = pd.concat([panels["baseline"], panels["ours"]])["sources"]
    blocks = [
        (_ordered_sets(panels["single"]["sources"]), ("single",)),
        *((_ordered_sets(sets), kinds)
          for kinds in ([("baseline", "ours")] if across > 1 else [("baseline",), ("ours",)])),
    ]  # fmt: skip
    return _draw_heatmap(new, [block for block in blocks if block[0]], panels, names, limit)


def _draw_heatmap(
    new: New,
    blocks: Sequence[tuple[list[str], tuple[str, ...]]],
    panels: dict[str, pd.DataFrame],
    names: Sequence[str],
    limit: float,
) -> "Figure":
    # Laid out in inches, so that cells have one size whatever their number.
    labels = [sources_name(name) for rows, _ in blocks for name in rows]
    left = 0.3 + 0.072 * max(len(label) for label in labels)
    cell_w = min(1.35, max(0.56, 6.4 / (2 * len(names))))
    cell_h, gap, foot = 0.3, 0.3, 0.55
    slant = 0.068 * max(len(name) for name in names) > cell_w
    head = 0.42 + (0.05 * max(len(name) for name in names) if slant else 0.2)
    widest = max(len(rows) for _, rows in blocks)
    panel_w = cell_w * len(names)
    width = left + widest * panel_w + (widest - 1) * gap + (0.45 if slant else 0.15)
    width = max(width, left + min(panel_w, 2.6) + 1.75)  # room for what the scale measures
    height = sum(head + cell_h * len(rows) for rows, _ in blocks) + foot + 0.15
    fig = new(width, height)
    image = None
    top = height
    for rows, kinds in blocks:
        top -= head + cell_h * len(rows)
        for place, kind in enumerate(kinds):
            x = left + place * (panel_w + gap)
            box = (x / width, top / height, panel_w / width, cell_h * len(rows) / height)
            axes = fig.add_axes(box)
            image = _heat_panel(axes, panels[kind], rows, names, limit, slant)
            axes.set_title(_panel_title(kind), loc="left", pad=6 + 72 * (head - 0.42))
            axes.set_yticks(range(len(rows)), [sources_name(name) for name in rows])
            if place:
                axes.tick_params(labelleft=False)
    box = (left / width, 0.36 / height, min(panel_w, 2.6) / width, 0.09 / height)
    scale_bar(fig, image, box, limit, "points gained over Empty")
    return fig


def _heat_panel(
    axes: "Axes",
    rows: pd.DataFrame,
    sets: Sequence[str],
    names: Sequence[str],
    limit: float,
    slant: bool,
) -> Any:
    def grid(column: str) -> np.ndarray:
        means = rows.groupby(["sources", "task"])[column].mean()
        cells = pd.MultiIndex.from_product([list(sets), list(names)])
        return means.reindex(cells).to_numpy(dtype="float64").reshape(len(sets), len(names))

    alike = grid("degenerate") > 0.5
    image = number_cells(axes, 100 * grid("gain_over_empty"), limit,
                         lambda row, column: FLAG if alike[row, column] else "")  # fmt: skip
    axes.set_xticks(
        range(len(names)),
        list(names),
        rotation=32 if slant else 0,
        ha="left" if slant else "center",
        rotation_mode="anchor" if slant else "default",
    )
    return image


def _panel_title(kind: str) -> str:
    name = ROW_NAMES[kind]
    return {"single": f"{name} source", "ours": f"{name} (chosen weight)"}.get(kind, name)


def weight_curves(
    new: New, frame: pd.DataFrame, target: str, choices: Choices, across: int = 3
) -> "Figure | None":
    """Mean transferred score against λ, one panel per source set; validation and test.

    λ = 0 is Baseline, annealing stands apart on the right, bars are ± one sample deviation over
    seeds of the mean over tasks, a ring marks the chosen weight, a dotted line Empty on test.
    Weights without every task and seed are left out. At most ``across`` panels stand in a row.
    """
    here = frame[(frame["target"] == target) & frame["row"].isin(("baseline", "ours"))]
    by_set = dict(list(here.groupby("sources")))
    panels = {
        sources: curve
        for sources in _ordered_sets(leading(here, MOST_PANELS)["sources"])
        if not (curve := weight_curve(by_set[sources])).empty
    }
    if not panels:
        return None
    numbers = [rank for curve in panels.values() for rank in curve["rank"] if np.isfinite(rank)]
    apart = max([*numbers, 0.0]) + 0.2
    across = min(across, len(panels))
    down = -(-len(panels) // across)
    empty = frame[(frame["target"] == target) & (frame["row"] == "empty")]
    fig = new(3.1 * across + 0.5, 2.15 * down + (0.75 if across > 1 else 1.0))
    grid = fig.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for axes, (sources, curve) in zip(grid.flat, panels.items(), strict=False):
        choice = choices.get((target, sources))
        same = set(empty["task"]) == set(by_set[sources]["task"])
        level = 100 * empty["score"].mean() if same else np.nan
        _curve_panel(axes, curve, choice.weight_label if choice else None, level, apart)
        name = weight_name(choice.weight_label) if choice else "no weight complete"
        axes.set_title(sources_name(sources), loc="left")
        axes.set_title(name, loc="right", size=8, weight="normal", color=QUIET)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    _curve_frame(fig, grid.flat[: len(panels)], sorted(set(numbers)), apart, down, across)
    return fig


def weight_curve(rows: pd.DataFrame) -> pd.DataFrame:
    """Scores of one source set by weight, over the weights that have every task and seed.

    Args:
        rows: Baseline and Ours rows of one target and source set.

    Returns:
        Columns weight_label, rank (λ, infinite for annealing), split (``validation_score`` or
        ``score``), mean and sd over seeds of the mean over tasks, in points.
    """
    lines = []
    for split in ("validation_score", "score"):
        means, _ = complete(rows, ["weight_label"], split)
        kept = rows[rows["weight_label"].isin(means.index)]
        by_seed = kept.groupby(["weight_label", "seed"])[split].mean()
        for label, part in by_seed.groupby("weight_label"):
            sd = 100 * part.std() if len(part) > 1 else np.nan
            lines.append((label, weight_rank(str(label)), split, 100 * part.mean(), sd))
    curve = pd.DataFrame(lines, columns=["weight_label", "rank", "split", "mean", "sd"])
    return curve.sort_values(["split", "rank"], ignore_index=True)


def _curve_panel(
    axes: "Axes", curve: pd.DataFrame, chosen: str | None, empty: float, apart: float
) -> None:
    looks = {"validation_score": (COLOURS[4], "s", (0, (4, 2)), "white"),
             "score": (COLOURS[0], "o", "solid", COLOURS[0])}  # fmt: skip
    for split, (colour, marker, dash, face) in looks.items():
        part = curve[curve["split"] == split]
        x = part["rank"].replace(np.inf, apart)
        for line, inside in ((dash, np.isfinite(part["rank"])), ("none", np.isinf(part["rank"]))):
            axes.errorbar(
                x[inside],
                part.loc[inside, "mean"],
                yerr=part.loc[inside, "sd"].fillna(0.0),
                color=colour,
                linestyle=line,
                marker=marker,
                markersize=4,
                markerfacecolor=face,
                linewidth=1.3,
                elinewidth=0.8,
            )
        if split == "validation_score" and chosen is not None:
            ring = part[part["weight_label"] == chosen]
            axes.plot(
                x[ring.index], ring["mean"], marker="o", markersize=11,
                markerfacecolor="none", markeredgecolor=INK, linestyle="none",
            )  # fmt: skip
    if np.isfinite(empty):
        axes.axhline(empty, color=QUIET, linestyle=":", linewidth=1.2)


def _curve_frame(
    fig: "Figure",
    panels: np.ndarray,
    numbers: Sequence[float],
    apart: float,
    down: int,
    across: int,
) -> None:
    from matplotlib.lines import Line2D

    marks = [*numbers, apart]
    names = _apart(marks, [*(f"{number:.2g}" for number in numbers), "ann."])
    for axes in panels:
        axes.set_xticks(marks, names)
        axes.set_xlim(min(marks) - 0.08, apart + 0.1)
        axes.axvline(apart - 0.1, color="#DDDDDD", linewidth=0.8)
        ruled(axes, "y")
        axes.tick_params(labelsize=7.5, labelbottom=True)
    for axes in panels[::across]:
        axes.set_ylabel("points")
    # The lowest panel of each column, also where the last row is not full.
    for axes in panels[-across:]:
        axes.set_xlabel("λ (0 = Baseline)")
    handles = [
        Line2D([], [], color=COLOURS[0], marker="o", markersize=4, label="test"),
        Line2D([], [], color=COLOURS[4], marker="s", markersize=4, linestyle=(0, (4, 2)),
               markerfacecolor="white", label="validation"),
        Line2D([], [], color=INK, marker="o", markersize=9, markerfacecolor="none",
               linestyle="none", label="chosen on validation"),
        Line2D([], [], color=QUIET, linestyle=":", label="Empty (test)"),
    ]  # fmt: skip
    head = 0.6 if across > 1 else 0.85
    height = 2.15 * down + 0.15 + head
    fig.subplots_adjust(
        left=0.55 / (3.1 * across + 0.5),
        right=0.985,
        bottom=0.45 / height,
        top=1 - head / height,
        hspace=0.45,
        wspace=0.1,
    )
    fig.legend(handles=handles, loc="upper left", ncols=4 if across > 1 else 2, fontsize=7.5)


def _apart(marks: Sequence[float], names: Sequence[str]) -> list[str]:
    """Names of ticks, empty where one would stand on the name before it or on the last one."""
    letter = (marks[-1] - marks[0] + 0.18) / 2.7 * 0.075  # a panel has 2.7 inches
    end = marks[-1] - letter * (len(names[-1]) + 1) / 2
    kept, free = [], -np.inf
    for mark, name in zip(marks[:-1], names[:-1], strict=True):
        half = letter * len(name) / 2
        fits = mark - half >= free and mark + half <= end
        kept.append(name if fits else "")
        free = mark + half + letter / 2 if fits else free
    return [*kept, names[-1]]


def similarity_scatter(new: New, frame: pd.DataFrame, target: str) -> "Figure | None":
    """Achieved similarity of the transfer against the gain over Empty, a point per seed mean.

    Colour is the task, marker the row; Ours appears at every weight.
    """
    means = similarity_points(frame, target)
    if means.empty:
        return None
    colours = cycled(sorted(means["task"].unique()), COLOURS)
    fig = new(7.2, 3.4)
    axes = fig.add_axes((0.085, 0.14, 0.62, 0.8))
    axes.axhline(0, color=QUIET, linewidth=0.8)
    for (task, row), part in means.groupby(["task", "row"]):
        axes.scatter(
            part["similarity"],
            100 * part["gain_over_empty"],
            s=22,
            marker=_MARKERS[str(row)],
            color=colours[str(task)],
            alpha=0.75,
            linewidth=0.4,
            edgecolor="white",
            # Thousands of marks as paths are megabytes.
            rasterized=len(means) > _MOST_MARKS,
        )
    axes.set_xlabel("achieved similarity of the transfer")
    axes.set_ylabel("points gained over Empty")
    ruled(axes)
    rows = {ROW_NAMES[row]: marker for row, marker in _MARKERS.items() if row in set(means["row"])}
    fig.legend(handles=handles(colours, rows), loc="center left", bbox_to_anchor=(0.72, 0.54),
               fontsize=8)  # fmt: skip
    return fig


def similarity_points(frame: pd.DataFrame, target: str) -> pd.DataFrame:
    """Mean similarity and gain over seeds per row, source set, weight and task of one target.

    Returns:
        Columns row, sources, weight_label, task, similarity, gain_over_empty (0 to 1).
    """
    here = frame[(frame["target"] == target) & (frame["kind"] == "transfer")]
    here = here.dropna(subset=["similarity", "gain_over_empty"])
    by = ["row", "sources", "weight_label", "task"]
    return here.groupby(by, as_index=False)[["similarity", "gain_over_empty"]].mean()


def leading(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """The rows of the ``most`` source sets with the best mean validation score; all if so few."""
    if rows["sources"].nunique() <= most:
        return rows
    means = rows.groupby("sources")["validation_score"].mean().sort_values(ascending=False)
    return rows[rows["sources"].isin(means.index[:most])]


def leading_note(frame: pd.DataFrame, target: str, most: int) -> str:
    """A sentence on source sets that :func:`leading` leaves out of a figure; empty if none is."""
    here = frame[(frame["target"] == target) & frame["row"].isin(("baseline", "ours"))]
    count = here["sources"].nunique()
    if count <= most:
        return ""
    return f" Shown are the {most} of {count} source sets with the best mean validation score."


def _ordered_sets(names: pd.Series) -> list[str]:
    return sorted(names.unique(), key=lambda name: (name.count("+"), name))
