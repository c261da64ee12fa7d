"""The points of a search, as the report's section: the best ones, their course, what decided."""

import json
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.dependence.tables import noise_grid, noise_sentence
from analysis.present.drawing import COLOURS, QUIET, New
from analysis.present.exhibits import Figure, Part, Section, Table
from analysis.present.grid import DASH, plain_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawn

SUMMARY = "points.json"
_SHOWN = 10


def load_points(folder: Path) -> dict[str, Any] | None:
    """What the sweep wrote of its search's points; None where it is no search."""
    try:
        search = json.loads((folder / SUMMARY).read_bytes())
    except (OSError, ValueError):
        return None
    return search if isinstance(search, dict) else None


def points_frame(search: Mapping[str, Any]) -> pd.DataFrame:
    """One row a point: number, state, method, sources, each parameter and each objective."""
    return pd.DataFrame(
        [
            {
                "point": row["point"],
                "state": row["state"],
                "warm": row["warm"],
                "feasible": all(value <= 0 for value in row["constraints"].values()),
                "method": row["method"],
                "sources": "+".join(row["sources"]),
                **row["parameters"],
                **row["values"],
            }
            for row in search["points"]
        ]
    )


def best_so_far(frame: pd.DataFrame, name: str, direction: str) -> pd.DataFrame:
    """Per complete point in the order of the search: its value and the best one up to it."""
    done = frame[(frame["state"] == "complete") & frame["feasible"]].sort_values("point")
    values = pd.to_numeric(done[name])
    best = values.cummax() if direction == "maximize" else values.cummin()
    return pd.DataFrame({"point": done["point"], "value": values, "best": best})


def search_section(folder: Path) -> Section | None:
    """The section; None where the sweep is no search or has no complete point."""
    search = load_points(folder)
    frame = pd.DataFrame() if search is None else points_frame(search)
    if search is None or frame.empty or not (frame["state"] == "complete").any():
        return None
    name, direction = search["objectives"][0]
    course = Figure(
        "search_course",
        "Value of each point and the best so far",
        "The course of the search: a line that is still rising at its end asks for more points.",
        partial(_draw_course, course=best_so_far(frame, name, direction), name=name),
    )
    table = _best_points(frame, search)
    parts = [
        Part(texts=[_summary(search, frame, name)]),
        Part(table.title, exhibits=[table]),
        Part(exhibits=[course]),
        _importance(search, name),
    ]
    return Section("search", "The search", parts)


def _summary(search: Mapping[str, Any], frame: pd.DataFrame, name: str) -> str:
    counts = search["counts"]
    points = ", ".join(
        f"{counts[state]} {state}" for state in ("complete", "pruned", "failed") if counts[state]
    )
    best = frame[frame["point"].isin(search["best"])]
    value = f"{best.iloc[0][name]:.3f}" if len(best) else DASH
    return (
        f"{points} points, chosen by {search['sampler']} with pruner {search['pruner']}. A point is"
        " judged by the mean over its tasks, targets and seeds of what it reaches on validation"
        f" ({name}); the best has {value}. It was chosen among {counts['complete']}, so that its"
        " own validation score promises too much: its test scores are in the tables below."
    )


def _best_points(frame: pd.DataFrame, search: Mapping[str, Any]) -> Table:
    goals = [name for name, _ in search["objectives"]]
    rows = frame[(frame["state"] == "complete") & frame["feasible"]]
    ascending = [way == "minimize" for _, way in search["objectives"]]
    rows = rows.sort_values(goals, ascending=ascending).head(_SHOWN)
    names = [name for name in search["parameters"] if name in rows and rows[name].notna().any()]
    names = [name for name in names if name != "method" and not name.endswith("sources")]
    heads = [*goals, "Method", "Sources", *map(_title, names)]
    lines = [
        (
            str(row["point"]),
            [
                *(f"{row[goal]:.3f}" for goal in goals),
                row["method"],
                row["sources"],
                *(_shown(row[name]) for name in names),
            ],
        )
        for row in rows.to_dict("records")
    ]
    grid = plain_grid("Point", heads, lines, words=(len(goals), len(goals) + 1))
    return Table("search_points", f"The {len(lines)} best points", grid, rows)


def _title(name: str) -> str:
    method, _, setting = name.rpartition(".")
    return f"{'λ' if setting == 'lambda' else setting} ({method})" if method else setting


def _shown(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return DASH
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _draw_course(new: New, course: pd.DataFrame, name: str) -> "Drawn":
    fig = new(6.4, 2.8)
    fig.set_layout_engine("constrained")
    axes = fig.add_subplot()
    order = range(1, len(course) + 1)
    axes.scatter(order, course["value"], s=14, color=QUIET, label="a point")
    axes.step(order, course["best"], where="post", color=COLOURS[0], label="best so far")
    axes.set_xlabel("points, in the order in which they were chosen")
    axes.set_ylabel(name)
    axes.legend(loc="lower right")
    return fig


def _importance(search: Mapping[str, Any], name: str) -> Part:
    shares = search["importance"].get(name, {})
    if not shares:
        return Part()
    noise = search.get("importance_of_noise", {}).get(name, {})
    numbers = importance_frame(shares, noise)
    title = "How much each parameter decided (PED-ANOVA)"
    text = noise_sentence(numbers, str) if noise else "It was not compared with noise."
    about = (
        "The points were chosen by the search and not drawn evenly: these shares describe what told"
        " its better points from the others, not the landscape. A parameter of one method counts"
        " only among that method's points. Noise: the same points with their values exchanged."
    )
    table = Table("search_importance", title, noise_grid(numbers, str), numbers)
    return Part(title, [text, about], exhibits=[table])


def importance_frame(
    shares: Mapping[str, float], noise: Mapping[str, Mapping[str, float | None]]
) -> pd.DataFrame:
    """Columns setting, importance (descending), noise and bound; NaN where noise is not known.

    Args:
        shares: importance by parameter.
        noise: by parameter ``mean`` and ``bound``, as :mod:`sweep.search.importance` gives them.
    """
    lines = [
        (key, share, *(_number(noise.get(key, {}).get(what)) for what in ("mean", "bound")))
        for key, share in sorted(shares.items(), key=lambda item: -item[1])
    ]
    return pd.DataFrame(lines, columns=["setting", "importance", "noise", "bound"])


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
