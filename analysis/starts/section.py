"""The report's section on task transfer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.data.combinations import titled
from analysis.present.drawing import New
from analysis.present.exhibits import Figure, Part, Section, Table, file_name
from analysis.present.grid import DASH, MINUS, Entry, Grid, Line, percent, plain_grid, points, span
from analysis.present.words import counted
from analysis.soft.transfer_figures import number_heatmap, tuned_prompts
from analysis.starts import growing
from analysis.starts.races import curves, races
from analysis.starts.retrieval import (
    BEST,
    NONE,
    ORACLE,
    RANDOM,
    TITLES,
    WORDS,
    beside,
    interval,
    likeness_table,
    rank_correlations,
    retrieval_table,
    retrieval_values,
)
from analysis.starts.transferability import Transferability
from analysis.starts.tries import UNIT, Tries, every_try
from analysis.starts.zero_shot import matrices

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawn

    from analysis.stats.bootstrap import Crossed

_OPEN = 2
"""Combinations of settings that are shown whole; of more, each is folded."""
NOTE = (
    "All prompts of a target task and seed read the same examples in the same order. No transfer: "
    "a start from frequent words. Every choice among tries is by validation; words and random "
    "source tasks are expectations over all choices of k. Relative: share of the error of no "
    "transfer that is gone (Vu et al. 2022), mean over target tasks and seeds. Over words: over "
    "the best of as many tries from words. Intervals (95 %) are over new target tasks and seeds. "
    "A tuning of the source tasks and of the prompts that similarity is read from is in no try."
)


@dataclass(frozen=True)
class TaskTransfer:
    """What there is to say on one combination of settings."""

    tries: Tries

    @cached_property
    def values(self) -> pd.DataFrame:
        return retrieval_values(self.tries)

    @cached_property
    def table(self) -> pd.DataFrame:
        return retrieval_table(self.values)

    @cached_property
    def gains(self) -> pd.DataFrame:
        """Tries from one source task with ``gain``, what they have over the control in points."""
        words = self.tries.words
        control = words.loc[words["draw"] == 0, [*UNIT, "score"]]
        both = self.tries.tasks.merge(control, on=UNIT, suffixes=("", "_control"))
        return both.assign(gain=100 * (both["score"] - both["score_control"]))

    def parts(self) -> Iterator[Part]:
        label = self.tries.label
        models = sorted(self.gains["target"].unique())
        figures = [
            Figure(
                file_name("task_transfer", model if len(models) > 1 else "", label),
                f"Heatmap of what each source task's prompt brings each target task on {model}.",
                f"{titled(model, label)}: points over no transfer on test, mean over seeds; source "
                "tasks down, target tasks across.",
                partial(_matrix, gains=self.gains[self.gains["target"] == model]),
            )
            for model in models
        ]
        grid = Table(
            file_name("retrieval", label),
            titled("Task transfer and retrieval", label),
            retrieval_grid(self.table),
            self.table,
        )
        yield Part(label, texts=[self.text()], exhibits=figures)
        yield Part(note=NOTE, exhibits=[grid])
        if self.tries.retrievals:
            likeness = likeness_table(self.tries)
            table = Table(
                file_name("task_similarity", label),
                titled("How like early prompts are", label),
                likeness_grid(likeness),
                likeness,
            )
            yield Part(folded="How like early prompts of one task and of two are", exhibits=[table])

    def text(self) -> str:
        """Whether other tasks' prompts help, whether retrieval finds them, and against words."""
        one = self.values[self.values["line"].isin((RANDOM, ORACLE)) & (self.values["k"] == 1)]
        found = interval(one, 100 * (one["score"] - one["control"]))
        pairs = counted(len(self.gains[["origin", "task"]].drop_duplicates()), "pair")
        said = [
            f"A start from another task's prompt has {_told(found)} over a start from words, mean "
            f"over {pairs} of tasks."
        ]
        for name in self.tries.retrievals:
            found = beside(self.values, BEST, RANDOM, name, 1)
            verb = ("does not beat", "beats", "is worse than")[found.direction]
            if not found.n:
                continue
            said.append(
                f"The most similar task by {TITLES.get(name, name)} {verb} a random source task: "
                f"{_told(found)}{self._correlated(name)}."
            )
        last = self.table[self.table["line"] == ORACLE].iloc[-1]
        ends = span(last["over_words_low"], last["over_words_high"])
        words = (
            f", and {points(last['over_words'], signed=True)} {ends} over as many tries from words"
        )
        said.append(
            f"The best of all {last['k']:,} source tasks by validation has "
            f"{points(last['absolute'], signed=True)} points over no transfer"
            f"{words if pd.notna(last['over_words']) else ''}."
        )
        return " ".join(said)

    def _correlated(self, name: str) -> str:
        ranks = rank_correlations(self.tries, name)
        if ranks.empty:
            return ""
        found = interval(ranks, 100 * ranks["rho"])
        low, high = max(-1.0, found.low / 100), min(1.0, found.high / 100)
        ends = f" [{low:+.2f}, {high:+.2f}]" if high > low else ""
        text = f"{found.mean / 100:+.2f}{ends}".replace("-", MINUS)
        return f"; similarity and score within a target task correlate by {text}"


