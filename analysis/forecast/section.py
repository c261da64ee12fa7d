"""What can be said of a sweep's order of source sets beforehand, as the report's section."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.forecast.features import stored_features
from analysis.forecast.prediction import (
    CHECKS,
    PRESPECIFIED,
    QUESTIONS,
    Check,
    described,
    past_means,
    pooled,
)
from analysis.present.drawing import COLOURS, MARKERS, QUIET, New, cycled, ruled
from analysis.present.exhibits import Figure, Part, Section, Table, file_name
from analysis.present.grid import DASH, plain_grid
from analysis.stats.ordering import Numbers
from trainables.core.settings import family_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawn

FEWEST = 4
"""Gains below which there is nothing to order."""
MOST_SHAPES = 1000
"""Points beyond which they are drawn as pixels."""


@dataclass(frozen=True)
class Forecast:
    """Both questions asked of the gains of source sets of one kind.

    Attributes:
        about: a line on what it is about.
        names: of the targets, by the digests that tell them apart.
        checks: of a new source set and of a new task.
        table: of :func:`analysis.forecast.prediction.pooled`.
        described: of :func:`analysis.forecast.prediction.described`.
    """

    about: str
    names: Mapping[str, str]
    checks: tuple[Check, ...]
    table: pd.DataFrame
    described: pd.DataFrame


def forecasts(table: pd.DataFrame) -> list[Forecast]:
    """Forecasts by method, and by one source or several.

    Args:
        table: of :func:`analysis.forecast.features.observations`, with features; of one sweep or
            several one below the other with a column ``sweep``.
    """
    families = table["method"].map(family_of)
    kinds = [families.rename("family"), "method", (table["size"] > 1).rename("several")]
    made = []
    for (family, method, several), part in table.groupby(kinds, sort=True):
        if len(part) < FEWEST or part["source_ids"].nunique() < 2:
            continue
        sets = "sets of several sources" if several else "single sources"
        other = (families[table["method"] != method] == family).any()
        about = f"{str(family).capitalize()} prompts{f' ({method})' if other else ''}, {sets}"
        names = dict(zip(part["target_id"], part["target"], strict=True))
        known = pooled(part)
        checks = tuple(CHECKS[question](known) for question in ("source", "task"))
        made.append(Forecast(about, names, checks, known, described(known)))
    return made


def forecast_figure(new: New, item: Forecast) -> "Drawn | None":
    """Each order against the gain, one panel a question; None where nothing can be ordered."""
    known = item.table
    gain = 100 * known["gain"].to_numpy()
    checks = [check for check in item.checks if not math.isnan(check.rho)]
    if not checks:
        return None
    fig = new(7.2, 3.5)
    for place, check in enumerate(checks):
        axes = fig.add_axes((0.08 + 0.48 * place, 0.14, 0.42, 0.68))
        label, values = _order(known, check.question)
        _scatter(axes, values, gain, known["target_id"].map(item.names))
        p = f"p {check.p:.3f}" if check.testable else "not testable"
        axes.set_title(
            f"{QUESTIONS[check.question].about}: ρ {check.rho:+.2f}, {p}, power {check.power:.0%}",
            fontsize=8.5,
        )
        axes.set_xlabel(label)
        if not place:
            axes.set_ylabel("gain, points (validation)")
    fig.text(0.08, 0.945, item.about, fontsize=9, weight="bold")
    return fig


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
    names = sorted(map(str, targets.unique()))
    colours, markers = cycled(names, COLOURS), cycled(names, MARKERS[:5])
    for target in names:
        rows = (targets == target).to_numpy()
        axes.scatter(
            order[rows],
            gain[rows],
            s=16,
            marker=markers[target],
            color=colours[target],
            alpha=0.75,
            linewidth=0,
            label=target,
            rasterized=len(gain) > MOST_SHAPES,
        )
    axes.legend(fontsize=7, loc="lower right")
    ruled(axes)


def forecast_section(folder: Path, table: Callable[[], pd.DataFrame]) -> Section | None:
    """The report's section; None where no features were worked out for the folder.

    Args:
        table: gives its :func:`analysis.forecast.features.observations`; called only if there are
            features.
    """
    parts = [] if stored_features(folder) is None else [_part(item) for item in forecasts(table())]
    if not parts:
        return None
    text = (
        "Two questions, each with a test of its own: does neighbour agreement order source sets"
        " that were never tuned, and does the past mean of a source set order them on a new task?"
        " Gains are those over Empty on validation, relative to the other source sets of the target"
        " and task."
    )
    every = [Part(texts=[text]), *(part for pair in parts for part in pair)]
    return Section("prediction", "What predicts the gain", every)


def _part(item: Forecast) -> tuple[Part, ...]:
    name = file_name("prediction", item.about)
    figure = Figure(
        name,
        "Each order against the gain.",
        "Each point: one source set, target and task, mean over cells, relative to the mean of that"
        " target and task.",
        partial(forecast_figure, item=item),
    )
    text = (
        "Exploratory, for description only: how every order went with the gain in this sweep."
        " Nothing here was tested, and the best of many looks good by chance."
    )
    numbers = item.described
    heads = ("mean ρ within target and task", "blocks", "regret, points")
    lines = [
        (row["title"], [_number(row["rho"]), str(row["blocks"]), _number(100 * row["regret"], 1)])
        for row in numbers.to_dict("records")
    ]
    title = f"How every order went with the gain, {item.about}"
    table = Table(name, title, plain_grid("order", heads, lines), numbers)
    said = [check.sentence() for check in item.checks]
    return (Part(item.about, said), Part(exhibits=[figure]), Part(texts=[text], exhibits=[table]))


def _number(value: float, digits: int = 2) -> str:
    return DASH if math.isnan(value) else f"{value:.{digits}f}"
