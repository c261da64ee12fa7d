"""Which positions, lengths and mixtures of a pool were chosen."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from analysis.dynamic.gains import LEARNT, tuned
from analysis.present.grid import DASH, Entry, Grid, Line, points

COLUMNS = ["target", "task", "adapt", "level", "n", "score", "parameters", "vectors_behind",
           "positions", "lengths", "pool_shares", "one_choice"]  # fmt: skip


def shares_of(values: Iterable[Any]) -> list[float] | None:
    """Mean over cells of the shares that counts [C], as JSON, stand for; None where there are none.

    Cells with another number of choices than the first one are left out.
    """
    known = [np.array(json.loads(value), dtype=float) for value in values if isinstance(value, str)]
    known = [counts for counts in known if len(counts) == len(known[0]) and counts.sum() > 0]
    if not known:
        return None
    found: list[float] = np.mean([counts / counts.sum() for counts in known], axis=0).tolist()
    return found


def choices(frame: pd.DataFrame) -> pd.DataFrame:
    """Per model, task, what is decided and its level, over seeds and tries.

    Returns:
        Columns target, task, adapt, level, n (cells), score (points), parameters, vectors_behind,
        positions, lengths and pool_shares (lists of shares; None where not decided), and
        one_choice: the share of cells that chose one position and length for all test texts.
    """
    rows = tuned(frame)
    rows = rows[rows["level"].isin(LEARNT)]
    lines = []
    for (target, task, adapt, level), part in rows.groupby(
        ["target", "task", "adapt", "level"], sort=True
    ):
        decided = part[part["positions"].notna() | part["lengths"].notna()]
        lines.append(
            {
                "target": target,
                "task": task,
                "adapt": adapt,
                "level": level,
                "n": len(part),
                "score": 100 * float(part["score"].mean()),
                "parameters": float(part["parameters"].mean()),
                "vectors_behind": float(part["vectors_behind"].mean()),
                **{name: shares_of(part[name]) for name in ("positions", "lengths", "pool_shares")},
                "one_choice": float(decided.apply(_one, axis=1).mean()) if len(decided) else np.nan,
            }
        )
    return pd.DataFrame(lines, columns=COLUMNS)


def _one(row: pd.Series) -> bool:
    told = [
        json.loads(row[name]) for name in ("positions", "lengths") if isinstance(row[name], str)
    ]
    return all(sum(count > 0 for count in counts) == 1 for counts in told)


def _shown(shares: Any) -> Entry:
    if not isinstance(shares, list):
        return Entry(DASH)
    return Entry(" ".join(f"{100 * share:.0f}" for share in shares))


def choice_grid(table: pd.DataFrame) -> Grid:
    lines = [
        Line(
            f"{row['target']}",
            f"{row['target']}, {row['task']}",
            f"{row['adapt']}, {row['level']}",
            (
                Entry(points(row["score"])),
                Entry(f"{row['parameters']:,.0f}"),
                Entry(f"{row['vectors_behind']:.1f}"),
                *(_shown(row[name]) for name in ("positions", "lengths", "pool_shares")),
                Entry(DASH if np.isnan(row["one_choice"]) else f"{100 * row['one_choice']:.0f}"),
                Entry(str(row["n"])),
            ),
        )
        for row in table.to_dict("records")
    ]
    columns = (
        ("Score", "points"),
        ("Parameters", "mean"),
        ("Behind", "vectors"),
        ("Positions 0 … m", "% of texts"),
        ("Lengths 1 … m", "% of texts"),
        ("Pool", "% each"),
        ("One choice", "% of prompts"),
        ("n", "prompts"),
    )
    return Grid(("Model, task", "Decided"), columns, tuple(lines), (3, 4, 5))
