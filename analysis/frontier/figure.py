"""The figure of cost and gain: a panel by labels, work against the share of the gap recovered.

Works under the style of :func:`analysis.present.drawing.drawing`.
"""

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.frontier.frontier import PANELS, Frontier
from analysis.frontier.tables import ACCESS_NAMES
from analysis.present.drawing import FAINT, INK, QUIET, New

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOKS = {
    "none": "#000000",
    "labels": "#0072B2",
    "vocabulary": "#009E73",
    "states": "#E69F00",
    "gradients": "#D55E00",
}
"""Colour by what the target gives away."""
MARKS = {
    "prompt": ("o", "a prompt"),
    "readout": ("s", "a readout"),
    "none": ("^", "no prompt"),
    "source": ("X", "needs the source"),
}
"""Marker and words by what is kept."""
MOST = 16
"""Ways that a panel has room for."""
_STRIP = 3.4  # width of the strip for zero, in powers of two
_GAP = 0.5
_FIRST, _FURTHER, _NARROW = 4.5, 1.85, 4.45
_BETWEEN = 0.6
_HEIGHT = 3.9
_TEXT = 7
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_WIDE, _TALL = 0.0535, 0.125
"""Inches of a letter and of a line of labels."""
_LONG = 26
"""Letters of a name that stands beside its mark; longer ones are listed below."""


def cost_figure(
    new: New,
    table: pd.DataFrame,
    frontiers: Sequence[Frontier],
    levels: tuple[float, float],
    stacked: bool = False,
) -> "Figure | None":
    """Cost against gain, every line with its interval and the frontier as a step line.

    Args:
        new: maker of a figure.
        table: of :func:`analysis.frontier.tables.line_table`.
        frontiers: by panel.
        levels: mean Empty score and mean gap to Direct in points; without Direct the gap is NaN
            and the gain is shown in points.
        stacked: whether panels stand one above the other, for a narrow screen.
    """
    shown = shown_lines(table)
    if shown.empty:
        return None
    empty, gap = levels
    has_gap = gap == gap
    panels = [place for place, name in enumerate(PANELS) if (shown["label_panel"] == name).any()]
    further = len(panels) - 1
    widths = [_FIRST, *[_FURTHER] * further] if not stacked else [_NARROW] * len(panels)
    side = (0.62, 0.72 if has_gap else 0.15)
    width = side[0] + (_NARROW if stacked else sum(widths) + 0.12 * further) + side[1]
    keys: dict[str, str] = {}
    listed = [row for _, row in shown.iterrows() if len(_label(row)) > _LONG]
    below = 0.14 * len(listed) + (0.08 if listed else 0.0)
    inner = _HEIGHT - 1.12
    height = _HEIGHT + below + (further * (inner + _BETWEEN) if stacked else 0.0)
    fig = new(width, height)
    low, high = _reach(shown, has_gap)
    least, most = _works(shown)
    left = side[0]
    for number, place in enumerate(panels):
        inside = (widths[number], inner)
        bottom = 0.46 + below + ((further - number) * (inner + _BETWEEN) if stacked else 0.0)
        box = (left / width, bottom / height, inside[0] / width, inside[1] / height)
        axes = fig.add_axes(box)
        left += 0.0 if stacked else widths[number] + 0.12
        rows = shown[shown["label_panel"] == PANELS[place]]
        axes.set_ylim(low, high)
        axes.set_xlim(least - _STRIP - _GAP, most)
        _ground(axes, least, most, has_gap, 2 if number == 0 or stacked else 4)
        _steps(axes, frontiers[place], least, most, has_gap)
        _points(axes, rows, least, has_gap, inside, keys)
        if number == (further if stacked else 0):
            axes.set_xlabel("work on the target, row equivalents")
        axes.set_title(PANELS[place], loc="left", size=8.5)
        if number and not stacked:
            axes.tick_params(labelleft=False)
        else:
            unit = "share of the gap to Direct, %" if has_gap else "points over Empty"
            axes.set_ylabel(unit)
        if has_gap and (stacked or number == further):
            _in_points(axes, empty, gap)
    _legend(fig, shown, side[0] / width, _HEIGHT / height)
    for line, (letter, name) in enumerate(keys.items(), 1):
        fig.text(
            side[0] / width,
            (below - 0.14 * line) / height,
            f"{letter}  {name}",
            size=_TEXT,
            color=INK,
        )
    return fig


