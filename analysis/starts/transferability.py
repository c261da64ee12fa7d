"""What the report says of prompts as they are on other tasks, and of the steps that starts save."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import pandas as pd

from analysis.data.combinations import titled
from analysis.present.exhibits import Figure, Part, Table, file_name
from analysis.present.grid import (
    DASH,
    MINUS,
    Entry,
    Grid,
    Line,
    change,
    percent,
    points,
    span,
)  # fmt: skip
from analysis.present.words import counted
from analysis.starts import figures
from analysis.starts.convergence import DELTA
from analysis.starts.predictors import GAIN, SCORE, VALIDATION, measures, outcomes, predicted
from analysis.starts.races import ALL, ZERO_SHOT, Curves, mean_curves, time_table, timed
from analysis.starts.retrieval import TITLES
from analysis.starts.zero_shot import RANDOM, Blocks, Matrix, blocks, score_table

ZERO_SHOT_NOTE = (
    "Prompts as they were tuned, with the template and the label words of another task, of which "
    "nothing is used. Random prompts have the scale of the model's word embeddings; the U[0, 1) of "
    "the release of Su et al. (2022) is far off it. Types are those that task files say. "
    "Same − other: within a target task, mean over target tasks and seeds; intervals (95 %) are "
    "over both."
)
TIMES_NOTE = (
    "Both runs of a pair have the same seed, examples and order; the control starts from words. "
    f"Convergence time: steps until the best on validation so far is within {100 * DELTA:g} points "
    "of the run's best, as a share of the control's. Comparable: steps until validation is within "
    f"{100 * DELTA:g} points of the control's best, likewise. Medians over runs; a run that never "
    "gets there counts as longer than any. Nothing is interpolated: in brackets is how much "
    "earlier the control's evaluation before was. Gain: points on test over the control."
)
PREDICTORS_NOTE = (
    "Mean over target tasks of Spearman's ρ between the likeness of a source task's prompt to the "
    "task's own, and what came of it (means over seeds). p: one-sided, the source tasks' likeness "
    "exchanged within each target task. Neurons: overlap of the activated ones when the model "
    "reads the prompt alone, in all feed-forward layers and in windows of three."
)
_AT_MOST = 4
"""Starts that a figure has room for."""


@dataclass(frozen=True)
class Transferability:
    """What there is to say.

    Attributes:
        matrices: of :func:`analysis.starts.zero_shot.matrices`.
        types: of tasks.
        races: of :func:`analysis.starts.races.races`, with curves.
        curves: of their cells.
        gains: per combination, what starts from one task have over the control.
    """

    matrices: Sequence[Matrix]
    types: Mapping[str, str]
    races: pd.DataFrame
    curves: Curves
    gains: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @cached_property
    def times(self) -> pd.DataFrame:
        return timed(self.races, self.curves) if len(self.races) else self.races

    def parts(self) -> Iterator[Part]:
        if self.matrices:
            yield from self._zero_shot()
        if len(self.times):
            yield from self._times()
        if self.matrices:
            yield from self._predictors()

    def _zero_shot(self) -> Iterator[Part]:
        found = [(matrix, blocks(matrix, self.types)) for matrix in self.matrices]
        known = [(matrix, each) for matrix, each in found if each]
        here = [matrix for matrix in self.matrices if matrix.source == matrix.target]
        shown, further = (here, [x for x in self.matrices if x not in here]) if here else (
            self.matrices[:1], self.matrices[1:]
        )  # fmt: skip
        yield Part(
            "Zero-shot", texts=[_blocks_text(known)] if known else [],
            exhibits=[self._matrix(matrix) for matrix in shown],
        )  # fmt: skip
        if known:
            table = pd.DataFrame([_blocks_row(*each) for each in known])
            exhibit = Table(
                "zero_shot_types", "Zero-shot by type of task", _blocks_grid(table), table
            )
            yield Part(note=ZERO_SHOT_NOTE, exhibits=[exhibit])
        if further:
            yield Part(
                folded="Zero-shot on other models", exhibits=[self._matrix(x) for x in further]
            )

    def _matrix(self, matrix: Matrix) -> Figure:
        table = score_table(matrix, self.types)
        own = [(name, name) for name in table.index if name in table.columns]
        return Figure(
            file_name("zero_shot", matrix.name, matrix.label),
            f"Heatmap of scores of each source task's prompt on each target task, {matrix.name}.",
            f"{titled(matrix.name, matrix.label)}: points on test, mean over seeds; prompts of the "
            "task down, evaluated on the task across. Framed: the task's own prompt. Shades: each "
            "column from its lowest to its highest.",
            partial(figures.score_heatmap, table=table, own=own),
        )

    def _times(self) -> Iterator[Part]:
        by = ["label", "target", "start"]
        table = time_table(self.times, by)
        exhibits = []
        for (label, target), part in self.times.groupby(["label", "target"], sort=False):
            part = part.assign(start=part["start"].map(_named))
            starts = _leading(list(part["start"].unique()))
            means = mean_curves(part, self.curves)
            exhibits.append(
                Figure(
                    file_name("starts_by_step", str(target), str(label)),
                    f"Validation score by step on {target} for each start, a panel a task.",
                    f"{titled(str(target), str(label))}: points on validation by step, mean over "
                    "seeds.",
                    partial(figures.race_curves, table=means, starts=starts),
                )
            )
        yield Part("Steps that a start saves", texts=[_times_text(table)])
        yield from (Part(exhibits=[item]) for item in exhibits)  # each as wide as it is
        grid = Table(
            "time_saved", "Convergence and comparable-result time", _times_grid(table), table
        )
        yield Part(note=TIMES_NOTE, exhibits=[grid])
        each = time_table(self.times, [*by, "task"])
        whole = Table("time_saved_by_task", "The same by target task", _times_grid(each), each)
        yield Part(folded="Times by target task", exhibits=[whole])

    def _predictors(self) -> Iterator[Part]:
        rows = []
        for matrix in self.matrices:
            table = outcomes(matrix, self.gains.get(matrix.label, self.gains.get("")))
            for measure in measures(table):
                score = predicted(table, measure, SCORE)
                gain = predicted(table, measure, GAIN)
                itself = measure == VALIDATION
                rows.append({
                    "matrix": titled(matrix.name, matrix.label), "measure": measure,
                    "rho_score": math.nan if itself else score.rho,
                    "p_score": math.nan if itself else score.p, "tasks": score.tasks,
                    "rho_gain": gain.rho, "p_gain": gain.p, "tasks_gain": gain.tasks,
                })  # fmt: skip
        table = pd.DataFrame(rows)
        table = table.dropna(subset=["rho_score", "rho_gain"], how="all") if len(table) else table
        if table.empty:
            return
        exhibit = Table(
            "transfer_predictors", "What predicts transfer", _predictors_grid(table), table
        )
        yield Part("What predicts transfer", note=PREDICTORS_NOTE, exhibits=[exhibit])


def _blocks_text(known: Sequence[tuple[Matrix, Blocks]]) -> str:
    said = []
    for matrix, each in known:
        found = each.difference
        ends = span(found.low, found.high)
        said.append(
            f"{titled(matrix.name, matrix.label)}: prompts of tasks of the same type have "
            f"{points(found.mean, signed=True)} points {ends}".strip()
            + f" over those of other types ({counted(each.tasks, 'target task')})."
        )
    return " ".join(said)


def _blocks_row(matrix: Matrix, each: Blocks) -> dict[str, object]:
    found = each.difference
    return {
        "matrix": titled(matrix.name, matrix.label), "own": each.own, "within": each.within,
        "across": each.across, "random": each.random, "difference": found.mean,
        "difference_low": found.low, "difference_high": found.high, "tasks": each.tasks,
    }  # fmt: skip


def _blocks_grid(table: pd.DataFrame) -> Grid:
    heads = (
        ("Own prompt", "points"), ("Same type", "points"), ("Other types", "points"),
        (RANDOM.capitalize(), "points"), ("Same − other", "points"), ("Target tasks", ""),
    )  # fmt: skip
    lines = tuple(
        Line("", "", row["matrix"], (
            *(Entry(points(row[name])) for name in ("own", "within", "across", "random")),
            change(row["difference"], row["difference_low"], row["difference_high"]),
            Entry(f"{row['tasks']}"),
        ))
        for row in table.to_dict("records")
    )  # fmt: skip
    return Grid(("", "Prompts on"), heads, lines)


def _leading(starts: Sequence[str]) -> list[str]:
    """Starts for a figure: those chosen by something first."""
    ranked = sorted(starts, key=lambda name: (name == ALL, name == ZERO_SHOT))
    return ranked[:_AT_MOST]


def _named(start: str) -> str:
    """A start for people: similarities by their titles."""
    head, _, measure = start.rpartition(", ")
    return f"{head}, {TITLES[measure]}" if measure in TITLES else start


def _times_text(table: pd.DataFrame) -> str:
    said = [
        f"As good as a start from words ever gets on validation (within {100 * DELTA:g} points), "
        "medians over runs, as a share of the steps that words take:"
    ]
    for row in table[table["start"] != ALL].to_dict("records"):
        place = titled(row["target"], row["label"])
        runs = counted(row["n"], "run")
        if math.isfinite(row["comparison"]):
            when = percent(row["comparison"])
        elif math.isnan(row["comparison"]):
            when = "nothing to compare, as words take no step"
        else:
            when = "never in half of the runs or more"
        said.append(f"{place}, {_named(row['start'])}: {when} (never in {row['never']} of {runs});")
    return " ".join(said)[:-1] + "."


def _times_grid(table: pd.DataFrame) -> Grid:
    columns = (
        ("Words", "points"), ("Start", "points"), ("Gain", "points"), ("Words need", "steps"),
        ("Convergence", "of these"), ("Comparable", "of these"), ("Never", "of the runs"),
    )  # fmt: skip
    lines = []
    for row in table.to_dict("records"):
        place = titled(row["target"], row["label"])
        task = f"{row['task']}, " if "task" in row else ""
        width = f"({MINUS}{row['width']:,.0f})" if row["width"] else ""
        lines.append(
            Line(place, place, f"{task}{_named(row['start'])}", (
                Entry(points(row["control"])), Entry(points(row["score"])),
                change(row["gain"], row["gain_low"], row["gain_high"]),
                Entry(f"{row['steps']:,.0f}", note=width),
                _time(row["convergence"]), _time(row["comparison"]),
                Entry(f"{row['never']} of {row['n'] - row['undefined']}",
                      hint=f"{row['undefined']} more without a step to compare with"),
            ))
        )  # fmt: skip
    return Grid(("On", "Start"), columns, tuple(lines))


def _time(value: float) -> Entry:
    return Entry(percent(value) if math.isfinite(value) else DASH, strong=value < 100)


def _predictors_grid(table: pd.DataFrame) -> Grid:
    columns = (
        ("Zero-shot score", "ρ"), ("p", ""), ("Gain of the start", "ρ"), ("p", ""),
        ("Target tasks", ""),
    )  # fmt: skip
    lines = tuple(
        Line(row["matrix"], row["matrix"], measure_title(row["measure"]), (
            *_correlated(row["rho_score"], row["p_score"]),
            *_correlated(row["rho_gain"], row["p_gain"]),
            Entry(f"{max(row['tasks'], row['tasks_gain'])}"),
        ))
        for row in table.to_dict("records")
    )  # fmt: skip
    return Grid(("Prompts on", "Measure"), columns, lines)


def _correlated(rho: float, p: float) -> tuple[Entry, Entry]:
    if math.isnan(rho):
        return Entry(DASH), Entry(DASH)
    text = f"{rho:+.2f}".replace("-", MINUS)
    return Entry(text, strong=p < 0.05), Entry(f"{p:.3f}")


def measure_title(name: str) -> str:
    """A measure of likeness for people."""
    if name == VALIDATION:
        return "zero-shot validation score"
    if name.startswith("neurons"):
        _, _, layers = name.partition("_")
        return f"neurons, layers {layers.replace('-', ' to ')}" if layers else "neurons, all layers"
    return TITLES.get(name, name)
