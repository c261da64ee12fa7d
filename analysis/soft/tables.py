"""The tables of soft prompts: numbers as tidy DataFrames, and grids of them as people read them.

Scores, standard deviations and differences are in points (100 times the metric). Standard
deviations are sample deviations over seeds (ddof=1), NaN where there is one seed.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.contrasts.effects import paired
from analysis.contrasts.examples import Examples
from analysis.contrasts.selection import Choices, at_choices, joint_at_choices
from analysis.data.results import source_columns, weight_rank
from analysis.present.grid import FLAG, Entry, Grid, Row, grid_of, percent, points, span
from analysis.present.words import ALL_TASKS, ROW_NAMES, row_label, sources_name, weight_name
from analysis.stats.intervals import t_interval
from trainables.core.settings import OWN

REFERENCES = ("empty", "manual", "constant")

LINE = ["group", "sources", "row", "weight_label"]
"""What makes a line of a table."""


def targets(frame: pd.DataFrame) -> list[str]:
    """Aliases of the models that prompts were carried over to, sorted."""
    return sorted(frame.loc[frame["kind"] == "transfer", "target"].unique())


def tasks(frame: pd.DataFrame) -> list[str]:
    return sorted(frame["task"].unique())


def source_models(frame: pd.DataFrame) -> list[str]:
    """Aliases of every model a prompt was tuned on to be carried over, sorted.

    A target that was tuned for its ceiling alone (row Direct), or read on its own, is none.
    """
    columns = source_columns(frame)
    frame = frame[~frame["direct"] & (frame["row"] != OWN)]
    return sorted({name for column in columns for name in frame[column].dropna().unique()})


def metrics(frame: pd.DataFrame) -> dict[str, str]:
    names = frame.dropna(subset=["metric"]).groupby("task")["metric"].unique()
    return {str(task): "/".join(sorted(kinds)) for task, kinds in names.items()}


def transfer_table(frame: pd.DataFrame, target: str, choices: Choices) -> pd.DataFrame:
    """Rows Empty to Ours on one target, one line per row and task.

    Direct is the independent tuning on the target itself. Ours stands at the weight chosen for its
    source set. A line per row with the task :data:`ALL_TASKS` averages over the tasks seed by seed,
    where the row has them all.

    Returns:
        Columns group (``references``, or the models tuned on), sources, row, weight_label, task,
        metric, mean, sd (points), n (seeds), degenerate (share of seeds that predict one class),
        flagged (more than half of them do), better (of Baseline and Ours) and hint.
    """
    return mark_better(summary(target_rows(frame, target, choices), tasks(frame)))


def target_rows(frame: pd.DataFrame, target: str, choices: Choices) -> pd.DataFrame:
    """The cells behind :func:`transfer_table`: those of ``frame``, with their group.

    Direct is called so in the column ``row``.
    """
    here = frame[frame["target"] == target]
    parts = [
        here[here["row"].isin(REFERENCES)],
        here[here["direct"]].assign(row="direct"),
        here[here["row"].isin(("single", "baseline"))],
        at_choices(here, choices),
    ]
    rows = pd.concat([part for part in parts if not part.empty] or [here[:0]])
    return rows.assign(group=rows["sources"].where(rows["kind"] != "reference", "references"))


def source_table(frame: pd.DataFrame, choices: Choices) -> pd.DataFrame:
    """What prompts reach on the models they were tuned on.

    Per source model the references, Independent (tuned on it alone) and one Joint row per source
    set, at the weight chosen for that set on the transferred prompts; with several targets, at
    each weight chosen for one of them.

    Returns:
        Columns as :func:`transfer_table`, with the source model as group.
    """
    models = source_models(frame)
    here = frame[frame["target"].isin(models)]
    parts = [here[here["row"].isin((*REFERENCES, "independent"))], joint_at_choices(here, choices)]
    rows = pd.concat(parts)
    return summary(rows.assign(group=rows["target"]), tasks(frame)).assign(better=False)


def paired_differences(frame: pd.DataFrame, target: str, choices: Choices) -> pd.DataFrame:
    """Ours minus Baseline of the same source set, task and seed, one line per seed.

    Returns:
        As :func:`analysis.contrasts.effects.paired`.
    """
    here = frame[frame["target"] == target]
    ours = at_choices(here, choices)
    ours = ours.assign(metric=ours["metric"].fillna(""))
    return paired(ours, here[here["row"] == "baseline"])


def difference_table(pairs: pd.DataFrame, examples: Examples | None = None) -> pd.DataFrame:
    """Mean paired difference per source set and task with its interval.

    The interval is over seeds and, where predictions are kept, over test examples.

    Args:
        pairs: of :func:`paired_differences`.

    Returns:
        Columns sources, weight_label, task, metric, mean, low, high (points; the ends NaN where
        n < 2), n and direction (1 or -1 where the interval excludes 0). The task
        :data:`ALL_TASKS` holds the difference of the means over all tasks.
    """
    key = ["sources", "weight_label"]
    count = pairs["task"].nunique()
    whole = pairs.groupby([*key, "seed"])["task"].transform("nunique") == count
    over = pairs[whole].assign(where=ALL_TASKS, unit="mean")
    rows = pd.concat([pairs.assign(where=pairs["task"], unit=pairs["metric"]), over])
    lines = []
    for (sources, label, task, metric), part in rows.groupby([*key, "where", "unit"]):
        error = examples.error(part) if examples else 0.0
        values = part["difference"]
        if task == ALL_TASKS:
            values = part.groupby("seed")["difference"].mean()
        interval = t_interval(values, examples=error)
        lines.append(
            {
                "sources": sources,
                "weight_label": label,
                "task": task,
                "metric": metric,
                "mean": interval.mean,
                "low": interval.low,
                "high": interval.high,
                "n": interval.n,
                "direction": interval.direction,
            }
        )
    columns = [*key, "task", "metric", "mean", "low", "high", "n", "direction"]
    table = pd.DataFrame(lines, columns=columns)
    return table.sort_values([*key, "task", "metric"], kind="stable", ignore_index=True)


def averaged_joint(table: pd.DataFrame, frame: pd.DataFrame, choices: Choices) -> pd.DataFrame:
    """The source table with one Joint row per model: the mean over its source sets.

    The sets are averaged seed by seed and then summarised over seeds like any other row.

    Args:
        table: of :func:`source_table`.
        frame: table it was made from.
        choices: of :func:`analysis.contrasts.selection.choose`.
    """
    joint = joint_at_choices(frame, choices)
    by = ["target", "task", "metric", "seed"]
    mean = joint.groupby(by, as_index=False).agg(
        score=("score", "mean"), degenerate=("degenerate", "mean")
    )
    mean = mean.assign(
        group=mean["target"], row="joint", sources="", weight_label="", histogram=None
    )
    parts = [table[table["row"] != "joint"], summary(mean, tasks(frame)).assign(better=False)]
    filled = [part for part in parts if not part.empty]
    if not filled:
        return table
    return pd.concat(filled).sort_values("group", kind="stable", ignore_index=True)


def summary(rows: pd.DataFrame, wanted: list[str]) -> pd.DataFrame:
    """Mean, sd and n per line and task, in the order of the rows within their group.

    Args:
        rows: cells with their group, score (0 to 1) and the columns of the results.
        wanted: tasks that the line over all tasks (:data:`ALL_TASKS`) needs.
    """
    rows = rows.dropna(subset=["score"])
    by = [*LINE, "task", "metric"]
    columns = [*by, "mean", "sd", "n", "degenerate", "flagged", "hint"]
    if rows.empty:
        return pd.DataFrame(columns=columns)
    per_task = rows.assign(metric=rows["metric"].fillna(""), points=100 * rows["score"])
    per_task["seed"] = rows["seed"].astype("float64").fillna(-1)
    if len(wanted) > 1:
        mean = _over_tasks(per_task, [*LINE, "seed"], len(wanted), "points")
        per_task = pd.concat(
            [per_task, mean.assign(task=ALL_TASKS, metric="mean", degenerate=False)],
            ignore_index=True,
        )
    table = over_seeds(per_task, by)
    # A constant predictor says one class by construction; a flag on it would say nothing.
    table["flagged"] = (table["degenerate"] > 0.5) & (table["row"] != "constant")
    ranks = pd.DataFrame(
        {
            "references": table["group"] != "references",
            "carried": table["row"] != "direct",
            "size": table["group"].str.count(r"\+"),
            "group": table["group"],
            "row": table["row"].map({name: rank for rank, name in enumerate(ROW_NAMES)}),
            "sources": table["sources"],
            "weight": table["weight_label"].map(weight_rank),
            "all": table["task"] == ALL_TASKS,
            "task": table["task"],
        }
    )
    order = ranks.sort_values(list(ranks.columns), kind="stable").index
    return table.loc[order, columns].reset_index(drop=True)


def over_seeds(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Mean, sd, n, share of degenerate seeds and hint of every group, in the order of the rows.

    Args:
        rows: scores in points, one a seed, with the column degenerate; the hint also says what was
            predicted where there is a column ``histogram``.
        by: columns that make a group.
    """
    groups = rows.groupby(by, dropna=False, sort=False)
    table = groups.agg(
        mean=("points", "mean"),
        sd=("points", "std"),
        n=("points", "count"),
        degenerate=("degenerate", "mean"),
    )
    table["hint"] = _hints(rows, groups.ngroup().to_numpy(), len(table))
    return table.reset_index()


