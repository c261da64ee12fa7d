"""What a start saves where a prompt is tuned on the target with labels.

The same tuning from words of the vocabulary is the control: of one seed it reads the same examples
in the same order, so that nothing but the start differs.
"""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from analysis.contrasts.effects import ROPE
from analysis.contrasts.examples import Examples
from analysis.frontier.lines import CASE, Field, Line
from analysis.frontier.runs import CONTROL, Run, control_of, run_title, runs
from analysis.frontier.shares import gain, mean_gain
from analysis.frontier.tables import ends
from analysis.present.grid import DASH, Entry, Grid, percent, points, span
from analysis.present.grid import Line as GridLine


def warm_table(field: Field, units: pd.DataFrame, examples: Examples | None = None) -> pd.DataFrame:
    """Every start with its steps, what it has over the control, and when it reaches Direct.

    Args:
        field: all lines.
        units: of ``field``, those to look at.
        examples: reads the kept predictions.

    Returns:
        One row a start and number of steps: shots (0: all), labelled (the same in words), start,
        steps, labels and work (medians), cases, n (results), score and over (over the control with
        the same steps, with ``_low`` and ``_high``), in points; then, with at most so many steps,
        direct (share of the cases with a gap that reach Direct, within half a point, means over
        seeds), direct_cases (how many there are), direct_steps, direct_labels and direct_work
        (medians over those that do, of the fewest steps). Empty where no start is of a source.
    """
    every = runs(field)
    if not any(run.aided for run in every):
        return pd.DataFrame()
    rows = []
    for run in every:
        title, pairs = run_title(run, every, field.row), run.beside(control_of(run, every))
        there = field.there(run.first, units)
        reached, cases = _reached(field, run, there)
        for step, line in run.lines.items():
            mine = line.on(there)
            over = gain(*pairs[step], there, examples) if step in pairs else None
            near = reached[reached["steps"] <= step]
            rows.append({
                "shots": run.shots, "labelled": run.labels, "start": title, "steps": step,
                "labels": line.price.labels, "work": line.price.work,
                "cases": len(mine[CASE].drop_duplicates()), "n": len(mine),
                "score": 100 * mine["score"].mean(), **ends("over", over),
                "direct": len(near) / cases if cases else float("nan"), "direct_cases": cases,
                **{f"direct_{name}": near[name].median() for name in ("steps", "labels", "work")},
            })  # fmt: skip
    return pd.DataFrame(rows)


def _reached(field: Field, run: Run, units: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Steps, labels and work at which cases first reach Direct, and how many cases there are.

    On what all numbers of steps have, so that a missing result moves no mean.
    """
    for line in run.lines.values():
        units = line.on(units)
    known = field.with_gap(units)
    parts = []
    for step, line in run.lines.items():
        rows = line.on(known).assign(
            steps=float(step),
            short=known["direct"] - ROPE / 100,
            labels=lambda rows: rows["target_labels"].astype("float64"),
            work=lambda rows: rows["target_work"].astype("float64"),
        )
        means = rows.groupby(CASE)[["steps", "labels", "work", "score", "short"]].mean()
        parts.append(means.reset_index())
    every = pd.concat(parts)
    good = every[(every["score"] - every["short"]).round(9) >= 0]
    return good.drop_duplicates(CASE), len(every.drop_duplicates(CASE))


def warm_grid(table: pd.DataFrame) -> Grid:
    """The table of :func:`warm_table` as people read it."""
    columns = (
        ("Labels", "read"), ("Work", "row equivalents"), ("Score", "points"),
        (f"Over {CONTROL}", "same steps, points"), ("At Direct", "of the cases"),
        ("Steps", "until there"), ("Labels", "until there"), ("Work", "until there"),
    )  # fmt: skip
    lines = [
        GridLine(str(row["shots"]), f"{row['start']}, {row['labelled']}", f"{row['steps']:,}", (
            Entry(_whole(row["labels"])), Entry(_whole(row["work"])),
            Entry(points(row["score"]), hint=f"{row['cases']} cases, {row['n']} results"),
            Entry(points(row["over"], signed=True), note=span(row["over_low"], row["over_high"])),
            Entry(percent(100 * row["direct"]), hint=f"of {row['direct_cases']} cases"),
            *(Entry(_whole(row[f"direct_{name}"])) for name in ("steps", "labels", "work")),
        ))
        for row in table.to_dict("records")
    ]  # fmt: skip
    return Grid(("Start", "Steps"), columns, tuple(lines))


def _whole(value: float) -> str:
    return DASH if pd.isna(value) else f"{value:,.0f}"


def warm_text(field: Field, units: pd.DataFrame, examples: Examples | None = None) -> str:
    """What the first start of a source saves, a sentence for every number of labels."""
    every = runs(field)
    lead: dict[int, Run] = {}
    for run in sorted(every, key=lambda run: (run.row != field.row, not control_of(run, every))):
        if run.aided:
            lead.setdefault(run.shots, run)
    shots = [number for number in dict.fromkeys(run.shots for run in every) if number in lead]
    return " ".join(_told(lead[number], every, field, units, examples) for number in shots)


def _told(
    run: Run, every: Sequence[Run], field: Field, units: pd.DataFrame, examples: Examples | None
) -> str:
    control = control_of(run, every)
    start = f"start {run_title(run, every, field.row)}"
    pairs = run.beside(control)
    units = field.there(run.first, units)
    ahead = mean_gain(list(pairs.values()), units, examples) if pairs else None
    if ahead is None or not ahead.n:
        return (f"What {start} saves with {run.labels} is not known: no run from start {CONTROL} "
                "stands beside it.")  # fmt: skip
    beside = f"start {CONTROL} at the same steps"
    text = f"With {run.labels}, {start} "
    by = f"{points(ahead.mean, signed=True)} points"
    if not ahead.high > ahead.low:
        return f"{text}has {by} over {beside}; without an interval that tells nothing."
    by += f" {span(ahead.low, ahead.high)}"
    if ahead.direction < 0:
        return f"{text}does harm: {by} against {beside}."
    if ahead.direction == 0:
        return f"{text}saves nothing that these results can show: {by} over {beside}."
    text += f"has {by} over {beside}; "
    steps = list(_saved(pairs, units, examples))
    if not steps:
        return f"{text}that it needs fewer steps is not shown."
    few, many = steps[-1]
    names = [f"{step:,} steps ({_whole(line.price.labels)} labels)"
             for step, line in ((few, pairs[few][0]), (many, pairs[many][1]))]  # fmt: skip
    return f"{text}{names[0]} from it do as well as {names[1]} from the other."


def _saved(
    pairs: Mapping[int, tuple[Line, Line]], units: pd.DataFrame, examples: Examples | None
) -> Iterator[tuple[int, int]]:
    """Steps from the start and more steps of the control that they do as well as, ever fewer.

    As well: the interval of the difference lies above minus half a point. Tested from many steps
    down to the first failure, which keeps the level. What the control itself does not need is not
    saved: it counts with the fewest steps that do as well as its most, and a start must be ahead
    of it at the steps named.
    """

    def as_good(line: Line, other: Line) -> bool:
        return gain(line, other, units, examples).low >= -ROPE

    marks = sorted(pairs, reverse=True)
    goal = marks[0]
    for step in marks[1:]:
        if not as_good(pairs[step][1], pairs[marks[0]][1]):
            break
        goal = step
    for step in (mark for mark in marks if mark < goal):
        if not as_good(pairs[step][0], pairs[goal][1]):
            return
        if gain(*pairs[step], units, examples).direction > 0:
            yield step, goal
