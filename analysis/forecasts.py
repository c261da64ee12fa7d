"""What features say of a sweep's gains, by kind of source set: objects, figure, report."""

import base64
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.features import BEFORE, FEATURES, stored_features
from analysis.figures import COLOURS, QUIET, drawing, encoded
from analysis.layout import DASH
from analysis.ordering import Numbers
from analysis.prediction import ORDERING, Forecast, Skill, forecast
from trainables.settings import family_of

FEWEST = 4
"""Observations below which there is nothing to fit."""


@dataclass(frozen=True)
class Forecasts:
    """A forecast and what it is about.

    Attributes:
        about: a line.
        forecast: the models with their skill.
    """

    about: str
    forecast: Forecast


def forecasts(table: pd.DataFrame, permutations: int = 200) -> list[Forecasts]:
    """Forecasts by family, by one source or several, and by what is known before and after tuning.

    Args:
        table: of :func:`analysis.features.observations`, with features.
        permutations: see :func:`analysis.prediction.skill`.
    """
    return list(_each(table, permutations))


def _each(table: pd.DataFrame, permutations: int) -> Iterator[Forecasts]:
    kinds = table["method"].map(family_of), table["size"] > 1
    for (family, several), part in table.groupby(list(kinds), sort=True):
        if len(part) < FEWEST or part["source_ids"].nunique() < 2:
            continue
        sets = "sets of several sources" if several else "single sources"
        for stage, names in (("before tuning", BEFORE), ("after tuning", tuple(FEATURES))):
            known = [name for name in names if part[name].notna().all()]
            if stage == "after tuning" and set(known) <= set(BEFORE):
                continue
            about = f"{str(family).capitalize()} prompts, {sets}, features known {stage}"
            yield Forecasts(about, forecast(part, known, permutations))


def forecast_figure(item: Forecasts, fmt: str = "svg") -> bytes | None:
    """Held-out prediction of the gain against the gain, one panel a way of leaving out.

    Args:
        item: a forecast.
        fmt: ``svg`` or ``png``.

    Returns:
        The file, None where nothing was held out.
    """
    found, gain = item.forecast.held_out, 100 * item.forecast.table["gain"].to_numpy()
    if all(np.isnan(values).all() for values in found.values()):
        return None
    with drawing() as new:
        fig = new(7.2, 3.5)
        for place, (grouping, values) in enumerate(found.items()):
            axes = fig.add_axes((0.08 + 0.48 * place, 0.14, 0.42, 0.68))
            _scatter(axes, 100 * values, gain, item.forecast.table["target"])
            skill = next(
                one
                for one in item.forecast.skills
                if one.grouping == grouping and one.model == ORDERING
            )
            gained = next(
                one
                for one in item.forecast.skills
                if one.grouping == grouping and one.model != ORDERING
            )
            axes.set_title(
                f"new {grouping}: R² {gained.r2:.2f}, order ρ {skill.within:+.2f}"
                f" (p {skill.p:.2f})",
                fontsize=8.5,
            )
            axes.set_xlabel("predicted gain over Empty, points (held out)")
            if not place:
                axes.set_ylabel("observed gain, points (validation)")
        verdict = "better than chance" if item.forecast.better else "not shown better than chance"
        fig.text(0.08, 0.945, f"{item.about}: {verdict}", fontsize=9, weight="bold")
        return encoded(fig, fmt)


_MARKERS = "os^Dv"


def _scatter(axes: Any, predicted: Numbers, gain: Numbers, targets: pd.Series) -> None:
    shown = np.concatenate([predicted[~np.isnan(predicted)], gain])
    low, high = float(shown.min()), float(shown.max())
    axes.plot([low, high], [low, high], color=QUIET, linewidth=0.8)
    for place, target in enumerate(sorted(targets.unique())):
        rows = (targets == target).to_numpy()
        axes.scatter(
            predicted[rows],
            gain[rows],
            s=16,
            marker=_MARKERS[place % len(_MARKERS)],
            color=COLOURS[place % len(COLOURS)],
            alpha=0.75,
            linewidth=0,
            label=str(target),
        )
    axes.legend(fontsize=7, loc="best")
    axes.grid(color="#EEEEEE")
    axes.set_axisbelow(True)


def forecast_section(folder: Path, table: Callable[[], pd.DataFrame]) -> str:
    """The report's section as HTML; empty where no features were worked out for the folder.

    Args:
        folder: a sweep's folder.
        table: gives its :func:`analysis.features.observations`; called only if there are features.
    """
    if stored_features(folder) is None:
        return ""
    parts = [_block(item) for item in forecasts(table())]
    if not parts:
        return ""
    return (
        '<section id="prediction">\n<h2>What predicts the gain</h2>\n<p>Two models of the gain'
        " over Empty on validation, judged on sources and tasks they had not seen.</p>\n"
        + "\n".join(parts)
        + "\n</section>\n"
    )


def _block(item: Forecasts) -> str:
    parts = [f"<h3>{escape(item.about)}</h3>", f"<p>{escape(item.forecast.sentence())}</p>"]
    parts.append(_skill_table(item.forecast.skills))
    image = forecast_figure(item)
    if image is not None:
        uri = f"data:image/svg+xml;base64,{base64.b64encode(image).decode()}"
        parts.append(
            f'<figure><img src="{uri}" alt="Held-out prediction against observed gain.">'
            "<figcaption>Each point: one source set, target and task, mean over cells. Grey:"
            " prediction equals observation.</figcaption></figure>"
        )
    names = ", ".join(FEATURES[name].title for name in item.forecast.names)
    return "\n".join([*parts, f"<p><small>Features: {escape(names) or 'none'}.</small></p>"])


def _skill_table(skills: Sequence[Skill]) -> str:
    heads = (
        *("left out", "model", "R²", "ρ", "ρ within target and task", "p"),
        *("regret", "at random", "by source score"),
    )
    lines = ["".join(f"<th>{head}</th>" for head in heads)]
    for item in skills:
        lost = (item.regret, item.random_regret, item.source_regret)
        cells = [item.grouping, item.model, *map(_number, (item.r2, item.spearman, item.within))]
        cells += [_number(item.p, 3), *(_number(100 * value, 1) for value in lost)]
        lines.append("".join(f"<td>{cell}</td>" for cell in cells))
    rows = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table>\n{rows}\n</table></div>'


def _number(value: float, digits: int = 2) -> str:
    return DASH if math.isnan(value) else f"{value:.{digits}f}"
