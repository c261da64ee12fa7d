"""Tests by group hold their level although tunings are shared, and name the groups rightly."""

import math

import numpy as np
import pandas as pd
import pytest

from analysis.contrasts.by_group import (
    ALPHA,
    group_effects,
    holm,
    partial_conjunction,
    replicated,
    replicated_sentence,
)
from analysis.stats.bootstrap import crossed_interval
from tests.analysis.planted import Tuned, tuned

SIMULATIONS = 200
TOLERANCE = 0.03
"""Twice the standard error of a rate of 5 % over 200 simulations (0.015)."""


def false_names(
    design: Tuned, by: str, simulations: int, true: frozenset[str] = frozenset()
) -> tuple[float, float]:
    """Share of simulations with a false name, and mean share of the true ones that were found.

    Args:
        design: planted; groups in ``true`` get two standard deviations of a tuning on top.
        by: the column that makes the groups.
        simulations: how many.
        true: groups with an effect.
    """
    rng = np.random.default_rng(0)
    wrong, found = 0, 0.0
    for _ in range(simulations):
        table = tuned(design, rng)
        table["difference"] += 2 * design.alone * table[by].isin(true)
        told = replicated(group_effects(table, [by]), by)
        wrong += bool({*told.better, *told.worse} - true)
        found += len(true & set(told.better)) / max(len(true), 1)
    return wrong / simulations, found / simulations


@pytest.mark.slow
@pytest.mark.parametrize(
    ("design", "by"),
    [
        (Tuned(), "task"),
        (Tuned(targets=3), "task"),
        (Tuned(joint=0.5, freedom=3, missing=0.3), "task"),
        (Tuned(models=5), "sources"),
    ],
    ids=["paper A", "three targets", "heavy tails and holes", "source sets"],
)
def test_shared_tunings_name_no_group_too_often(design: Tuned, by: str) -> None:
    assert false_names(design, by, SIMULATIONS)[0] <= ALPHA + TOLERANCE


@pytest.mark.slow
def test_the_tasks_with_an_effect_are_named_and_no_others() -> None:
    wrong, found = false_names(Tuned(), "task", 60, frozenset({"t1", "t4", "t5"}))
    assert wrong <= ALPHA + 0.06
    assert found > 0.9


def test_p_is_that_of_the_interval() -> None:
    table = tuned(Tuned(effect=1.0), np.random.default_rng(1))
    found = crossed_interval(table, "difference", replicates=0)
    edge = crossed_interval(table, "difference", replicates=0, level=1 - found.p_value())
    assert min(abs(edge.low), abs(edge.high)) == pytest.approx(0.0, abs=1e-9)
    assert found.p_value() == pytest.approx(2 * min(found.p_value(1), found.p_value(-1)))
    assert found.p_value(1) + found.p_value(-1) == pytest.approx(1.0)


def test_one_kind_of_unit_gives_the_t_test_of_its_means() -> None:
    from scipy.stats import ttest_1samp

    means = [1.0, 2.0, -1.0, 4.0, 0.5]
    table = pd.DataFrame({"task": "t", "target": list("abcde") * 30, "y": means * 30})
    line = group_effects(table, ["task"], "y", ["task", "target"]).iloc[0]
    assert line["p"] == pytest.approx(ttest_1samp(means, 0.0).pvalue)
    assert line["up"] == pytest.approx(ttest_1samp(means, 0.0, alternative="greater").pvalue)
    assert line["down"] == pytest.approx(ttest_1samp(means, 0.0, alternative="less").pvalue)


def test_holm_as_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests

    p = np.random.default_rng(0).uniform(size=30) ** 3
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    some = np.array([0.01, 0.04, math.nan, 0.03, 0.005])
    assert holm(some) == pytest.approx([0.03, 0.06, math.nan, 0.06, 0.02], nan_ok=True)


def test_partial_conjunction_read_slowly() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        p = rng.uniform(size=7) ** 4
        found = partial_conjunction(p)
        rising = sorted(p)
        each = [min(1.0, max((7 - v) * rising[v] for v in range(u + 1))) for u in range(7)]
        assert found.p == pytest.approx(each)
        assert found.count == sum(value <= 0.05 for value in each)
        assert set(found.which) == set(np.flatnonzero(holm(p) <= 0.05))


def test_partial_conjunction_counts_only_what_was_tested() -> None:
    found = partial_conjunction(np.array([math.nan, 0.001, 0.2, math.nan, 0.02]))
    assert (found.count, found.which, found.known) == (2, (1, 4), 3)
    assert partial_conjunction(np.array([math.nan])).count == 0


def test_the_sentence_tells_number_names_and_what_has_no_test() -> None:
    rng = np.random.default_rng(3)
    table = tuned(Tuned(), rng)
    table["difference"] += table["task"].map({"t1": 8.0, "t2": 8.0, "t3": -8.0}).fillna(0.0)
    table.loc[table["task"] == "t0", "difference"] = 0.0
    told = replicated_sentence(replicated(group_effects(table, ["task"]), "task"))
    assert told == (
        "At 95 % confidence it improves on at least 2 of 7 tasks (t1, t2) and it worsens on at "
        "least 1 of 7 tasks (t3); 1 had no spread to test."
    )
    none = replicated_sentence(replicated(group_effects(tuned(Tuned(), rng), ["task"]), "task"))
    assert none == "At 95 % confidence an effect on no single one of 7 tasks can be shown."


@pytest.mark.parametrize(
    "table",
    [
        tuned(Tuned(), np.random.default_rng(4)).assign(difference=1.5),
        tuned(Tuned(models=2, seeds=1), np.random.default_rng(4)),
        tuned(Tuned(), np.random.default_rng(4))[:0],
    ],
    ids=["all equal", "one result a task", "nothing"],
)
def test_degenerate_designs_have_no_test(table: pd.DataFrame) -> None:
    found = group_effects(table, ["task"])
    assert found["p"].isna().all()
    assert "cannot be told" in replicated_sentence(replicated(found, "task"))
