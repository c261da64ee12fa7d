"""Which weight λ stands for Ours: chosen on validation, never on test.

The choice is made per target and source set, by the mean validation score of the *transferred*
prompt over tasks and seeds. :func:`oracle` shows what a look at the test split would have given;
nothing else uses it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.results import weight_rank

_UNIT = ["task", "seed"]
# Means of equal scores may differ in the last bits with the order of summation.
_DECIMALS = 12


@dataclass(frozen=True)
class Choice:
    """The weight chosen for one target and source set.

    Attributes:
        target: alias of the target.
        sources: source aliases joined by ``+``.
        weight_label: the weight, e.g. ``0.3`` or ``annealing``.
        mean: mean score it was chosen by, 0 to 1.
        criterion: ``validation``, or ``test (oracle)``.
        compared: weights compared, all with the same tasks and seeds.
        tasks: tasks the mean runs over; a sweep that is not finished may have more.
        incomplete: weights left out because a task or seed is missing.
    """

    target: str
    sources: str
    weight_label: str
    mean: float
    criterion: str
    compared: tuple[str, ...]
    tasks: tuple[str, ...]
    incomplete: tuple[str, ...]


Choices = Mapping[tuple[str, str], Choice]
"""Choices by (target, sources)."""


def choose(frame: pd.DataFrame) -> dict[tuple[str, str], Choice]:
    """Per target and source set, the weight of Ours with the best mean validation score.

    Only weights with every task and seed that any weight of the set has are compared; ties go to
    the smaller weight, annealing last. A set without a complete weight has no entry.

    Args:
        frame: table of :func:`analysis.results.load`.
    """
    return _choose(frame, "validation_score", "validation")


def oracle(frame: pd.DataFrame) -> dict[tuple[str, str], Choice]:
    """As :func:`choose`, but by the test score: an upper bound, not a result to report."""
    return _choose(frame, "score", "test (oracle)")


def at_choices(frame: pd.DataFrame, choices: Choices) -> pd.DataFrame:
    """The rows of Ours at the chosen weights."""
    rows = frame[frame["row"] == "ours"]
    wanted = {(*key, choice.weight_label) for key, choice in choices.items()}
    keys = zip(rows["target"], rows["sources"], rows["weight_label"], strict=True)
    # An array: of an empty list pandas would take it that no column is wanted.
    return rows[np.array([key in wanted for key in keys], dtype=bool)]


def complete(rows: pd.DataFrame, by: list[str], column: str) -> tuple[pd.Series, list[Any]]:
    """Mean of ``column`` for the groups that hold every (task, seed) found in ``rows``.

    Args:
        rows: rows to compare.
        by: columns that make a group.
        column: score to average, 0 to 1.

    Returns:
        Means by group, and the groups left out because a (task, seed) is missing.
    """
    rows = rows.dropna(subset=[column])
    wanted = len(rows.drop_duplicates(_UNIT))
    counts = rows.drop_duplicates([*by, *_UNIT]).groupby(by).size()
    means = rows.groupby(by)[column].mean()
    return means[counts == wanted], list(counts[counts != wanted].index)


def _choose(frame: pd.DataFrame, column: str, criterion: str) -> dict[tuple[str, str], Choice]:
    ours = frame[frame["row"] == "ours"]
    choices = {}
    for key, rows in ours.groupby(["target", "sources"], sort=True):
        target, sources = map(str, key)
        means, left_out = complete(rows, ["weight_label"], column)
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
            tasks=tuple(sorted(rows["task"].unique())),
            incomplete=tuple(sorted(left_out, key=weight_rank)),
        )
    return choices
