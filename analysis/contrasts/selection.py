"""Which weight λ stands for Ours: chosen on validation, never on test, and not on the same seed.

By default (``pair``) the choice is made per target and source set, by the mean validation score of
the *transferred* prompt over tasks and seeds; annealing is one more candidate. :data:`CRITERIA`
names the alternatives. The choice is cross-fitted: what is reported of a seed stands at the weight
that the *other* seeds choose. A weight that was chosen on a seed had its luck there, on validation
and test alike, and Baseline, which has one weight, had no such choice. :func:`oracle` shows what a
look at the test split would have given; nothing else uses it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from analysis.contrasts.crossfit import ALL_SEEDS, best_candidates
from analysis.contrasts.keys import places
from analysis.data.results import weight_rank
from analysis.present.words import PER_SEED, PER_TASK

CRITERIA: dict[str, str] = {
    "pair": "mean validation score of the transferred prompt over tasks",
    "task": "validation score of the transferred prompt, for each task on its own",
    "source": "mean validation score on the source models over sources and tasks",
}
"""By what λ may be chosen, per target and source set."""

_SET = ["target", "sources"]


@dataclass(frozen=True)
class Choice:
    """The weight chosen for one target and source set.

    Attributes:
        target: alias of the target.
        sources: source aliases joined by ``+``.
        weight_label: the weight that all seeds together choose, e.g. ``0.3`` or ``annealing``;
            :data:`PER_TASK` where every task has its own.
        mean: mean score it was chosen by, 0 to 1.
        compared: weights compared, all with the same tasks and seeds.
        tasks: tasks the mean runs over.
        incomplete: weights left out because a task or seed is missing.
        by_task: with :data:`PER_TASK` the weight of each task, else empty.
        by_seed: per task (``""`` for all) and seed, the weight that the other seeds choose, at
            which the seed is reported. Empty with one seed.
    """

    target: str
    sources: str
    weight_label: str
    mean: float
    compared: tuple[str, ...]
    tasks: tuple[str, ...]
    incomplete: tuple[str, ...]
    by_task: Mapping[str, str] = field(default_factory=dict)
    by_seed: Mapping[tuple[str, int], str] = field(default_factory=dict)

    def weight_for(self, task: str, seed: int) -> str | None:
        """The weight that a task's result of a seed stands at; None where there is none."""
        if self.by_seed:
            return self.by_seed.get((task if self.by_task else "", seed))
        return self.by_task.get(task) if self.by_task else self.weight_label

    @property
    def label(self) -> str:
        """How Ours is called in tables: its weight, or by what it differs."""
        same = self.by_task or {*self.by_seed.values()} <= {self.weight_label}
        return self.weight_label if same else PER_SEED

    @property
    def left_out(self) -> Mapping[int, str]:
        """Per seed the weight that the others choose, of a choice over all tasks."""
        return {} if self.by_task else {seed: label for (_, seed), label in self.by_seed.items()}


Choices = Mapping[tuple[str, str], Choice]
"""Choices by (target, sources)."""


def choose(frame: pd.DataFrame, by: str = "pair") -> dict[tuple[str, str], Choice]:
    """Per target and source set, the weight of Ours with the best validation score.

    Only weights with every task and seed that any weight of the set has are compared; ties go to
    the smaller weight, annealing last. A set without a complete weight has no entry.

    Args:
        frame: table of :func:`analysis.load`, of one combination of settings.
        by: key of :data:`CRITERIA`. ``pair`` (the default): one weight for all tasks, by the mean
            validation score of the transferred prompt. ``task``: a weight for each task, by the
            same score on that task alone. ``source``: one weight, by the mean validation score of
            the jointly tuned prompts on their own sources; needs no labels on the target.

    Raises:
        ValueError: ``by`` is none of :data:`CRITERIA`.
    """
    if by not in CRITERIA:
        raise ValueError(f"by: found {by!r}; allowed: {', '.join(CRITERIA)}")
    return _choose(frame, by, "validation_score")


def oracle(frame: pd.DataFrame, by: str = "pair") -> dict[tuple[str, str], Choice]:
    """As :func:`choose`, but by the test score: an upper bound, not a result to report.

    Nothing is cross-fitted. ``source`` has no such score and gives that of ``pair``.
    """
    return _choose(frame, "pair" if by == "source" else by, "score", cross=False)


def at_choices(frame: pd.DataFrame, choices: Choices) -> pd.DataFrame:
    """The rows of Ours at the chosen weights, under the label of their choice."""
    rows = frame[frame["row"] == "ours"]
    of_rows = [choices.get(key) for key in _lists(rows, _SET)]
    here = (
        (choice, *line)
        for choice, line in zip(
            of_rows, _lists(rows, ["task", "seed", "weight_label"]), strict=True
        )
    )
    kept = [
        choice is not None and choice.weight_for(task, seed) == label
        for choice, task, seed, label in here
    ]
    # An array: of an empty list pandas would take it that no column is wanted.
    labels = [choice.label for choice, keep in zip(of_rows, kept, strict=True) if keep and choice]
    return rows[np.array(kept, dtype=bool)].assign(weight_label=labels)


