"""Ranks over blocks: scipy's test, Demšar's numbers, and the level with shared tunings."""

import math

import numpy as np
import pandas as pd
import pytest

from analysis.stats.ranks import ALPHA, critical_difference, ranking

SIMULATIONS = 400
TOLERANCE = 0.022
"""Twice the standard error of a rate of 5 % over 400 simulations (0.011)."""


def blocks(rows: dict[str, float], count: int, noise: float) -> pd.DataFrame:
    """Scores of every row on ``count`` tasks: its level, the task's, and noise."""
    rng = np.random.default_rng(1)
    lines = [
        {"row": row, "task": str(task), "score": level + noise * rng.normal() + task}
        for task in range(count)
        for row, level in rows.items()
    ]
    return pd.DataFrame(lines)


def test_critical_difference_of_demsar() -> None:
    # Demšar (2006), table 5: q(0.05) is 2.343 for two, 2.569 for four classifiers over √2 already.
    assert critical_difference(4, 14) == pytest.approx(2.569 * math.sqrt(20 / 84), rel=1e-3)


def test_friedman_as_scipy() -> None:
    from scipy.stats import friedmanchisquare

    table = blocks({"a": 0.0, "b": 0.5, "c": 0.6, "d": 0.6}, 9, 0.5)
    wide = table.pivot_table(index="task", columns="row", values="score")
    found = ranking(table, "row", ["task"])
    assert found.p == pytest.approx(friedmanchisquare(*wide.to_numpy().T).pvalue)
    assert found.blocks == 9


def test_few_blocks_are_described_and_not_tested() -> None:
    few = ranking(blocks({"a": 0, "b": 1, "c": 2}, 4, 0.1), "row", ["task"])
    assert "too few for a test" in few.note
    assert few.ranks.to_dict() == {"c": 1.0, "b": 2.0, "a": 3.0}
    assert math.isnan(few.p) and math.isnan(few.critical)
    assert "three rows" in ranking(blocks({"a": 0, "b": 1}, 9, 0.1), "row", ["task"]).note
    equal = ranking(blocks({"a": 0, "b": 0, "c": 0}, 9, 0.0), "row", ["task"])
    assert (list(equal.ranks), math.isnan(equal.p)) == ([2.0, 2.0, 2.0], True)


def test_nothing_to_rank_gives_a_sentence() -> None:
    table = blocks({"a": 0, "b": 1, "c": 2}, 3, 0.1)
    holed = table[(table["row"] != "c") | (table["task"] == "9")]
    assert ranking(holed, "row", ["task"]).ranks.empty
    apart = table.assign(task=table["task"] + table["row"])
    assert ranking(apart, "row", ["task"]).note == "No block has all rows."


def test_targets_that_lack_a_row_do_not_count() -> None:
    table = blocks({"a": 0.0, "b": 1.0, "c": 2.0}, 6, 0.0)
    hard = table[table["row"] != "a"].assign(score=-99.0, target="hard")
    found = ranking(pd.concat([table.assign(target="g"), hard]), "row", ["task"])
    assert found.ranks.to_dict() == {"c": 1.0, "b": 2.0, "a": 3.0}


def shared(rng: np.random.Generator, targets: int, tasks: int = 9, rows: int = 4) -> pd.DataFrame:
    """No row is better; a row's tuning on a task is read on every target."""
    score = rng.normal(size=(tasks, 1, rows)) * 2 + rng.normal(size=(tasks, targets, rows))
    score = score + rng.normal(size=(tasks, 1, 1)) * 5
    task, target, row = (place.ravel() for place in np.indices(score.shape))
    return pd.DataFrame({"task": task, "target": target, "row": row, "score": score.ravel()})


@pytest.mark.slow
@pytest.mark.parametrize("targets", [1, 3])
def test_shared_tunings_give_no_false_differences(targets: int) -> None:
    rng = np.random.default_rng(0)
    found = [ranking(shared(rng, targets), "row", ["task"]) for _ in range(SIMULATIONS)]
    assert np.mean([item.p < ALPHA for item in found]) <= ALPHA + TOLERANCE
    wide = [item.ranks.iloc[-1] - item.ranks.iloc[0] > item.critical for item in found]
    assert np.mean(wide) <= ALPHA + TOLERANCE


def test_blocks_of_one_task_would_not_be_independent() -> None:
    """Why a target is no block."""
    rng = np.random.default_rng(0)
    found = [ranking(shared(rng, 3), "row", ["task", "target"]) for _ in range(60)]
    assert np.mean([item.p < ALPHA for item in found]) > 0.2
