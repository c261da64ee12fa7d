"""Which weight λ stands for Ours: chosen on validation, never on test.

By default (``pair``) the choice is made per target and source set, by the mean validation score of
the *transferred* prompt over tasks and seeds; annealing is one more candidate. :data:`CRITERIA`
names the alternatives. :func:`oracle` shows what a look at the test split would have given; nothing
else uses it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.results import weight_rank

CRITERIA: dict[str, str] = {
    "pair": "mean validation score of the transferred prompt over tasks",
    "task": "validation score of the transferred prompt, for each task on its own",
    "source": "mean validation score on the source models over sources and tasks",
}
"""By what λ may be chosen, per target and source set."""
PER_TASK = "per task"
"""Weight label of Ours where each task has its own weight."""

_UNIT = ["task", "seed"]
_NO_MEANS = pd.Series(dtype="float64")
# Means of equal scores may differ in the last bits with the order of summation.
_DECIMALS = 12


@dataclass(frozen=True)
class Choice:
    """The weight chosen for one target and source set.

    Attributes:
        target: alias of the target.
        sources: source aliases joined by ``+``.
        weight_label: the weight, e.g. ``0.3`` or ``annealing``; :data:`PER_TASK` where every task
            has its own.
        mean: mean score it was chosen by, 0 to 1.
        criterion: ``validation``, ``source validation`` or ``test (oracle)``.
        compared: weights compared, all with the same tasks and seeds.
        tasks: tasks the mean runs over; a sweep that is not finished may have more.
        incomplete: weights left out because a task or seed is missing.
        by_task: with :data:`PER_TASK` the weight of each task, else empty.
    """

    target: str
    sources: str
    weight_label: str
    mean: float
    criterion: str
    compared: tuple[str, ...]
    tasks: tuple[str, ...]
    incomplete: tuple[str, ...]
    by_task: Mapping[str, str] = field(default_factory=dict)

    def weight_for(self, task: str) -> str | None:
        """The weight chosen for a task; None where there is none."""
        return self.by_task.get(task) if self.by_task else self.weight_label


Choices = Mapping[tuple[str, str], Choice]
"""Choices by (target, sources)."""


def choose(frame: pd.DataFrame, by: str = "pair") -> dict[tuple[str, str], Choice]:
    """Per target and source set, the weight of Ours with the best validation score.

    Only weights with every task and seed that any weight of the set has are compared; ties go to
    the smaller weight, annealing last. A set without a complete weight has no entry.

    Args:
        frame: table of :func:`analysis.results.load`.
        by: key of :data:`CRITERIA`. ``pair`` (the default): one weight for all tasks, by the mean
            validation score of the transferred prompt. ``task``: a weight for each task, by the
            same score on that task alone. ``source``: one weight, by the mean validation score of
            the jointly tuned prompts on their own sources; needs no labels on the target.

    Raises:
        ValueError: ``by`` is none of :data:`CRITERIA`.
    """
    if by not in CRITERIA:
        raise ValueError(f"by: found {by!r}; allowed: {', '.join(CRITERIA)}")
    if by == "source":
        return _choose(frame, "validation_score", "source validation", on_sources=True)
    pick = _choose_per_task if by == "task" else _choose
    return pick(frame, "validation_score", "validation")


def oracle(frame: pd.DataFrame, by: str = "pair") -> dict[tuple[str, str], Choice]:
    """As :func:`choose`, but by the test score: an upper bound, not a result to report.

    There is no test score of the transfer on the sources: for ``source`` it is that of ``pair``.
    """
    pick = _choose_per_task if by == "task" else _choose
    return pick(frame, "score", "test (oracle)")


def at_choices(frame: pd.DataFrame, choices: Choices) -> pd.DataFrame:
    """The rows of Ours at the chosen weights, under the label of their choice."""
    rows = frame[frame["row"] == "ours"]
    found = [choices.get(key) for key in zip(rows["target"], rows["sources"], strict=True)]
    here = zip(found, rows["task"], rows["weight_label"], strict=True)
    kept = [choice is not None and choice.weight_for(task) == label for choice, task, label in here]
    # An array: of an empty list pandas would take it that no column is wanted.
    labels = [
        choice.weight_label for choice, keep in zip(found, kept, strict=True) if keep and choice
    ]
    return rows[np.array(kept, dtype=bool)].assign(weight_label=labels)


def joint_at_choices(frame: pd.DataFrame, choices: Choices) -> pd.DataFrame:
    """Jointly tuned prompts on their sources, at every weight chosen for one of the targets."""
    by_set: dict[str, list[Choice]] = {}
    for choice in choices.values():
        by_set.setdefault(choice.sources, []).append(choice)
    rows = frame[frame["row"] == "joint"]
    kept = [
        any(choice.weight_for(task) == label for choice in by_set.get(sources, ()))
        for sources, task, label in zip(
            rows["sources"], rows["task"], rows["weight_label"], strict=True
        )
    ]
    return rows[np.array(kept, dtype=bool)]


def complete(
    rows: pd.DataFrame, by: list[str], column: str, unit: Sequence[str] = _UNIT
) -> tuple[pd.Series, list[Any]]:
    """Mean of ``column`` for the groups that hold every (task, seed) found in ``rows``.

    Args:
        rows: rows to compare.
        by: columns that make a group.
        column: score to average, 0 to 1.
        unit: columns that tell the results of a group apart.

    Returns:
        Means by group, and the groups left out because a (task, seed) is missing.
    """
    rows = rows.dropna(subset=[column])
    wanted = len(rows.drop_duplicates(unit))
    counts = rows.drop_duplicates([*by, *unit]).groupby(by).size()
    means = rows.groupby(by)[column].mean()
    return means[counts == wanted], list(counts[counts != wanted].index)


def _complete_within(
    rows: pd.DataFrame, within: list[str], column: str
) -> tuple[dict[Any, pd.Series], dict[Any, list[Any]]]:
    """:func:`complete` by weight for each group of ``within`` by itself, in one go."""
    rows = rows.dropna(subset=[column])
    by = [*within, "weight_label"]
    wanted = rows.drop_duplicates([*within, *_UNIT]).groupby(within).size()
    counts = rows.drop_duplicates([*by, *_UNIT]).groupby(by).size()
    outer: Any = [tuple(key)[:-1] for key in counts.index.to_list()]
    full = counts == wanted.loc[outer].to_numpy()
    means = rows.groupby(by)[column].mean()[full]
    found = {key: part.droplevel(within) for key, part in means.groupby(level=within)}
    lacking: dict[Any, list[Any]] = {}
    for *key, label in counts[~full].index.to_list():
        lacking.setdefault(tuple(key), []).append(label)
    return found, lacking


def _choose(
    frame: pd.DataFrame, column: str, criterion: str, on_sources: bool = False
) -> dict[tuple[str, str], Choice]:
    ours = frame[frame["row"] == "ours"]
    joint = frame[frame["row"] == "joint"]
    choices = {}
    every_mean, every_lack = _complete_within(ours, ["target", "sources"], column)
    names = ours.groupby(["target", "sources"], sort=True)["task"].unique()
    for key, known in zip(names.index.to_list(), names, strict=True):
        target, sources = str(key[0]), str(key[1])
        means, left_out = every_mean.get(key, _NO_MEANS), every_lack.get(key, [])
        if on_sources:
            # What is chosen must have been carried over as well.
            there = set(means.index)
            tuned = joint[joint["sources"] == sources]
            means, lacking = complete(tuned, ["weight_label"], column, ["target", *_UNIT])
            left_out = sorted({*left_out, *lacking, *(set(means.index) - there)})
            means = means[means.index.isin(there)]
        if means.empty:
            continue
        best = min(
            (-round(float(mean), _DECIMALS), weight_rank(str(label)), str(label))
            for label, mean in means.items()
        )[-1]
        choices[target, sources] = Choice(
            target=target,
            sources=sources,
            weight_label=best,
            mean=float(means[best]),
            criterion=criterion,
            compared=tuple(sorted(means.index, key=weight_rank)),
            tasks=tuple(sorted(known)),
            incomplete=tuple(sorted(left_out, key=weight_rank)),
        )
    return choices


def _choose_per_task(
    frame: pd.DataFrame, column: str, criterion: str
) -> dict[tuple[str, str], Choice]:
    """The choices of each task alone, put together."""
    found: dict[tuple[str, str], dict[str, Choice]] = {}
    for task in sorted(frame.loc[frame["row"] == "ours", "task"].unique()):
        for key, choice in _choose(frame[frame["task"] == task], column, criterion).items():
            found.setdefault(key, {})[task] = choice
    return {
        key: replace(
            next(iter(each.values())),
            weight_label=PER_TASK,
            mean=sum(choice.mean for choice in each.values()) / len(each),
            compared=_union(choice.compared for choice in each.values()),
            tasks=tuple(each),
            incomplete=_union(choice.incomplete for choice in each.values()),
            by_task={task: choice.weight_label for task, choice in each.items()},
        )
        for key, each in found.items()
    }


def _union(labels: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted({label for each in labels for label in each}, key=weight_rank))
