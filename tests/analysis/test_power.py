import math

import numpy as np
import pytest

from analysis.power import detectable, detectable_effects, power_of, seeds_needed, spread
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


def test_seeds_cannot_make_up_for_few_cases() -> None:
    assert seeds_needed(1.0, 2.0, between_cases=3.0, cases=10) is None
    assert seeds_needed(1.0, 2.0, between_cases=0.5, cases=30) is not None
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
    equal = planted(Planted(), rng).assign(difference=0.0)
    assert detectable_effects(equal).one_case == 0.0