def _over_tasks(rows: pd.DataFrame, by: list[str], wanted: int, value: str) -> pd.DataFrame:
    """Mean of ``value`` over tasks, for the groups that have all ``wanted`` tasks."""
    mean = rows.groupby(by, as_index=False, sort=False).agg(
        **{value: (value, "mean"), "tasks": ("task", "nunique")}
    )
    return mean[mean["tasks"] == wanted].drop(columns="tasks")


_MOST_HISTOGRAMS = 600
"""Entries of a table up to which each says what was predicted: thousands would be megabytes."""


def _hints(rows: pd.DataFrame, numbers: np.ndarray, count: int) -> list[str]:
    """Per group every seed's score and what it predicted, for the curious."""
    hints: list[list[str]] = [[] for _ in range(count)]
    seeds = rows["seed"].astype("float64").fillna(-1)
    histograms = rows["histogram"] if "histogram" in rows else [None] * len(rows)
    for number, seed, score, histogram in zip(
        numbers, seeds, rows["points"], histograms, strict=True
    ):
        name = f"seed {seed:.0f}: " if seed >= 0 else ""
        known = count <= _MOST_HISTOGRAMS and isinstance(histogram, str)
        counts = f" (predicted classes {histogram})" if known else ""
        if number >= 0:  # not of a group
            hints[number].append(f"{name}{score:.1f}{counts}")
    return ["; ".join(lines) for lines in hints]


