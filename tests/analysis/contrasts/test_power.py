import math

import numpy as np
import pandas as pd
import pytest
from scipy.special import stdtr

from analysis.contrasts.power import detectable, detectable_effects, power_of, seeds_needed, spread
from analysis.dependence.tables import power_grid, power_sentence
from analysis.present.grid import DASH
from tests.analysis.planted import Planted, planted


@pytest.mark.parametrize("n", [2, 3, 5, 20, 200])
def test_detectable_effect_has_the_power_asked_for(n: int) -> None:
    assert power_of(detectable(2.0, n), 2.0, n) == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize("n", [3, 5, 30])
def test_detectable_as_statsmodels(n: int) -> None:
    power = pytest.importorskip("statsmodels.stats.power")
    told = power.TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8, alternative="two-sided")
    assert detectable(1.0, n) == pytest.approx(told, rel=1e-4)


def test_power_by_simulation() -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal(1.0, 1.0, size=(20_000, 6))
    t = draws.mean(axis=1) / draws.std(axis=1, ddof=1) * math.sqrt(6)
    assert power_of(1.0, 1.0, 6) == pytest.approx(np.mean(np.abs(t) > 2.570582), abs=0.01)


def test_seeds_are_the_fewest_that_suffice() -> None:
    seeds = seeds_needed(1.0, 2.0)
    assert seeds is not None
    assert power_of(1.0, 2.0, seeds) >= 0.8 > power_of(1.0, 2.0, seeds - 1)
    assert seeds_needed(0.0, 2.0) is None


def test_spread_is_recovered() -> None:
    rng = np.random.default_rng(1)
    found = [spread(planted(Planted(pair_task=2.0, noise=1.5), rng)) for _ in range(20)]
    assert np.mean([item.between_cases for item in found]) == pytest.approx(2.0, rel=0.05)
    assert np.mean([item.between_seeds for item in found]) == pytest.approx(1.5, rel=0.05)
    assert (found[0].cases, found[0].seeds) == (196, 5)


def test_degenerate_designs_give_a_sentence() -> None:
    rng = np.random.default_rng(2)
    assert "One seed" in detectable_effects(planted(Planted(seeds=1), rng)).note
    assert "One case" in detectable_effects(planted(Planted(models=2, tasks=1), rng)).note
    assert "no paired" in detectable_effects(planted(Planted(models=3), rng)[:0]).note
    equal = detectable_effects(planted(Planted(), rng).assign(difference=0.0))
    assert math.isnan(equal.one_case) and math.isnan(equal.over_cases)
    assert power_sentence(equal) == (
        "No difference varies: what the design could detect cannot be told."
    )
    assert seeds_needed(1.0, 0.0) is None
    still = planted(Planted(), rng)
    still["difference"] = still.groupby(["sources", "task"])["difference"].transform("first")
    found = detectable_effects(still)
    assert "No case varies" in found.note
    assert math.isnan(found.one_case) and found.over_cases > 0


def tasks_apart() -> pd.DataFrame:
    """Seeds spread by 0, 1.7 and 29.2 points on three tasks."""
    table = planted(Planted(tasks=3, noise=1.0), np.random.default_rng(3))
    return table.assign(
        difference=table["difference"] * table["task"].map({"t0": 0.0, "t1": 1.7, "t2": 29.2})
    )


def test_the_spread_is_told_by_task() -> None:
    pairs = tasks_apart()
    found = detectable_effects(pairs)
    table = found.by_task.set_index("task")
    assert table["between_seeds"].tolist() == pytest.approx([0.0, 1.7, 29.2], rel=0.2)
    assert found.spread.between_seeds == pytest.approx(16.9, rel=0.2)
    for task, part in pairs[pairs["task"] != "t0"].groupby("task"):
        sd = math.sqrt(part.groupby("sources")["difference"].var().mean())
        assert table.loc[task, "one_case"] == pytest.approx(detectable(sd, 5))
    assert math.isnan(table.loc["t0", "one_case"])
    text = power_sentence(found)
    assert "by task from" in text
    assert "on 1 of 3 tasks seeds do not vary and nothing can be told" in text
    assert power_grid(found.by_task).lines[0].entries[1].text == DASH


def test_examples_are_a_floor() -> None:
    """With many seeds what is left is 2.80 standard errors over examples (z of 97.5 and 80 %)."""
    assert detectable(2.0, 10_000, examples=0.5) == pytest.approx(2.8016 * 0.5, rel=0.01)
    assert detectable(2.0, 5, examples=0.5) >= detectable(2.0, 5)
    assert detectable(2.0, 5, examples=1.0) > 1.1 * detectable(2.0, 5)
    assert detectable(2.0, 5, examples=1.0) > 2.8
    assert detectable(2.0, 5, examples=0.0) == detectable(2.0, 5)
    assert seeds_needed(1.0, 2.0, examples=0.4) is None
    some, none = seeds_needed(1.0, 2.0, examples=0.2), seeds_needed(1.0, 2.0)
    assert some is not None and none is not None and some > none


def test_power_with_examples_by_simulation() -> None:
    rng = np.random.default_rng(4)
    n, sd, examples, effect = 5, 2.0, 0.6, 2.5
    draws = rng.normal(effect, sd, size=(40_000, n)) + examples * rng.normal(size=(40_000, 1))
    variance = draws.var(axis=1, ddof=1) / n
    total = variance + examples**2
    t = draws.mean(axis=1) / np.sqrt(total)
    p = 2 * stdtr((n - 1) * (total / variance) ** 2, -np.abs(t))
    # The planner knows the spread, a test estimates it with its degrees of freedom.
    assert power_of(effect, sd, n, examples=examples) == pytest.approx(np.mean(p < 0.05), abs=0.04)


def test_examples_by_task_reach_the_sentence() -> None:
    pairs = tasks_apart()
    plain = detectable_effects(pairs)
    found = detectable_effects(pairs, pd.Series({"t1": 2.0, "t2": math.nan}), 0.5)
    one, two = (
        plain.by_task.set_index("task")["one_case"],
        found.by_task.set_index("task")["one_case"],
    )
    assert two["t1"] > one["t1"] and two["t2"] == one["t2"]
    assert found.examples == pytest.approx((2.0 / math.sqrt(3), 0.5))
    assert found.over_cases > plain.over_cases
    assert "test examples with a standard error of 0.5" in power_sentence(found)
