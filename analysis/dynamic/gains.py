"""Dynamic prompts against their controls, each side the best of as many tries by validation.

The controls are the best static position, and a static prompt of as many parameters as vectors and
heads have together. Tries of a side are the cells of one model, task and seed that differ in
nothing but their settings; the side with more of them has its first ones alone. Test scores choose
nothing.
"""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from analysis.present.grid import Entry, Grid, Line, change, points, span
from analysis.stats.bootstrap import crossed_interval

METHOD = "dynamic"
LEARNT = ("task", "instance")
"""Levels at which something is decided."""
CONTROLS = {"fixed": "best static position", "parameters": "as many parameters"}
"""Controls by their level."""
_PLACE = ["row", "target", "task", "seed", "shots"]
_COLUMNS = ["regime", "adapt", "level", "control", "tries", "n", "score", "control_score",
            "difference", "low", "high", "note"]  # fmt: skip


def tuned(frame: pd.DataFrame) -> pd.DataFrame:
    """Prompts of the method on the model they were tuned on, a few early steps' left out."""
    mine = (frame["method"] == METHOD) & (frame["kind"] == "source")
    rows = frame[mine & (frame["row"] != "embedding") & frame["score"].notna()].copy()
    rows["shots"] = rows["shots"].astype("float64").fillna(0)
    order = rows["behind"].astype("float64").fillna(0)
    return rows.assign(order=order).sort_values(["order", "settings"], kind="stable")


def gains(frame: pd.DataFrame) -> pd.DataFrame:
    """Per regime, what is decided and its level, the difference to each control.

    Returns:
        Columns regime (row, and the shots where there are any), adapt, level, control, tries (of
        each side), n (pairs: models, tasks and seeds), score and control_score (points),
        difference with low and high (95 % over models, tasks and seeds), note.
    """
    rows = tuned(frame)
    lines = []
    for (row, shots), part in rows.groupby(["row", "shots"], sort=False):
        regime = f"{row}, {float(str(shots)):.0f} a class" if shots else str(row)
        for adapt, level, mine in _variants(part):
            for control in CONTROLS:
                theirs = part[part["level"] == control]
                if control == "parameters":
                    theirs = theirs[theirs["adapt"] == adapt]
                line = compared(mine, theirs)
                if line:
                    named = {"regime": regime, "adapt": adapt, "level": level, "control": control}
                    lines.append({**named, **line})
    return pd.DataFrame(lines, columns=_COLUMNS)


def _variants(rows: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    learnt = rows[rows["level"].isin(LEARNT)]
    for (adapt, level), part in learnt.groupby(["adapt", "level"], sort=True):
        yield str(adapt), str(level), part


def compared(mine: pd.DataFrame, theirs: pd.DataFrame) -> dict[str, Any]:
    """The difference of two sides, each at its best of equally many tries; empty without pairs."""
    sides = [side.groupby(_PLACE, sort=False) for side in (mine, theirs)]
    sizes = [side.size() for side in sides]
    both = sizes[0].index.intersection(sizes[1].index)
    if both.empty:
        return {}
    tries = int(min(size[both].min() for size in sizes))
    best = [chosen(side, tries).loc[both] for side in (mine, theirs)]
    table = both.to_frame(index=False)
    table["difference"] = 100 * (best[0].to_numpy() - best[1].to_numpy())
    units = [unit for unit in ("target", "task", "seed") if table[unit].nunique() > 1]
    effect = crossed_interval(table, "difference", units, replicates=0)
    return {
        "tries": tries,
        "n": len(table),
        "score": 100 * float(best[0].mean()),
        "control_score": 100 * float(best[1].mean()),
        "difference": effect.mean,
        "low": effect.low,
        "high": effect.high,
        "note": effect.note,
    }


def chosen(rows: pd.DataFrame, tries: int) -> pd.Series:
    """Test score of the best of the first tries by validation, by model, task and seed."""
    first = rows[rows.groupby(_PLACE, sort=False).cumcount() < tries]
    best = first.sort_values("validation_score", ascending=False, kind="stable")
    score: pd.Series = best.groupby(_PLACE, sort=False)["score"].first()
    return score.astype("float64")


def gain_grid(table: pd.DataFrame) -> Grid:
    several = table["regime"].nunique() > 1
    lines = [
        Line(
            str(row["regime"]),
            f"{row['adapt']}, {row['level']}" + (f" ({row['regime']})" if several else ""),
            CONTROLS[str(row["control"])],
            (
                Entry(points(row["score"])),
                Entry(points(row["control_score"])),
                change(row["difference"], row["low"], row["high"]),
                Entry(str(row["tries"])),
                Entry(str(row["n"])),
            ),
        )
        for row in table.to_dict("records")
    ]
    columns = (
        ("Dynamic", "points"),
        ("Control", "points"),
        ("Difference", "points"),
        ("Tries", "each side"),
        ("n", "pairs"),
    )
    return Grid(("Decided", "Control"), columns, tuple(lines))


def gain_sentence(table: pd.DataFrame) -> str:
    """Of position by text, or the first variant there is, the difference to each control."""
    wanted = (table["adapt"] == "position") & (table["level"] == "instance")
    rows = table[wanted] if wanted.any() else table.head(len(CONTROLS))
    if rows.empty:
        return ""
    first = rows.iloc[0]
    rows = rows[rows["regime"] == first["regime"]]
    said = [
        f"{points(row['difference'], signed=True)} points {span(row['low'], row['high'])} over"
        f" the control {CONTROLS[row['control']]} ({row['n']} pairs, {row['tries']}"
        f" {'try' if row['tries'] == 1 else 'tries'} each)"
        for row in rows.to_dict("records")
    ]
    clear = all(row["low"] > 0 for row in rows.to_dict("records"))
    end = "" if clear else " An interval that holds 0 shows no gain."
    return f"With {first['adapt']} decided by {first['level']}: {' and '.join(said)}.{end}"
