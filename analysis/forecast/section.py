"""What can be said of a sweep's order of source sets beforehand: objects, figure, report."""

import base64
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.forecast.features import stored_features
from analysis.forecast.prediction import PRESPECIFIED, QUESTIONS, Forecast, forecast, past_means
from analysis.present.grid import DASH
from analysis.soft.figures import COLOURS, QUIET, drawing, encoded
from analysis.stats.ordering import Numbers
from trainables.core.settings import family_of

FEWEST = 4
"""Gains below which there is nothing to order."""
MOST_SHAPES = 1000
"""Points beyond which they are drawn as pixels."""


@dataclass(frozen=True)
class Forecasts:
    """A forecast and what it is about.

    Attributes:
        about: a line.
        names: of the targets, by the digests that tell them apart.
        forecast: both questions with their answers.
    """

    about: str
    names: Mapping[str, str]
    forecast: Forecast


def forecasts(table: pd.DataFrame) -> list[Forecasts]:
    """Forecasts by method, and by one source or several.

    Args:
        table: of :func:`analysis.forecast.features.observations`, with features.
    """
    return list(_each(table))


def _each(table: pd.DataFrame) -> Iterator[Forecasts]:
    families = table["method"].map(family_of)
    for (family, method, several), part in table.groupby(
        [families.rename("family"), "method", (table["size"] > 1).rename("several")], sort=True
    ):
        if len(part) < FEWEST or part["source_ids"].nunique() < 2:
            continue
        sets = "sets of several sources" if several else "single sources"
        other = (families[table["method"] != method] == family).any()
        which = f" ({method})" if other else ""
        about = f"{str(family).capitalize()} prompts{which}, {sets}"
        names = dict(zip(part["target_id"], part["target"], strict=True))
        yield Forecasts(about, names, forecast(part))


def forecast_figure(item: Forecasts, fmt: str = "svg") -> bytes | None:
    """Each order against the gain, one panel a question.

    Args:
        item: a forecast.
        fmt: ``svg`` or ``png``.

    Returns:
        The file, None where nothing can be ordered.
    """
    known = item.forecast.table
    gain = 100 * known["gain"].to_numpy()
    panels = [
        (check, label, values)
        for check in item.forecast.checks
        for label, values in [_order(known, check.question)]
        if not math.isnan(check.rho)
    ]
    if not panels:
        return None
    with drawing() as new:
        fig = new(7.2, 3.5)
        for place, (check, label, values) in enumerate(panels):
            axes = fig.add_axes((0.08 + 0.48 * place, 0.14, 0.42, 0.68))
            _scatter(axes, values, gain, known["target_id"].map(item.names))
            p = f"p {check.p:.3f}" if check.testable else "not testable"
            axes.set_title(
                f"{QUESTIONS[check.question].about}: ρ {check.rho:+.2f}, {p},"
                f" power {check.power:.0%}",
                fontsize=8.5,
            )
            axes.set_xlabel(label)
            if not place:
                axes.set_ylabel("gain, points (validation)")
        fig.text(0.08, 0.945, item.about, fontsize=9, weight="bold")
        return encoded(fig, fmt)


_MARKERS = "os^Dv"


def _order(known: pd.DataFrame, question: str) -> tuple[str, Numbers]:
    """What orders the source sets, relative to the mean of their target and task, and its name."""
    if question != "source":
        return "past mean: gain on the other tasks, points", 100 * past_means(
            known, known, question
        )
    values = known[PRESPECIFIED]
    means = values.groupby([known["target_id"], known["task"]]).transform("mean")
    return QUESTIONS[question].by, (values - means).to_numpy(dtype="float64")


def _scatter(axes: Any, order: Numbers, gain: Numbers, targets: pd.Series) -> None:
    axes.axhline(0.0, color=QUIET, linewidth=0.8)
    axes.axvline(0.0, color=QUIET, linewidth=0.8)
    for place, target in enumerate(sorted(targets.unique())):
        rows = (targets == target).to_numpy()
        axes.scatter(
            order[rows],
            gain[rows],
            s=16,
            marker=_MARKERS[place % len(_MARKERS)],
            color=COLOURS[place % len(COLOURS)],
            alpha=0.75,
            linewidth=0,
            label=str(target),
            rasterized=len(gain) > MOST_SHAPES,
        )
    axes.legend(fontsize=7, loc="lower right")
    axes.grid(color="#EEEEEE")
    axes.set_axisbelow(True)


def forecast_section(folder: Path, table: Callable[[], pd.DataFrame]) -> str:
    """The report's section as HTML; empty where no features were worked out for the folder.

    Args:
        folder: a sweep's folder.
        table: gives its :func:`analysis.forecast.features.observations`; called only if there are
            features.
    """
    if stored_features(folder) is None:
        return ""
    parts = [_block(item) for item in forecasts(table())]
    if not parts:
        return ""
    return (
        '<section id="prediction">\n<h2>What predicts the gain</h2>\n<p>Two questions, each with a'
        " test of its own: does neighbour agreement order source sets that were never tuned, and"
        " does the past mean of a source set order them on a new task? Gains are those over Empty"
        " on validation, relative to the other source sets of the target and task.</p>\n"
        + "\n".join(parts)
        + "\n</section>\n"
    )


def _block(item: Forecasts) -> str:
    parts = [f"<h3>{escape(item.about)}</h3>"]
    parts += [f"<p>{escape(check.sentence())}</p>" for check in item.forecast.checks]
    image = forecast_figure(item)
    if image is not None:
        uri = f"data:image/svg+xml;base64,{base64.b64encode(image).decode()}"
        parts.append(
            f'<figure><img src="{uri}" alt="Each order against the gain.">'
            "<figcaption>Each point: one source set, target and task, mean over cells, relative to"
            " the mean of that target and task.</figcaption></figure>"
        )
    parts.append(
        "<p>Exploratory, for description only: how every order went with the gain in this sweep."
        " Nothing here was tested, and the best of many looks good by chance.</p>"
    )
    return "\n".join([*parts, _described(item.forecast.described)])


def _described(rows: pd.DataFrame) -> str:
    heads = ("order", "mean ρ within target and task", "blocks", "regret, points")
    lines = ["".join(f"<th>{head}</th>" for head in heads)]
    for row in rows.to_dict("records"):
        cells = [escape(row["title"]), _number(row["rho"]), str(row["blocks"])]
        cells.append(_number(100 * row["regret"], 1))
        lines.append("".join(f"<td>{cell}</td>" for cell in cells))
    found = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table>\n{found}\n</table></div>'


def _number(value: float, digits: int = 2) -> str:
    return DASH if math.isnan(value) else f"{value:.{digits}f}"
