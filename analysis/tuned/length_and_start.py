"""Score by the length of a prompt and by how it started, on the model it was tuned on.

After Lester et al. (2021), figure 3 a and b, with a panel a model where they have sizes.
"""

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.present.drawing import COLOURS, INK, MARKERS, QUIET, New, ruled
from analysis.present.grid import Entry, Grid, Line, Row, points
from analysis.present.words import counted
from analysis.stats.intervals import t_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AXES = ("prompt_length", "init", "init_range")
"""Settings that the figure shows; in all others the prompts of a panel are alike."""
MOST_PANELS = 12
COLUMNS = [
    *(
        "panel",
        "method",
        "target",
        "start",
        "prompt_length",
        "parameters",
        "mean",
        "low",
        "high",
        "n",
    )
]
_RANGE = "init_range"


def tuned_alone(frame: pd.DataFrame) -> pd.DataFrame:
    """Soft prompts on the model they were tuned on, alone, with the names of panel and line.

    Returns:
        Rows of ``frame`` with the columns ``start`` (init, with its range where ranges differ),
        ``rest`` (the other settings in which they differ, as words) and ``panel``.
    """
    rows = frame[(frame["row"] == "independent") & frame["prompt_length"].notna()].copy()
    known = [json.loads(text) for text in rows["settings"]]
    rows["start"] = [
        f"{init} {_range(values[_RANGE])}" if init == "uniform" and _RANGE in values else init
        for init, values in zip(rows["init"], known, strict=True)
    ]
    rest = [{key: value for key, value in values.items() if key not in AXES} for values in known]
    own = {key for values in rest for key in values}
    differing = sorted(key for key in own if len({str(values.get(key)) for values in rest}) > 1)
    rows["rest"] = [
        ", ".join(f"{key} {values[key]}" for key in differing if key in values) for values in rest
    ]
    rows["panel"] = [
        f"{target} ({more})" if more else target
        for target, more in zip(rows["target"], rows["rest"], strict=True)
    ]
    return rows


def _range(values: object) -> str:
    return str(values).replace("(", "[").replace(")", "]")


def varied(rows: pd.DataFrame) -> bool:
    """Whether there is anything to see: several lengths, or several starts."""
    return bool(len(rows)) and (rows["prompt_length"].nunique() > 1 or rows["start"].nunique() > 1)


def ablation_table(
    rows: pd.DataFrame, widths: dict[str, int], value: str = "score"
) -> pd.DataFrame:
    """Mean over tasks by model, start and length, with its t-interval over seeds.

    Only seeds that have all of a panel's tasks count, so that means compare.

    Args:
        rows: of :func:`tuned_alone`.
        widths: width d of a panel's prompt vectors, where it is known.
        value: column to show.

    Returns:
        Narrower models first. :data:`COLUMNS`: parameters are m·d, empty where unknown; mean, low
        and high are points; n are seeds.
    """
    lines: list[dict[str, Any]] = []
    for panel, here in rows.groupby("panel", sort=True):
        tasks = here["task"].nunique()
        for (start, _), part in here.groupby(["start", "prompt_length"], sort=True):
            by_seed = part.groupby("seed")[value].agg(["mean", "count"])
            whole = by_seed.loc[by_seed["count"] >= tasks, "mean"]
            found = t_interval(100 * whole)
            target = str(part["target"].iloc[0])
            width, vectors = widths.get(str(panel)), int(part["prompt_length"].iloc[0])
            lines.append(
                {
                    "panel": panel,
                    "method": str(part["method"].iloc[0]),
                    "target": target,
                    "start": start,
                    "prompt_length": vectors,
                    "parameters": None if width is None else vectors * width,
                    "mean": found.mean,
                    "low": found.low,
                    "high": found.high,
                    "n": found.n,
                }
            )
    lines.sort(key=lambda line: (widths.get(line["panel"], math.inf), line["panel"]))
    return pd.DataFrame(lines, columns=COLUMNS)


