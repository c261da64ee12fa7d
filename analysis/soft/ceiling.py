"""Row Direct as a ceiling: which share of its gap to Empty the transferred prompts recover."""

import pandas as pd

from analysis.contrasts.selection import Choices
from analysis.present.grid import percent, points
from analysis.present.words import ALL_TASKS, ROW_NAMES
from analysis.soft.tables import LINE, summary, target_rows, tasks
from trainables.core.frontier import LEAST_GAP


def gap_table(frame: pd.DataFrame, target: str, choices: Choices) -> pd.DataFrame:
    """Share of the gap recovered by Single, Baseline and Ours, in percent over seeds.

    Only tasks where Direct is clearly above Empty appear. The line :data:`ALL_TASKS` pools them
    (all gain over all gap): a mean of shares would be ruled by the task with the smallest gap.

    Returns:
        Columns as :func:`analysis.soft.tables.transfer_table` without ``better``; mean and sd in
        percent. Empty where no task has a gap.
    """
    rows = _with_gaps(target_rows(frame, target, choices))
    pooled = rows.groupby([*LINE, "seed"], as_index=False, sort=False).agg(
        gain=("gain_over_empty", "sum"), gap=("gap", "sum"), found=("task", "nunique")
    )
    names = rows["task"].nunique()
    pooled = pooled[(pooled["found"] == names) & (names > 1)]
    pooled = pooled.assign(
        score=pooled["gain"] / pooled["gap"],
        task=ALL_TASKS,
        metric="pooled",
        degenerate=False,
        histogram=None,
    )
    shares = rows.assign(score=rows["gap_recovered"], histogram=None)
    parts = [part[_KEPT] for part in (shares, pooled) if not part.empty]
    return summary(pd.concat(parts) if parts else shares[_KEPT], [])


def gaps(frame: pd.DataFrame, target: str) -> pd.DataFrame:
    """Direct and Empty of each task that has both.

    Returns:
        Columns task, direct, empty, gap (0 to 1, means over seeds) and clear, whether the gap is
        large enough for shares of it.
    """
    here = frame[frame["target"] == target]
    direct = here[here["direct"]].groupby("task")["score"].mean()
    empty = here[here["row"] == "empty"].groupby("task")["score"].mean()
    table = pd.DataFrame({"direct": direct, "empty": empty}).dropna()
    table["gap"] = table["direct"] - table["empty"]
    table["clear"] = table["gap"].round(9) >= LEAST_GAP
    return table.rename_axis("task").reset_index()


def gap_note(frame: pd.DataFrame, target: str) -> str:
    """Which tasks have no gap worth a share; empty where all have one."""
    small = [line for line in gaps(frame, target).to_dict("records") if not line["clear"]]
    if not small:
        return ""
    named = ", ".join(
        f"{line['task']} ({points(100 * line['gap'], signed=True)})" for line in small
    )
    least = f"{100 * LEAST_GAP:g} points"
    return f"Without a share, as Direct is not at least {least} above Empty: {named}."


def gap_finding(frame: pd.DataFrame, target: str, choices: Choices) -> str:
    """What tuning on the target itself reaches, and how much of that the transfers recover."""
    known = gaps(frame, target)
    if known.empty:
        return ""
    over = (
        f"on average over {len(known)} tasks" if len(known) > 1 else f"on {known['task'].iloc[0]}"
    )
    text = (
        f"Tuned on {target} itself with the same settings, a prompt reaches "
        f"{points(100 * known['direct'].mean())} {over} (Direct), where Empty has "
        f"{points(100 * known['empty'].mean())}."
    )
    if not known["clear"].any():
        return (
            f"{text} On no task is it at least {100 * LEAST_GAP:g} points above Empty, so there is "
            "no gap of which a transfer could recover a share: with these settings the target "
            "cannot be tuned much further either."
        )
    rows = _with_gaps(target_rows(frame, target, choices))
    parts = [
        f"{ROW_NAMES[row]} {recovered(part['gain_over_empty'].sum() / part['gap'].sum())}"
        for row in ("single", "baseline", "ours")
        if not (part := rows[rows["row"] == row]).empty
    ]
    if not parts:
        return text
    clear = int(known["clear"].sum())
    every = clear == len(tasks(frame))
    where = "" if every else f" (over {clear} of {len(tasks(frame))} tasks, where there is one)"
    return f"{text} Of the gap between them{where}, the transfer recovers: {', '.join(parts)}."


def recovered(share: float) -> str:
    """A share of the gap in words: below 0 a percentage says nothing more."""
    return "nothing (worse than Empty)" if round(100 * share) < 0 else percent(100 * share)


_KEPT = [*LINE, "seed", "task", "metric", "score", "degenerate", "histogram"]


def _with_gaps(rows: pd.DataFrame) -> pd.DataFrame:
    """Transfer rows with a share, and the gap (0 to 1) it is a share of."""
    key = ["method", "task"]
    direct = rows[rows["row"] == "direct"].groupby(key)["score"].mean().rename("direct_score")
    rows = rows.dropna(subset=["gap_recovered"]).merge(direct, on=key, how="left")
    return rows.assign(gap=rows["direct_score"] - (rows["score"] - rows["gain_over_empty"]))
