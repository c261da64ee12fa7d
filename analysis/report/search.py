"""The points of a search, as the report's section: the best ones, their course, what decided."""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.dependence.importance import noise_sentence
from analysis.soft.figures import drawing, encoded
from analysis.stats.importance import beyond_noise

SUMMARY = "points.json"
_SHOWN = 10
_STARTUP = 10


def load_points(folder: Path) -> dict[str, Any] | None:
    """What the sweep wrote of its search's points; None where it is no search.

    Args:
        folder: a sweep's folder.
    """
    try:
        found = json.loads((folder / SUMMARY).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def points_frame(found: Mapping[str, Any]) -> pd.DataFrame:
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
            for row in found["points"]
        ]
    )


def best_so_far(frame: pd.DataFrame, name: str, direction: str) -> pd.DataFrame:
    """Per complete point in the order of the search: its value and the best one up to it."""
    done = frame[(frame["state"] == "complete") & frame["feasible"]].sort_values("point")
    values = pd.to_numeric(done[name])
    best = values.cummax() if direction == "maximize" else values.cummin()
    return pd.DataFrame({"point": done["point"], "value": values, "best": best})


def search_section(folder: Path) -> Markup:
    """The section; empty where the sweep is no search or has no complete point.

    Args:
        folder: a sweep's folder.

    Returns:
        A ``<section>`` with the id ``search``.
    """
    found = load_points(folder)
    if found is None:
        return Markup("")
    frame = points_frame(found)
    if frame.empty or not (frame["state"] == "complete").any():
        return Markup("")
    name, direction = found["objectives"][0]
    parts = [
        Markup('<section id="search">\n<h2>The search</h2>'),
        _said(found, frame, name),
        _table(frame, found),
        _course(best_so_far(frame, name, direction), name),
        _importance(found),
        Markup("</section>"),
    ]
    return Markup("\n").join(parts)


def _said(found: Mapping[str, Any], frame: pd.DataFrame, name: str) -> Markup:
    counts = found["counts"]
    told = ", ".join(
        f"{counts[state]} {state}" for state in ("complete", "pruned", "failed") if counts[state]
    )
    best = frame[frame["point"].isin(found["best"])]
    value = f"{best.iloc[0][name]:.3f}" if len(best) else "–"
    return Markup(
        "<p>{told} points, chosen by {sampler} with pruner {pruner}. A point is judged by the mean"
        " over its tasks, targets and seeds of what it reaches on <em>validation</em> ({name}); the"
        " best has {value}. It was chosen among {n}, so that its own validation score promises"
        " too much: its test scores are in the tables below.</p>"
    ).format(
        told=told,
        sampler=found["sampler"],
        pruner=found["pruner"],
        name=name,
        value=value,
        n=counts["complete"],
    )


def _table(frame: pd.DataFrame, found: Mapping[str, Any]) -> Markup:
    goals = [name for name, _ in found["objectives"]]
    rows = frame[(frame["state"] == "complete") & frame["feasible"]]
    ascending = [way == "minimize" for _, way in found["objectives"]]
    rows = rows.sort_values(goals, ascending=ascending).head(_SHOWN)
    names = [name for name in found["parameters"] if name in rows and rows[name].notna().any()]
    names = [name for name in names if name != "method" and not name.endswith("sources")]
    head = ["Point", *goals, "Method", "Sources", *map(_title, names)]
    body = [
        [
            row["point"],
            *(f"{row[goal]:.3f}" for goal in goals),
            row["method"],
            row["sources"],
            *(_shown(row[name]) for name in names),
        ]
        for row in rows.to_dict("records")
    ]
    return _html_table(f"The {len(body)} best points", head, body)


def _title(name: str) -> str:
    method, _, setting = name.rpartition(".")
    return f"{'λ' if setting == 'lambda' else setting} ({method})" if method else setting


def _shown(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _course(course: pd.DataFrame, name: str) -> Markup:
    with drawing() as new:
        fig = new(6.4, 2.8)
        fig.set_layout_engine("constrained")
        axes = fig.add_subplot()
        order = range(1, len(course) + 1)
        axes.scatter(order, course["value"], s=14, color="#7a8793", label="a point")
        axes.step(order, course["best"], where="post", color="#0b62a4", label="best so far")
        axes.set_xlabel("points, in the order in which they were chosen")
        axes.set_ylabel(name)
        axes.legend(frameon=False, loc="lower right")
        image = encoded(fig, "svg")
    data = base64.b64encode(image).decode()
    return Markup(
        '<figure><img alt="Value of each point and the best so far"'
        ' src="data:image/svg+xml;base64,{}"><figcaption>The course of the search: a line that is'
        " still rising at its end asks for more points.</figcaption></figure>"
    ).format(data)


def _importance(found: Mapping[str, Any]) -> Markup:
    name = found["objectives"][0][0]
    shares = found["importance"].get(name, {})
    if not shares:
        return Markup("<p>Too few points, or all alike: nothing can be said of what decided.</p>")
    noise = found.get("importance_of_noise", {}).get(name, {})
    table = importance_frame(shares, noise)
    head = ["Parameter", "Share", "By noise alone", "Noise stays below", "More than noise"]
    body = [
        [
            line["setting"],
            *(_percent(line[column]) for column in ("importance", "noise", "bound")),
            "–" if math.isnan(line["bound"]) else ("yes" if more else "no"),
        ]
        for line, more in zip(table.to_dict("records"), beyond_noise(table), strict=True)
    ]
    names = {text: text for text in table["setting"]}
    told = noise_sentence(table, names) if noise else "It was not compared with noise."
    shown = _html_table("How much each parameter decided (PED-ANOVA)", head, body)
    return shown + Markup(
        "<p>{}</p>\n<p>The points were chosen by the search and not drawn evenly: these shares"
        " describe what told its better points from the others, not the landscape. A parameter of"
        " one method counts only among that method's points. Noise: the same points with their"
        " values exchanged.</p>"
    ).format(told)


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


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.0f} %"


def _html_table(title: str, head: Sequence[str], body: Sequence[Sequence[Any]]) -> Markup:
    cells = Markup("").join(Markup("<th>{}</th>").format(text) for text in head)
    lines = Markup("\n").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(Markup("<td>{}</td>").format(value) for value in row)
        )
        for row in body
    )
    return Markup(
        '<div class="scroll"><table><caption>{}</caption><thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>"
    ).format(title, cells, lines)
