"""Prompts as they are on other tasks: the matrices of tasks, and whether they have blocks.

A *matrix* is a model that prompts were tuned on, the model they are evaluated on (the same, or one
that they were carried over to by one way of transfer) and one combination of settings.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.data.combinations import agreeing
from analysis.stats.bootstrap import Crossed, crossed_interval

ROW = "cross_task"
OWN = "own"
RANDOM = "random prompt"
_UNITS = ("task", "seed")


@dataclass(frozen=True)
class Matrix:
    """Zero-shot scores of prompts on tasks.

    Attributes:
        source: the model they were tuned on.
        target: the model they are evaluated on.
        way: how they came there; empty on the model they were tuned on.
        label: their combination of settings; empty if there is only one.
        scores: columns ``origin``, ``task``, ``seed``, ``score``, ``validation_score`` (0 to 1) and
            ``likeness`` to the task's own prompt (a mapping of measures).
        own: the tasks' own prompts: ``task``, ``seed``, ``score``.
        random: prompts of random numbers likewise.
    """

    source: str
    target: str
    way: str
    label: str
    scores: pd.DataFrame
    own: pd.DataFrame
    random: pd.DataFrame

    @property
    def name(self) -> str:
        """For people."""
        if self.source == self.target:
            return self.target
        return f"{self.source} to {self.target}" + (f", {self.way}" if self.way else "")


def matrices(frame: pd.DataFrame) -> Iterator[Matrix]:
    """Every matrix of a table of :func:`analysis.load`."""
    rows = frame[frame["row"] == ROW]
    crossed = rows[rows["origin"].notna()]
    if crossed.empty:
        return
    pairs = crossed["inputs"].map(json.loads)
    cells = frame.set_index("cell")
    crossed = crossed.assign(
        prompt=pairs.str[0],
        own=pairs.str[1],
        likeness=crossed["likeness"].map(lambda text: json.loads(text) if text == text else {}),
    )
    crossed = crossed[crossed["prompt"].isin(cells.index) & crossed["own"].isin(cells.index)]
    tuned = cells.loc[crossed["prompt"]]
    crossed = crossed.assign(
        origin_model=tuned["sources"].to_numpy(), origin_way=tuned["way"].fillna("").to_numpy()
    )
    several = crossed["settings"].nunique() > 1
    keys = ["origin_model", "target", "origin_way", "settings"]
    for (source, target, way, settings), part in crossed.groupby(keys, sort=True):
        own = cells.loc[part["own"].unique(), ["task", "seed", "score"]].reset_index(drop=True)
        drawn = agreeing(rows[rows["origin"].isna() & (rows["target"] == target)], str(settings))
        label = part["combination"].fillna("").iloc[0] if several else ""
        kept = ["origin", "task", "seed", "score", "validation_score", "likeness"]
        yield Matrix(
            str(source), str(target), str(way), str(label), part[kept].reset_index(drop=True),
            own, drawn[["task", "seed", "score"]].drop_duplicates().reset_index(drop=True),
        )  # fmt: skip


def score_table(matrix: Matrix, order: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Mean scores in points: source tasks down, target tasks across, last the random prompt.

    Args:
        order: type of each task, by which tasks are sorted.
    """
    types = order or {}
    own = matrix.own.assign(origin=matrix.own["task"])
    drawn = matrix.random.assign(origin=RANDOM)
    every = pd.concat([matrix.scores[["origin", "task", "score"]], own, drawn])
    table = 100 * every.pivot_table(index="origin", columns="task", values="score", observed=True)
    names = sorted({*table.index, *table.columns} - {RANDOM}, key=lambda x: (types.get(x, ""), x))
    down = [name for name in names if name in table.index]
    down += [RANDOM] * (RANDOM in table.index)
    return table.reindex(down, columns=[name for name in names if name in table.columns])


@dataclass(frozen=True)
class Blocks:
    """Mean scores in points on target tasks that have source tasks of their own and other types.

    Attributes:
        own: of the tasks' own prompts.
        within: of prompts of other tasks of the same type.
        across: of prompts of tasks of other types.
        random: of random prompts.
        difference: within minus across, mean over target tasks and seeds with its interval.
        tasks: how many target tasks there are.
    """

    own: float
    within: float
    across: float
    random: float
    difference: Crossed
    tasks: int


def blocks(matrix: Matrix, types: Mapping[str, str]) -> Blocks | None:
    """The matrix by types of tasks; None where no target task has both kinds of source tasks.

    Within a target task, so that how hard tasks are makes no difference.

    Args:
        matrix: it.
        types: of tasks; a task without one is alike to none.
    """
    rows = matrix.scores
    kinds = rows["task"].map(types).fillna(""), rows["origin"].map(types).fillna("")
    alike = (kinds[0] == kinds[1]) & (kinds[0] != "")
    means = rows.assign(alike=alike, points=100 * rows["score"]).pivot_table(
        index=list(_UNITS), columns="alike", values="points", observed=True
    )
    if not {True, False} <= set(means.columns):
        return None
    both = means.dropna().reset_index()
    if both.empty:
        return None
    here = both[list(_UNITS)]
    level = [_level(other, here) for other in (matrix.own, matrix.random)]
    return Blocks(
        own=level[0],
        within=float(both[True].mean()),
        across=float(both[False].mean()),
        random=level[1],
        difference=crossed_interval(
            both.assign(difference=both[True] - both[False]), "difference", _UNITS, replicates=0
        ),
        tasks=int(both["task"].nunique()),
    )


def _level(rows: pd.DataFrame, here: pd.DataFrame) -> float:
    return 100 * float(rows.merge(here, on=list(_UNITS))["score"].mean())


def task_types(meta: Mapping[str, Any]) -> dict[str, str]:
    """Types of the tasks of a sweep's ``sweep.json``, where they have one."""
    spec = meta.get("spec")
    files = spec.get("task_files") if isinstance(spec, Mapping) else None
    found = {}
    for name, entry in files.items() if isinstance(files, Mapping) else ():
        kind = entry.get("type") if isinstance(entry, Mapping) else None
        if isinstance(kind, str) and kind:
            found[str(name)] = kind
    return found