def joint_at_choices(frame: pd.DataFrame, choices: Choices) -> pd.DataFrame:
    """Jointly tuned prompts on their sources, at every weight chosen for one of the targets.

    They keep their own weight's label, unless there is one target whose seeds choose differently.
    """
    by_set: dict[str, list[Choice]] = {}
    for choice in choices.values():
        by_set.setdefault(choice.sources, []).append(choice)
    rows = frame[frame["row"] == "joint"]
    kept, labels = [], []
    for sources, task, seed, label in _lists(rows, ["sources", "task", "seed", "weight_label"]):
        same = [item for item in by_set.get(sources, ()) if item.weight_for(task, seed) == label]
        kept.append(bool(same))
        if same:
            alone = len(by_set[sources]) == 1 and same[0].label == PER_SEED
            labels.append(PER_SEED if alone else label)
    return rows[np.array(kept, dtype=bool)].assign(weight_label=labels)


def _choose(
    frame: pd.DataFrame, by: str, column: str, cross: bool = True
) -> dict[tuple[str, str], Choice]:
    ours = frame[frame["row"] == "ours"]
    best, lacking = _best(frame, by, column)
    names: Any = ours.groupby(_SET, sort=True)["task"].unique()
    choices = {}
    left_out: dict[Any, set[str]] = {
        key: set(part["weight_label"]) for key, part in lacking.groupby(_SET)
    }
    places: Any = best.groupby(_SET, sort=True)
    for key, part in places:
        target, sources = str(key[0]), str(key[1])
        whole = part[part["seed"] == ALL_SEEDS]
        known = tuple(sorted(names[key]))
        by_task = dict(_lists(whole, ["task", "weight_label"])) if by == "task" else {}
        lines = part[(part["seed"] != ALL_SEEDS) & cross].assign(over="")
        where = ["task" if by_task else "over", "seed", "weight_label"]
        by_seed = {(task, seed): label for task, seed, label in _lists(lines, where)}
        choices[target, sources] = Choice(
            target=target,
            sources=sources,
            weight_label=PER_TASK if by_task else str(whole["weight_label"].iloc[0]),
            mean=float(whole["mean"].mean()),
            compared=_sorted({label for labels in whole["compared"] for label in labels}),
            tasks=tuple(sorted(by_task)) if by_task else known,
            incomplete=_sorted(left_out.get(key, set())),
            by_task=by_task,
            by_seed=by_seed,
        )
    return choices


def _on_sources(
    frame: pd.DataFrame, moved: pd.DataFrame, lacking: pd.DataFrame, column: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The choice on the sources, per target among the weights that were carried there whole."""
    joint = frame[frame["row"] == "joint"]
    there = moved[moved["seed"] == ALL_SEEDS].set_index(_SET)["compared"]
    parts, left = [], [lacking]
    each: Any = there.items()
    for (target, sources), labels in each:
        tuned = joint[joint["sources"] == sources].assign(where=joint["target"], target=target)
        best, lost = best_candidates(
            tuned, _SET, "weight_label", ["where", "task"], column, _order, allowed=set(labels)
        )
        parts.append(best)
        left.append(lost)
    return (pd.concat(parts) if parts else moved[:0]), pd.concat(left)


def _lists(rows: pd.DataFrame, names: list[str]) -> Iterator[tuple[Any, ...]]:
    """Rows of some columns; lists are walked much faster than columns."""
    return zip(*(rows[name].tolist() for name in names), strict=True)


def crossfitted_rows(frame: pd.DataFrame, by: str = "pair") -> pd.DataFrame:
    """The rows of Ours whose weight the other seeds choose: :func:`at_choices` in one pass.

    Args:
        frame: as for :func:`choose`.
        by: likewise.

    Returns:
        Rows of ``frame``; none where there is one seed.
    """
    ours = frame[frame["row"] == "ours"]
    best, _ = _best(frame, by, "validation_score")
    group = [*_SET, "task"] if by == "task" else _SET
    lines = best.loc[best["seed"] != ALL_SEEDS, [*group, "seed", "weight_label"]]
    if lines.empty:
        return ours[:0]
    chosen = places(ours, lines, [*group, "seed", "weight_label"]) >= 0
    return ours[chosen].reset_index(drop=True)


def _best(frame: pd.DataFrame, by: str, column: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    ours = frame[frame["row"] == "ours"]
    group, units = ([*_SET, "task"], []) if by == "task" else (_SET, ["task"])
    best, lacking = best_candidates(ours, group, "weight_label", units, column, _order)
    return _on_sources(frame, best, lacking, column) if by == "source" else (best, lacking)


def _order(label: str) -> tuple[float, str]:
    """Among equals the smaller weight, annealing last."""
    return weight_rank(label), label


def _sorted(labels: set[str]) -> tuple[str, ...]:
    return tuple(sorted(labels, key=weight_rank))
