"""Decisions that were carried to another model, beside vectors alone and the target's own."""

from typing import Any

import numpy as np
import pandas as pd

from analysis.dynamic.choices import shares_of
from analysis.dynamic.gains import LEARNT, METHOD, tuned
from analysis.present.grid import DASH, Entry, Grid, Line, change, points
from analysis.stats.bootstrap import crossed_interval

WAY, VECTORS = "decisions", "closed_form"
"""The way that carries decisions, and the one that carries the same vectors without."""
PARTS = ("position", "length", "representation")
_SAME = ["sources", "target", "task", "seed", "tuning"]
COLUMNS = ["target", "adapt", "level", "n", "score", "vectors_score", "difference", "low", "high",
           "own_score", "agreement", "distance"]  # fmt: skip


def carried(frame: pd.DataFrame) -> pd.DataFrame:
    """Per target, what is decided and its level.

    Returns:
        Columns target, adapt, level, n (pairs of cells), score (with decisions) and vectors_score
        (without) in points, difference with low and high, own_score (of prompts tuned on the
        target), agreement (share of texts about which heads that have not seen them decide as the
        source, mean over what is decided), distance (total variation between how often positions
        and lengths are chosen on test texts here and by the target's own prompts, 0 to 1).
    """
    moved = frame[(frame["method"] == METHOD) & (frame["kind"] == "transfer")].copy()
    moved = moved[moved["level"].isin(LEARNT)]
    # One tuned prompt, whatever way it goes.
    moved["tuning"] = moved["inputs"]
    own = tuned(frame)
    lines = []
    for (target, adapt, level), part in moved.groupby(["target", "adapt", "level"], sort=True):
        sides = [part[part["solver"] == way] for way in (WAY, VECTORS)]
        both = sides[0].merge(sides[1], on=_SAME, suffixes=("", "_vectors"))
        if both.empty:
            continue
        both["difference"] = 100 * (both["score"] - both["score_vectors"]).astype("float64")
        units = [unit for unit in ("task", "seed") if both[unit].nunique() > 1]
        effect = crossed_interval(both, "difference", units, replicates=0)
        mine = own[(own["target"] == target) & (own["adapt"] == adapt) & (own["level"] == level)]
        agreed = [float(both[f"agreement_{name}"].mean()) for name in PARTS]
        known = [value for value in agreed if value == value]
        lines.append(
            {
                "target": target,
                "adapt": adapt,
                "level": level,
                "n": len(both),
                "score": 100 * float(both["score"].mean()),
                "vectors_score": 100 * float(both["score_vectors"].mean()),
                "difference": effect.mean,
                "low": effect.low,
                "high": effect.high,
                "own_score": 100 * float(mine["score"].mean()),
                "agreement": float(np.mean(known)) if known else np.nan,
                "distance": _distance(both, mine),
            }
        )
    return pd.DataFrame(lines, columns=COLUMNS)


def _distance(one: pd.DataFrame, other: pd.DataFrame) -> float:
    """Mean over tasks, positions and lengths of the total variation between two sides' shares."""
    found = []
    for task in sorted(set(one["task"]) & set(other["task"])):
        for name in ("positions", "lengths"):
            sides = [shares_of(side.loc[side["task"] == task, name]) for side in (one, other)]
            if sides[0] and sides[1] and len(sides[0]) == len(sides[1]):
                found.append(0.5 * float(np.abs(np.subtract(sides[0], sides[1])).sum()))
    return float(np.mean(found)) if found else np.nan


def carried_grid(table: pd.DataFrame) -> Grid:
    lines = [_line(row) for row in table.to_dict("records")]
    columns = (
        ("With decisions", "points"),
        ("Vectors alone", "points"),
        ("Difference", "points"),
        ("Target's own", "points"),
        ("As the source", "share of texts"),
        ("From its own", "distance"),
        ("n", "pairs"),
    )
    return Grid(("Target", "Decided"), columns, tuple(lines))


def _line(row: dict[Any, Any]) -> Line:
    def number(value: float) -> Entry:
        return Entry(DASH if value != value else f"{value:.2f}")

    return Line(
        "",
        str(row["target"]),
        f"{row['adapt']}, {row['level']}",
        (
            Entry(points(row["score"])),
            Entry(points(row["vectors_score"])),
            change(row["difference"], row["low"], row["high"]),
            Entry(points(row["own_score"])),
            number(row["agreement"]),
            number(row["distance"]),
            Entry(str(row["n"])),
        ),
    )
