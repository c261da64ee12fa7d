"""Figures of what transfer depends on: tidy table in, matplotlib Figure out.

Each works under the style of :func:`analysis.present.drawing.drawing`, whose maker of figures it is
given.
"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.present.drawing import COLOURS, INK, MARKERS, QUIET, New, ruled
from analysis.present.words import ROW_NAMES, sources_name, term_name
from analysis.stats.ranks import Ranking

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_LINES = 8


def variance_bars(new: New, table: pd.DataFrame) -> "Figure":
    """Variance shares in percent as bars with their intervals.

    Args:
        new: maker of a figure (width, height in inches).
        table: ``table`` of :func:`analysis.stats.variance.variance_shares`.
    """
    # The number stands with the name: behind the interval it would be away from its bar.
    names = [f"{term_name(term)}  {100 * part:.0f} %"
             for term, part in zip(table["term"], table["share"], strict=True)]  # fmt: skip
    height = 0.75 + 0.23 * len(table)
    fig = new(7.2, height)
    axes = fig.subplots()
    share = 100 * table["share"].to_numpy()
    low, high = (100 * table[end].to_numpy() for end in ("low", "high"))
    place = np.arange(len(table))
    axes.barh(place, share, height=0.62, color=COLOURS[0], alpha=0.55)
    axes.hlines(place, low, high, color=INK, linewidth=1.2)
    axes.set_yticks(place, names)
    axes.invert_yaxis()
    axes.set_xlim(0, max(float(np.nanmax([*share, *high])) * 1.04, 5))
    axes.set_xlabel("share of the variance, %")
    axes.tick_params(axis="y", length=0)
    left = (0.25 + 0.068 * max(len(name) for name in names)) / 7.2
    fig.subplots_adjust(left=left, right=0.97, top=1 - 0.1 / height, bottom=0.5 / height)
    return fig


def interaction_plot(
    new: New, frame: pd.DataFrame, value: str, across: str, lines: str, label: str
) -> "Figure":
    """Means of a column across one factor, a line per level of another: parallel is additive.

    Args:
        value: column averaged.
        across: column along the horizontal axis.
        lines: column with a line per value; of many, the eight that spread most are drawn.
        label: name of the value, with its unit.
    """
    table = frame.groupby([lines, across], observed=True)[value].mean().unstack(across)
    if len(table) > _MOST_LINES:
        kept = table.std(axis=1).nlargest(_MOST_LINES).index
        table = table[table.index.isin(kept)]
    wide = max(3.6, 0.75 * table.shape[1])
    longest = max(len(str(name)) for name in table.index)
    side = 0.5 + 0.075 * longest
    fig = new(0.75 + wide + side, 3.1)
    axes = fig.subplots()
    place = np.arange(table.shape[1])
    for number, (name, line) in enumerate(table.iterrows()):
        axes.plot(
            place,
            line.to_numpy(),
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=4.5,
            linewidth=1.1,
            label=sources_name(str(name)),
        )
    axes.axhline(0, color=QUIET, linewidth=0.8)
    slant = 0.075 * max(len(str(name)) for name in table.columns) > wide / table.shape[1]
    axes.set_xticks(place, [str(name) for name in table.columns],
                    rotation=25 if slant else 0, ha="right" if slant else "center")  # fmt: skip
    axes.set_xlim(-0.5, table.shape[1] - 0.5)
    axes.set_ylabel(label)
    ruled(axes, "y")
    width = 0.75 + wide + side
    fig.subplots_adjust(left=0.65 / width, right=(0.7 + wide) / width, top=0.96,
                        bottom=0.24 if slant else 0.1)  # fmt: skip
    fig.legend(loc="center left", bbox_to_anchor=((0.75 + wide) / width, 0.55), fontsize=8)
    return fig


def critical_difference_diagram(new: New, ranking: Ranking) -> "Figure":
    """Mean ranks on a line, bars joining those that Nemenyi's test does not tell apart.

    Args:
        ranking: of :func:`analysis.stats.ranks.ranking`, with ranks and a test.
    """
    ranks = ranking.ranks
    count = len(ranks)
    depth = 0.22 * ((count + 1) // 2)
    groups = _groups(ranks.to_numpy(), ranking.critical)
    height = 0.95 + 0.09 * len(groups) + depth
    fig = new(6.4, height)
    axes = fig.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(1 - 0.55 * (count - 1), count + 0.55 * (count - 1))
    axes.set_ylim(-(height - 0.55), 0.55)
    axes.set_axis_off()
    axes.hlines(0, 1, count, color=INK, linewidth=1)
    for tick in range(1, count + 1):
        axes.vlines(tick, 0, 0.06, color=INK, linewidth=1)
        axes.text(tick, 0.1, str(tick), ha="center", va="bottom", size=8)
    edge = min(ranking.critical, count - 1.0)
    axes.hlines(0.38, 1, 1 + edge, color=QUIET, linewidth=2)
    axes.text(1 + edge + 0.03 * count, 0.38, f"critical difference {ranking.critical:.2f}",
              va="center", size=8)  # fmt: skip
    for number, (start, end) in enumerate(groups):
        y = -0.1 - 0.09 * number
        axes.hlines(y, ranks.iloc[start] - 0.02, ranks.iloc[end] + 0.02, color=COLOURS[4],
                    linewidth=3)  # fmt: skip
    base = -0.1 - 0.09 * len(groups)
    for number, (name, rank) in enumerate(ranks.items()):
        left = number < (count + 1) // 2
        y = base - 0.22 * (number if left else count - 1 - number) - 0.08
        x = 1 - 0.06 * (count - 1) if left else count + 0.06 * (count - 1)
        axes.plot([rank, rank, x], [0, y, y], color=QUIET, linewidth=0.8)
        text = f"{ROW_NAMES.get(str(name), str(name))}  {rank:.2f}"
        axes.text(x, y, f"{text} " if left else f" {text}", ha="right" if left else "left",
                  va="center", size=8.5)  # fmt: skip
    return fig


def best_of_n_curve(new: New, table: pd.DataFrame) -> "Figure":
    """Expected score of the best of n candidates: promised, read on test, and the oracle.

    Args:
        table: of :func:`analysis.stats.best_of_n.best_of_n`, not empty.
    """
    fig = new(5.6, 3.0)
    axes = fig.subplots()
    styles = {
        "validation": ("on validation, what the choice promised", ":", "^", COLOURS[1]),
        "oracle": ("best on test (oracle, no result)", "--", "s", QUIET),
        "chosen": ("chosen on validation, read on test", "-", "o", COLOURS[0]),
    }
    shown = np.unique(np.geomspace(1, len(table), 12).round().astype(int)) - 1
    for name, (label, line, marker, colour) in styles.items():
        axes.plot(table["n"], 100 * table[name], linestyle=line, color=colour, label=label,
                  marker=marker, markevery=list(shown), markersize=4, linewidth=1.3)  # fmt: skip
    if len(table) > 10:
        axes.set_xscale("log")
        ticks = [n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if n <= len(table)]
        axes.set_xticks(ticks, [str(n) for n in ticks])
        axes.minorticks_off()
    axes.set_xlabel("candidates looked at, n")
    axes.set_ylabel("score, points")
    ruled(axes)
    axes.legend(fontsize=8, loc="upper left")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.35 * (high - low))
    fig.subplots_adjust(left=0.1, right=0.97, top=0.97, bottom=0.15)
    return fig


def _groups(ranks: np.ndarray, critical: float) -> list[tuple[int, int]]:
    """Maximal runs of sorted ranks that span less than the critical difference."""
    runs: list[tuple[int, int]] = []
    for start in range(len(ranks)):
        end = int(np.searchsorted(ranks, ranks[start] + critical, side="left")) - 1
        if end > start and (not runs or end > runs[-1][1]):
            runs.append((start, end))
    return runs