def mark_better(table: pd.DataFrame) -> pd.DataFrame:
    """Flag the better of Baseline and Ours per source set and task, as the table shows them.

    Equal to the decimal that is printed is equal: neither is flagged.
    """
    pair = table[table["row"].isin(("baseline", "ours"))].copy()
    key = ["group", "task"]
    pair["shown"] = pair["mean"].astype("float64").round(1)
    groups = pair.groupby(key)["shown"]
    two = groups.transform("count") == 2
    best = pair["shown"] == groups.transform("max")
    differ = groups.transform("max") > groups.transform("min")
    table = table.assign(better=False)
    table.loc[pair.index[two & best & differ], "better"] = True
    return table


def score_grid(
    table: pd.DataFrame, names: list[str], metrics: Mapping[str, str], head: str = "Tuned on"
) -> Grid:
    """Mean ± sd per row and task, with n.

    Args:
        table: of :func:`transfer_table` or :func:`source_table`.
        names: tasks in the order of the columns.
        metrics: metric name by task.
    """
    columns = _columns(names, metrics, ("mean", "over tasks"))
    return grid_of(table, (head, "Row"), LINE, "task", columns, _heading, _score_entry)


def calibration_grid(table: pd.DataFrame, names: list[str], unit: str) -> Grid:
    """Mean ± sd per row before and after each calibration, with n.

    Args:
        table: of :func:`analysis.soft.calibrated.calibration_table`.
        names: its columns (tasks, as the table has it), in order.
        unit: what the means run over.
    """
    columns = {name: (name, unit) for name in names}
    return grid_of(table, ("Tuned on", "Row"), LINE, "task", columns, _heading, _score_entry)


def share_grid(table: pd.DataFrame, names: list[str], metrics: Mapping[str, str]) -> Grid:
    """Share of the gap between Empty and Direct that is recovered, in percent, with n.

    Args:
        table: of :func:`analysis.soft.ceiling.gap_table`.
        names: tasks in the order of the columns.
        metrics: metric name by task.
    """

    def entry(line: Row) -> Entry:
        return Entry(f"{percent(line['mean'])} ± {percent(line['sd'])}", hint=line["hint"])

    columns = _columns(names, metrics, ("pooled", "over these tasks"))
    return grid_of(table, ("Tuned on", "Row"), LINE, "task", columns, _heading, entry)


def difference_grid(table: pd.DataFrame, names: list[str], metrics: Mapping[str, str]) -> Grid:
    """Paired difference Ours − Baseline with its interval per source set and task, with n.

    Args:
        table: of :func:`difference_table`.
        names: tasks in the order of the columns.
        metrics: metric name by task.
    """

    def heading(line: Row) -> tuple[str, str, str]:
        return "", sources_name(line["sources"]), weight_name(line["weight_label"])

    def entry(line: Row) -> Entry:
        text = points(line["mean"], signed=True)
        return Entry(text, strong=bool(line["direction"]), note=span(line["low"], line["high"]))

    keys, columns = ["sources", "weight_label"], _columns(names, metrics, ("mean", "over tasks"))
    return grid_of(table, ("Tuned on", "Ours at"), keys, "task", columns, heading, entry)


def _columns(
    names: list[str], metrics: Mapping[str, str], mean: tuple[str, str]
) -> dict[str, tuple[str, str]]:
    """Tasks with their metrics and, of several, the column over all of them."""
    columns = {name: (name, metrics.get(name, "")) for name in names}
    return columns | {ALL_TASKS: mean} if len(names) > 1 else columns


def _heading(line: Row) -> tuple[str, str, str]:
    row, group = line["row"], line["group"]
    block = str(row if row in ("single", "direct") else group)
    label = row_label(row, line["weight_label"])
    if row == "joint" and line["sources"]:
        partners = [name for name in line["sources"].split("+") if name != group]
        label += f" with {' + '.join(partners)}"
    return block, "no tuned prompt" if group == "references" else sources_name(group), label


def _score_entry(line: Row) -> Entry:
    text = f"{points(line['mean'])} ± {points(line['sd'])}"
    if line["row"] in REFERENCES:
        text = points(line["mean"])
    return Entry(text + (FLAG if line["flagged"] else ""), bool(line["better"]), line["hint"])