def _told(found: "Crossed") -> str:
    return f"{points(found.mean, signed=True)} points {span(found.low, found.high)}".strip()


def _matrix(new: New, gains: pd.DataFrame) -> "Drawn | None":
    table = gains.pivot_table(index="origin", columns="task", values="gain", observed=True)
    order = sorted({*table.index, *table.columns})
    table = table.reindex(
        [name for name in order if name in table.index],
        columns=[name for name in order if name in table.columns],
    )
    return number_heatmap(new, table, "points over no transfer")


def retrieval_grid(table: pd.DataFrame) -> Grid:
    """The table of :func:`analysis.starts.retrieval.retrieval_table` as people read it."""
    columns = (
        ("Tries", "prompts tuned"), ("Score", "points"), ("Absolute", "points"),
        ("Relative", "of the error"), ("Over words", "same tries, points"),
    )  # fmt: skip
    lines = tuple(_line(row) for row in table.to_dict("records"))
    return Grid(("Start", "k"), columns, lines)


def _line(row: Mapping[Any, Any]) -> Line:
    retrieval = TITLES.get(row["retrieval"], row["retrieval"])
    name = f"{row['line']}, {retrieval}" if retrieval else row["line"]
    words = row["line"] in (NONE, WORDS)
    return Line(
        row["line"],
        name,
        f"{row['k']:,}",
        (
            Entry(f"{row['tries']:,}"),
            Entry(points(row["score"]), hint=f"{row['n']} results"),
            _over(row, "absolute", row["line"] == NONE),
            Entry(DASH if row["line"] == NONE else percent(row["relative"])),
            _over(row, "over_words", words),
        ),
    )


def _over(row: Mapping[Any, Any], name: str, itself: bool) -> Entry:
    if itself:
        return Entry(DASH)
    ends = row[f"{name}_low"], row[f"{name}_high"]
    return Entry(points(row[name], signed=True), strong=ends[0] > 0, note=span(*ends))


def likeness_grid(table: pd.DataFrame) -> Grid:
    """The table of :func:`analysis.starts.retrieval.likeness_table` as people read it."""
    heads = ("Same task, other seed", "Other task, other seed", "Other task, same seed")
    names = ("same_task", "other_task", "same_seed")
    lines = [
        (TITLES.get(row["retrieval"], row["retrieval"]),
         [DASH if pd.isna(row[name]) else f"{row[name]:.2f}".replace("-", MINUS) for name in names])
        for row in table.to_dict("records")
    ]  # fmt: skip
    return plain_grid("Similarity", heads, lines)


def task_section(
    frame: pd.DataFrame, folder: Path | None, types: Mapping[str, str] | None = None
) -> Section | None:
    """The section; None where nothing started from other tasks' prompts.

    Args:
        frame: table of :func:`analysis.load`.
        folder: the sweep's, whose prompts tell how like tasks are, and whose records have curves;
            None: neither is known.
        types: of tasks.
    """
    early = frame[frame["row"] == "embedding"]
    prompts = tuned_prompts(folder, early, len(early)) if folder and len(early) else {}
    every = [TaskTransfer(tries) for tries in every_try(frame, prompts) if len(tries.tasks)]
    few = list(growing.parts(frame)) if every else []
    if len(every) > _OPEN:
        parts = [
            *few,
            *(_folded(part, item.tries.label) for item in every for part in item.parts()),
        ]
    else:
        parts = [*(part for item in every for part in item.parts()), *few]
    parts += _transferability(frame, folder, every, types or {}).parts()
    return Section("tasks", "Task transfer", parts) if parts else None


def _folded(part: Part, label: str) -> Part:
    """The part of one combination of several, to click at."""
    named = part.folded or ("Every source task" if part.exhibits and part.texts else "Retrieval")
    return replace(part, title="", folded=f"{named} ({label})")


def _transferability(
    frame: pd.DataFrame,
    folder: Path | None,
    every: Sequence[TaskTransfer],
    types: Mapping[str, str],
) -> Transferability:
    found = list(matrices(frame))
    run = races(frame, [item.tries for item in every], found)
    cells = [*run["cell"], *run["control"]] if len(run) else []
    return Transferability(
        matrices=found,
        types=types,
        races=run,
        curves=curves(folder, cells) if folder else {},
        gains={item.tries.label: item.gains for item in every},
    )
