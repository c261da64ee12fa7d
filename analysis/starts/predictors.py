"""What tells which source task's prompt is good on a target task (Su et al. 2022, section 6).

Within a target task, its source tasks are ranked by a measure of likeness of prompts, and by what
came of them: the score of the prompt as it is, or what it brings as a start. The mean over target
tasks of Spearman's ρ is held against what it is when the source tasks' measures are exchanged at
random within each target task.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.starts.zero_shot import Matrix
from analysis.stats.ordering import unit_ranks, within_blocks

SCORE, GAIN = "score", "gain"
"""What is predicted: of the prompt as it is, and of the start over one from words."""
VALIDATION = "zero_shot"
"""The measure that is the prompt's own validation score as it is."""
PERMUTATIONS = 4999
_LEAST = 3


@dataclass(frozen=True)
class Predicted:
    """How well a measure predicts an outcome.

    Attributes:
        rho: mean over target tasks of Spearman's ρ; NaN where nothing can be ranked.
        p: one-sided, of exchanged measures with at least this mean.
        tasks: target tasks that were ranked.
    """

    rho: float
    p: float
    tasks: int


def outcomes(matrix: Matrix, gains: pd.DataFrame | None = None) -> pd.DataFrame:
    """Means over seeds of every source and target task: each measure, and the outcomes.

    Args:
        matrix: zero-shot scores with their likeness.
        gains: columns ``target``, ``task``, ``seed``, ``origin`` and ``gain`` of starts.

    Returns:
        Columns origin, task, each measure, ``zero_shot``, ``score`` and ``gain``.
    """
    rows = matrix.scores
    measures = pd.DataFrame(rows["likeness"].tolist(), index=rows.index)
    every = pd.concat([rows[["origin", "task", "score", "validation_score"]], measures], axis=1)
    every = every.rename(columns={"validation_score": VALIDATION})
    found = every.groupby(["task", "origin"], observed=True).mean().reset_index()
    if gains is None or gains.empty or matrix.source != matrix.target:
        return found.assign(**{GAIN: math.nan})
    mine = gains[gains["target"] == matrix.target]
    means = mine.groupby(["task", "origin"], observed=True)[GAIN].mean().reset_index()
    return found.merge(means, on=["task", "origin"], how="left")


def measures(table: pd.DataFrame) -> list[str]:
    """Measures of a table of :func:`outcomes`."""
    return [name for name in table.columns if name not in ("task", "origin", SCORE, GAIN)]


def predicted(table: pd.DataFrame, measure: str, outcome: str) -> Predicted:
    """How well a measure of :func:`outcomes` predicts an outcome within target tasks."""
    parts = list(_ranked(table, measure, outcome))
    if not parts:
        return Predicted(math.nan, math.nan, 0)
    rho, count = within_blocks(
        np.concatenate([one for one, _ in parts]),
        np.concatenate([other for _, other in parts]),
        np.repeat(np.arange(len(parts)), [len(one) for one, _ in parts]),
    )
    if not count:
        return Predicted(math.nan, math.nan, 0)
    drawn = np.zeros(PERMUTATIONS)
    generator = np.random.default_rng(0)
    for one, other in parts:
        orders = generator.permuted(np.tile(unit_ranks(one), (PERMUTATIONS, 1)), axis=1)
        drawn += orders @ unit_ranks(other) / len(parts)
    above = int((drawn >= rho - 1e-12).sum())
    return Predicted(rho, (1 + above) / (1 + PERMUTATIONS), count)


def _ranked(
    table: pd.DataFrame, measure: str, outcome: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Measure and outcome of each target task that has enough source tasks to rank."""
    known = table.dropna(subset=[measure, outcome])
    for _, part in known.groupby("task", sort=True):
        pair: Sequence[np.ndarray] = [part[name].to_numpy(float) for name in (measure, outcome)]
        if len(part) >= _LEAST and np.ptp(pair[1]) > 1e-9:
            yield pair[0], pair[1]