def ablation_grid(table: pd.DataFrame) -> Grid:
    """A line a model and start, a column a length; below each number half its interval."""
    lengths = sorted(table["prompt_length"].unique())
    lines = []
    for (panel, start), part in table.groupby(["panel", "start"], sort=False):
        known = {row["prompt_length"]: row for row in part.to_dict("records")}
        entries = [_entry(known.get(length)) for length in lengths]
        lines.append(Line(str(panel), str(panel), str(start), tuple(entries)))
    columns = tuple((f"m = {length}", "points") for length in lengths)
    return Grid(("Model", "Start"), columns, tuple(lines))


def _entry(row: Row | None) -> Entry:
    if row is None:
        return Entry("–")
    half = (row["high"] - row["low"]) / 2
    note = "" if np.isnan(half) else f"± {half:.1f}"
    hint = counted(row["n"], "seed")
    if not np.isnan(row["parameters"] or np.nan):
        hint = f"{int(row['parameters']):,} parameters, {hint}"
    return Entry(points(row["mean"]), note=note, hint=hint)


def ablation_figure(
    new: New, table: pd.DataFrame, empty: dict[str, float], across: int = 3
) -> "Figure | None":
    """Score against length, a line a start, a panel a model.

    Bars are 95 % t-intervals over seeds of the mean over tasks; a dotted line is Empty. Lengths are
    on a logarithmic scale; below each stands m·d where it is known.

    Args:
        table: of :func:`ablation_table`.
        empty: points of Empty by model, mean over tasks.
    """
    panels = list(dict.fromkeys(table["panel"]))[:MOST_PANELS]
    if not panels:
        return None
    starts = sorted(table["start"].unique())
    across = min(across, len(panels))
    down = -(-len(panels) // across)
    fig = new(2.9 * across + 0.5, 2.5 * down + 0.7)
    grid = fig.subplots(down, across, sharey=True, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        here = table[table["panel"] == panel]
        lengths = sorted(here["prompt_length"].unique())
        for place, start in enumerate(starts):
            part = here[here["start"] == start].sort_values("prompt_length")
            # Side by side, so that bars of several starts can be told apart.
            x = part["prompt_length"] * 1.04 ** (place - (len(starts) - 1) / 2)
            bars = np.stack([part["mean"] - part["low"], part["high"] - part["mean"]])
            axes.errorbar(
                x, part["mean"], yerr=np.nan_to_num(bars), label=start, markersize=4,
                color=COLOURS[place % len(COLOURS)], marker=MARKERS[place % len(MARKERS)],
                linewidth=1.3, elinewidth=0.8, capsize=2,
            )  # fmt: skip
        level = empty.get(str(here["target"].iloc[0]), np.nan)
        if np.isfinite(level):
            axes.axhline(level, color=QUIET, linestyle=":", linewidth=1.2)
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xlim(min(lengths) / 1.4, max(lengths) * 1.4)
        sizes = here.drop_duplicates("prompt_length").set_index("prompt_length")["parameters"]
        names = [f"{m}" if pd.isna(sizes[m]) else f"{m}\n{_short(int(sizes[m]))}" for m in lengths]
        axes.set_xticks(lengths, names, fontsize=7.5)
        axes.set_title(panel, loc="left", size=8)
        ruled(axes, "y")
        axes.tick_params(labelleft=True)
    # An interval may go beyond what a score can be; the scale does not.
    low, high = grid[0, 0].get_ylim()
    grid[0, 0].set_ylim(max(low, -2.0), min(high, 102.0))
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for axes in grid[:, 0]:
        axes.set_ylabel("points")
    height = 2.5 * down + 0.7
    fig.subplots_adjust(
        left=0.6 / (2.9 * across + 0.5), right=0.985, bottom=0.62 / height,
        top=1 - 0.62 / height, hspace=0.5, wspace=0.18,
    )  # fmt: skip
    fig.text(0.5, 0.06 / height, "vectors m; below, trained parameters m·d", ha="center",
             color=INK, size=8)  # fmt: skip
    shown, labels = grid.flat[0].get_legend_handles_labels()
    fig.legend(shown, labels, loc="upper left", ncols=max(2, min(4, len(starts))), fontsize=7.5)
    return fig


def _short(number: int) -> str:
    return f"{number / 1000:.3g}k" if number >= 1000 else str(number)
