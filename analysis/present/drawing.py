"""How figures look, and the pieces that several of them are made of.

Colours are safe for colour-blind readers (Okabe and Ito's set; red to blue for gains), and no
reading depends on colour alone: cells carry their number, lines their marker. Text is drawn as
outlines, so that a figure looks the same everywhere.
"""

import io
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.present.grid import DASH, points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

New = Callable[[float, float], "Figure"]
"""Makes a figure of a width and height in inches, see :func:`drawing`."""
COLOURS = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000", "#B3A400"),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
INK, QUIET, FAINT = "#222222", "#8A8A8A", "#EEEEEE"
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    # No ground of their own: a page may be dark.
    "axes.facecolor": "none",
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.frameon": False,
    # Names come from specs: a dollar sign in one is no formula.
    "text.parse_math": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "promptsweep",
}


@contextmanager
def drawing() -> Iterator[New]:
    """Hands out a maker of figures (width, height in inches) under the house style.

    Plain Figure objects need no display and no pyplot state. A ``matplotlibrc`` in the working or
    home folder does not count.
    """
    # Without a home folder it would say twice that it uses a temporary one.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib
    from matplotlib.figure import Figure

    def new(width: float, height: float) -> Figure:
        return Figure(figsize=(width, height), dpi=150)

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        # A name in a script the font lacks is drawn as boxes; the tables spell it out.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield new


def encoded(fig: "Figure", fmt: str, ground: str = "white") -> bytes:
    """The file of a figure, ``svg`` or ``png``, on a ground (``none``: on what it lies on)."""
    buffer = io.BytesIO()
    # Without a date, equal data give equal bytes.
    metadata = {"Date": None} if fmt == "svg" else None
    fig.savefig(buffer, format=fmt, metadata=metadata, facecolor=ground)
    return buffer.getvalue()


def cycled(names: Iterable[str], looks: Sequence[str]) -> dict[str, str]:
    """A colour or marker for each name; after the last one the first comes again."""
    return {name: looks[place % len(looks)] for place, name in enumerate(names)}


def handles(colours: Mapping[str, str], markers: Mapping[str, str]) -> list[Any]:
    """Of a legend: one entry a colour, and one a marker."""
    from matplotlib.lines import Line2D

    return [
        *(Line2D([], [], color=colour, marker="o", linestyle="none", label=name)
          for name, colour in colours.items()),
        *(Line2D([], [], color=QUIET, marker=marker, linestyle="none", label=name)
          for name, marker in markers.items()),
    ]  # fmt: skip


def ruled(axes: "Axes", axis: Any = "both") -> None:
    axes.grid(axis=axis, color=FAINT)
    axes.set_axisbelow(True)


def number_cells(
    axes: "Axes", values: np.ndarray, limit: float, flags: Callable[[int, int], str] | None = None
) -> Any:
    """Numbers as coloured cells with white, 0, in the middle of the scale.

    Args:
        values: points [rows, columns]; NaN is a grey cell with a dash.
        limit: the end of the scale on both sides.
        flags: what stands behind the number of a row and column.
    """
    edges = [np.arange(count + 1) - 0.5 for count in reversed(values.shape)]
    # Not imshow: a mesh stays sharp at every size, an image in an SVG does not.
    image = axes.pcolormesh(*edges, np.ma.masked_invalid(values), cmap=_diverging(), vmin=-limit,
                            vmax=limit, edgecolors="white", linewidth=1.5)  # fmt: skip
    for (row, column), value in np.ndenumerate(values):
        ink, text = QUIET, DASH
        if not np.isnan(value):
            ink = _readable_on(image.to_rgba(np.array([value]))[0])
            text = points(value, signed=True) + (flags(row, column) if flags else "")
        axes.text(column, row, text, ha="center", va="center", color=ink, size=8)
    bare_cells(axes)
    return image


def bare_cells(axes: Any) -> None:
    """Rows from the top, names of columns above, no lines around: a grid of cells."""
    axes.set_facecolor("#EFEFEF")
    axes.invert_yaxis()
    axes.xaxis.tick_top()
    axes.tick_params(length=0, pad=3)
    axes.spines[:].set_visible(False)


def scale_bar(fig: "Figure", image: Any, box: Any, limit: float, label: str) -> None:
    """The scale of :func:`number_cells` in a box of the figure, what it measures beside it."""
    bar = fig.add_axes(box)
    scale = fig.colorbar(image, cax=bar, orientation="horizontal")
    scale.outline.set_visible(False)  # type: ignore[operator]
    ends = [points(end, signed=True) for end in (-limit, limit)]
    scale.set_ticks([-limit, 0, limit], labels=[ends[0], "0", ends[1]])
    bar.tick_params(labelsize=7.5, length=2)
    bar.text(1.06, 0.5, label, va="center", transform=bar.transAxes, size=7.5)


def _diverging() -> Any:
    """Red over white to blue, without the near-black ends on which no hue is seen."""
    import matplotlib
    from matplotlib.colors import LinearSegmentedColormap

    shades = matplotlib.colormaps["RdBu"](np.linspace(0.1, 0.9, 257))
    return LinearSegmentedColormap.from_list("gain", shades)


def _readable_on(colour: np.ndarray) -> str:
    """Ink or white, whichever stands out more (relative luminance, WCAG 2)."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return INK if luminance > 0.2 else "white"
