"""Readability of hard prompts against what they gain, as a figure."""

import pandas as pd

from analysis.hard.readability import MEASURES, OUTCOMES
from analysis.soft.figures import COLOURS, QUIET, drawing, encoded

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_LABELS = {
    "dictionary_share": "share of dictionary words",
    "log_perplexity": "log-perplexity on the target, nats per token",
}
_OUTCOME = "gain_over_no_prompt"
_SPREAD = 0.012


def readability_scatter(moved: pd.DataFrame, fmt: str = "svg") -> bytes | None:
    """Both measures against the gain over Empty, a point per prompt and target.

    Colour is the row, marker the task. Shares take few values: points that would lie on each other
    are moved apart sideways by up to 1 % of the axis.

    Args:
        moved: of :func:`analysis.hard.readability.transfers`.
        fmt: ``svg`` or ``png``.

    Returns:
        The file; None where no transfer has a measure and a gain.
    """
    panels = {name: moved.dropna(subset=[name, _OUTCOME]) for name in MEASURES}
    panels = {name: part for name, part in panels.items() if not part.empty}
    if not panels:
        return None
    from matplotlib.lines import Line2D

    known = pd.concat(list(panels.values()))
    kinds = [name for name in moved["made"].unique() if name in set(known["made"])]
    names = sorted(known["task"].unique())
    colours = {kind: COLOURS[place % len(COLOURS)] for place, kind in enumerate(kinds)}
    markers = {name: _MARKERS[place % len(_MARKERS)] for place, name in enumerate(names)}
    with drawing() as new:
        fig = new(9.2, 3.6)
        grid = fig.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (measure, part) in zip(grid, panels.items(), strict=True):
            spread = _SPREAD if measure == "dictionary_share" else 0.0
            axes.axhline(0, color=QUIET, linewidth=0.8)
            for (kind, task), points in part.groupby(["made", "task"], sort=False):
                axes.scatter(
                    points[measure] + spread * _aside(points),
                    100 * points[_OUTCOME],
                    s=20,
                    marker=markers[task],
                    color=colours[kind],
                    alpha=0.7,
                    linewidth=0.4,
                    edgecolor="white",
                )
            axes.set_xlabel(_LABELS[measure])
            axes.grid(color="#EEEEEE")
            axes.set_axisbelow(True)
        grid[0].set_ylabel(f"points of {OUTCOMES[_OUTCOME]}")
        handles = [
            *(Line2D([], [], color=colours[kind], marker="o", linestyle="none", label=kind)
              for kind in kinds),
            *(Line2D([], [], color=QUIET, marker=markers[name], linestyle="none", label=name)
              for name in names),
        ]  # fmt: skip
        fig.subplots_adjust(left=0.065, right=0.79, bottom=0.14, top=0.96, wspace=0.06)
        fig.legend(handles=handles, loc="center left", bbox_to_anchor=(0.795, 0.55), fontsize=8)
        return encoded(fig, fmt)


def _aside(points: pd.DataFrame) -> pd.Series:
    """A number from -1 to 1 per point, spread evenly by the prompt's number."""
    return (points["prompt"] * 0.618034 % 1) * 2 - 1