def shown_lines(table: pd.DataFrame) -> pd.DataFrame:
    """The lines that the figure shows: of each the one after calibration where there is one.

    Empty is there with and without. Of many ways those with the best validation score.
    """
    if table.empty:
        return table
    table = table[table["work"].notna()]
    after = set(table.loc[table["calibrated"], "line"])
    kept = table["calibrated"] | ~table["line"].isin(after) | (table["line"] == "Empty")
    rows = table[kept]
    ways = rows[rows["kind"].isin(("way", "own"))]
    best = ways.nlargest(MOST, "validation").index
    return rows[~rows.index.isin(ways.index) | rows.index.isin(best)].reset_index(drop=True)


def _value(rows: pd.DataFrame, has_gap: bool) -> pd.DataFrame:
    """Height and ends of every line's mark."""
    names = ("share", "share_low", "share_high") if has_gap else ("gain", "gain_low", "gain_high")
    scale = 100.0 if has_gap else 1.0
    y = pd.DataFrame(
        {end: scale * rows[name] for end, name in zip(("y", "low", "high"), names, strict=True)}
    )
    if has_gap:
        y.loc[rows["kind"] == "direct", "y"] = 100.0
    return y


def _reach(rows: pd.DataFrame, has_gap: bool) -> tuple[float, float]:
    y = _value(rows, has_gap)
    y = y.mask(rows["kind"] == "reference", y.assign(low=y["y"], high=y["y"]))  # without bars
    ends = [*y["y"].dropna(), 0.0, *([100.0] if has_gap else [])]
    low, high = min(ends), max(ends)
    room = 0.09 * (high - low) or 1.0
    # Intervals of rough lines are cut off: they would leave no room for all others.
    least, most = (float(value) for value in (y["low"].min(), y["high"].max()))
    reach = 0.35 * (high - low)
    low = min(low, max(least, low - reach)) if least == least else low
    high = max(high, min(most, high + reach)) if most == most else high
    return low - room, high + room


def _works(rows: pd.DataFrame) -> tuple[float, float]:
    known = rows.loc[rows["work"] > 0, "work"]
    least = math.log2(min(known.min(), 64)) if len(known) else 6.0
    most = math.log2(max(known.max(), 4096)) if len(known) else 12.0
    return math.floor(least) - 0.6, math.ceil(most) + 1.6


def _ground(axes: "Axes", least: float, most: float, has_gap: bool, every: int) -> None:
    start = least - _STRIP - _GAP
    axes.axvspan(start, least - _GAP, color="#F4F4F4", zorder=0, linewidth=0)
    axes.grid(axis="y", color=FAINT)
    axes.set_axisbelow(True)
    for level in (0, 100) if has_gap else (0,):
        axes.axhline(level, color=QUIET, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    ticks = [place for place in range(math.ceil(least), math.floor(most) + 1) if place % every == 0]
    names = [_count(2.0**place) for place in ticks]
    axes.set_xticks([start + _STRIP / 2, *ticks], ["0", *names])


def _count(value: float) -> str:
    return f"{value / 1024:.0f}k" if value >= 1024 else f"{value:.0f}"


def _steps(axes: "Axes", found: Frontier, least: float, most: float, has_gap: bool) -> None:
    if not found.steps:
        return
    xs, ys = [], []
    for work, share, gained, _ in found.steps:
        xs.append(math.log2(work) if work > 0 else least - _STRIP - _GAP)
        ys.append(100 * share if has_gap else gained)
    axes.step([*xs, most], [*ys, ys[-1]], where="post", color=INK, linewidth=1.1, alpha=0.55,
              zorder=2)  # fmt: skip


def _points(
    axes: "Axes",
    rows: pd.DataFrame,
    least: float,
    has_gap: bool,
    size: tuple[float, float],
    keys: dict[str, str],
) -> None:
    """Marks and their names; ``keys`` takes those that are too long to stand beside them."""
    y = _value(rows, has_gap)
    rows = rows.assign(**y)[y["y"].notna()]
    zero = rows[~(rows["work"] > 0)].sort_values("y")
    places = {}
    for number, index in enumerate(zero.index):
        # Side by side in the strip, so that marks and bars of equal height stay apart.
        places[index] = least - _GAP - _STRIP * (0.85 - 0.28 * (number % 3))
    marks = []
    places |= _beside(rows[rows["work"] > 0])
    names = _runs(axes, rows, places)
    for index, row in rows.iterrows():
        x = places[index]
        colour = LOOKS.get(str(row["access"]), QUIET)
        kind = "source" if row["source"] else str(row["product"])
        if row["low"] == row["low"] and row["kind"] != "reference":
            axes.vlines(x, row["low"], row["high"], color=colour, linewidth=0.8, alpha=0.6,
                        zorder=3)  # fmt: skip
        axes.scatter([x], [row["y"]], s=30, marker=MARKS.get(kind, MARKS["prompt"])[0],
                     color=colour, edgecolor="white", linewidth=0.5, zorder=4)  # fmt: skip
        name = names[index]
        if len(name) > _LONG:
            keys[_LETTERS[len(keys) % len(_LETTERS)]] = name
            name = _LETTERS[(len(keys) - 1) % len(_LETTERS)]
        marks.append((x, float(row["y"]), name, colour))
    _labels(axes, marks, size)


def _beside(rows: pd.DataFrame) -> dict[Any, float]:
    """Places on the axis of marks that took some work; equal ones a little apart."""
    places = {}
    for _, alike in rows.groupby("work"):
        middle = math.log2(alike["work"].iloc[0])
        for number, index in enumerate(alike.sort_values("y", ascending=False).index):
            places[index] = middle + 0.16 * (number - (len(alike) - 1) / 2)
    return places


def _runs(axes: "Axes", rows: pd.DataFrame, places: dict[Any, float]) -> dict[Any, str]:
    """Names of the marks; of those that differ in one number the last has the name for all.

    They are joined by a line.
    """
    names = {index: _label(row) for index, row in rows.iterrows()}
    stems = {index: _stem(name) for index, name in names.items()}
    for stem in set(stems.values()):
        run = [index for index in rows.sort_values("work").index if stems[index] == stem]
        works = [rows.loc[index, "work"] for index in run]
        if len(run) < 2 or works[0] <= 0 or len(set(works)) < len(works):
            continue
        ends = [re.findall(r" (\d+)(?=$|,)", names[index]) for index in (run[0], run[-1])]
        axes.plot([places[index] for index in run], [rows.loc[index, "y"] for index in run],
                  color=LOOKS.get(str(rows.loc[run[0], "access"]), QUIET), linewidth=0.8,
                  alpha=0.6, zorder=2)  # fmt: skip
        names |= dict.fromkeys(run, "")
        names[run[-1]] = stem
        if all(ends):
            head, _, tail = stem.partition(",")
            names[run[-1]] = f"{head} {ends[0][-1]}–{ends[1][-1]}{',' if tail else ''}{tail}"
    return names


def _stem(name: str) -> str:
    """A name without the number that its last words end in."""
    return re.sub(r" \d+(?=$|,)", "", name)


def _label(row: pd.Series) -> str:
    name = str(row["line"])
    return f"{name} + calibration" if row["kind"] == "reference" and row["calibrated"] else name


def _labels(
    axes: "Axes", marks: Sequence[tuple[float, float, str, str]], size: tuple[float, float]
) -> None:
    """Every mark's name beside it, where it covers neither a mark nor another name."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    across, up = size[0] / (right - left), size[1] / (high - low)
    places = [((x - left) * across, (y - low) * up) for x, y, _, _ in marks]
    taken = [(px - 0.05, py - 0.05, px + 0.05, py + 0.05) for px, py in places]
    for (x, y), (_, _, text, colour) in sorted(
        zip(places, marks, strict=True), key=lambda item: -item[0][1]
    ):
        if not text:
            continue
        wide = _WIDE * len(text)
        box = _free(x, y, wide, taken, size)
        taken.append(box)
        centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        if abs(centre[1] - y) > 0.16:
            edge = box[0] if box[0] > x else box[2] if box[2] < x else x
            axes.plot([left + x / across, left + edge / across],
                      [low + y / up, low + centre[1] / up], color=colour, linewidth=0.5,
                      alpha=0.7, zorder=2)  # fmt: skip
        axes.text(left + box[0] / across, low + centre[1] / up, text, size=_TEXT, color=INK,
                  va="center", zorder=5, path_effects=_halo())  # fmt: skip


def _halo() -> list[Any]:
    """White around letters, so that lines behind them do not strike them through."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.2, foreground="white", alpha=0.85)]


Box = tuple[float, float, float, float]


def _free(x: float, y: float, wide: float, taken: Sequence[Box], size: tuple[float, float]) -> Box:
    """The nearest box for a text that covers nothing; the least bad one where there is none."""
    best, worst = None, math.inf
    for shift in (0.0, 0.13, -0.13, 0.26, -0.26, 0.39, -0.39, 0.52, -0.52, 0.7, -0.7, 0.9, -0.9):
        for start in (x + 0.09, x - 0.09 - wide, x - wide / 2):
            if start == x - wide / 2 and abs(shift) < 0.1:
                continue
            box = (start, y + shift - _TALL / 2, start + wide, y + shift + _TALL / 2)
            outside = max(0.0, -box[0]) + max(0.0, box[2] - size[0])
            outside += max(0.0, -box[1]) + max(0.0, box[3] - size[1])
            cover = sum(_covered(box, other) for other in taken) + outside + 0.02 * abs(shift)
            if cover < worst - 1e-9:
                best, worst = box, cover
        if worst < 0.02 * abs(shift) + 1e-6:
            break
    assert best is not None
    return best


def _covered(one: Box, other: Box) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    up = min(one[3], other[3]) - max(one[1], other[1])
    return across * up * 20 if across > 0 and up > 0 else 0.0


def _in_points(axes: "Axes", empty: float, gap: float) -> None:
    """The same heights in points at the right edge."""

    def points_of(share: Any) -> Any:
        return empty + gap * share / 100

    def share_of(points: Any) -> Any:
        return 100 * (points - empty) / gap

    right = axes.secondary_yaxis(
        "right",
        functions=(points_of, share_of),
    )
    right.set_ylabel("points on test")
    right.spines["right"].set_visible(True)


def _legend(fig: "Figure", shown: pd.DataFrame, left: float, part: float) -> None:
    """Two lines at the top; ``part``: of the height, without what is listed below."""
    from matplotlib.lines import Line2D

    there = set(shown["access"])
    marks = {"source" if row["source"] else str(row["product"]) for row in shown.to_dict("records")}
    handles = [Line2D([], [], linestyle="none", label="The target gives away:")]
    handles += [
        Line2D([], [], color=colour, marker="o", linestyle="none", markersize=5,
               label=ACCESS_NAMES[name])
        for name, colour in LOOKS.items() if name in there
    ]  # fmt: skip
    kept = [Line2D([], [], linestyle="none", label="What is kept:")]
    kept += [
        Line2D([], [], color=QUIET, marker=marker, linestyle="none", markersize=5, label=words)
        for name, (marker, words) in MARKS.items() if name in marks
    ]  # fmt: skip
    kept.append(Line2D([], [], color=INK, alpha=0.55, linewidth=1.1, label="frontier"))
    for top, row in ((1.0, handles), (1.0 - 0.047 * part, kept)):
        legend = fig.legend(handles=row, loc="upper left", bbox_to_anchor=(left - 0.02, top),
                            ncols=len(row), fontsize=7, handletextpad=0.2, columnspacing=0.9,
                            handlelength=1.2)  # fmt: skip
        legend.get_texts()[0].set_color(QUIET)
