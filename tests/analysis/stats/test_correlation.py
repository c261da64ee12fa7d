"""Spearman's ρ against scipy, and its bootstrap against drawing clusters one by one."""

import math

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from analysis.stats.correlation import LEAST_CLUSTERS, RESAMPLES, _midranks, _weighted, spearman


def cloud(n: int, slope: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 6, n) / 5  # many ties, as shares of words have
    return x, slope * x + rng.normal(size=n)


@pytest.mark.parametrize("slope", [-1.0, 0.0, 2.0])
def test_the_value_is_scipys(slope: float) -> None:
    x, y = cloud(40, slope)
    found = spearman(x, y, np.arange(40))
    assert found.value == pytest.approx(spearmanr(x, y).statistic)
    assert (found.n, found.clusters) == (40, 40)


def test_weights_are_multiplicities() -> None:
    x, y = cloud(12, 1.0)
    weights = np.random.default_rng(1).integers(0, 4, (5, 12)).astype(float)
    found = _weighted(x, y, weights)
    for value, counts in zip(found, weights.astype(int), strict=True):
        assert value == pytest.approx(spearmanr(x.repeat(counts), y.repeat(counts)).statistic)
    ranks = _midranks(x, weights)
    for mine, counts in zip(ranks, weights.astype(int), strict=True):
        np.testing.assert_allclose(mine.repeat(counts), rankdata(x.repeat(counts)))


@pytest.mark.slow
def test_the_interval_is_that_of_whole_clusters_drawn_one_by_one() -> None:
    x, y = cloud(30, 1.0)
    clusters = np.repeat(np.arange(10), 3)
    draws = np.random.default_rng(0).multinomial(10, [0.1] * 10, RESAMPLES)
    values = []
    for counts in draws:
        members = [i for name in range(10) for _ in range(counts[name]) for i in range(30)
                   if clusters[i] == name]  # fmt: skip
        values.append(spearmanr(x[members], y[members]).statistic)
    found = spearman(x, y, clusters)
    low, high = np.nanquantile(values, [0.025, 0.975])
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.clusters == 10
    alone = spearman(x, y, np.arange(30))
    assert (alone.low, alone.high) != (found.low, found.high)


def test_direction() -> None:
    x, y = cloud(200, 3.0)
    assert spearman(x, y, np.arange(200)).direction == 1
    assert spearman(x, -y, np.arange(200)).direction == -1
    assert spearman(*cloud(200, 0.0), np.arange(200)).direction == 0


@pytest.mark.slow
def test_the_interval_covers_about_as_often_as_it_says() -> None:
    """No relation: some 5 % of the intervals miss 0."""
    missed = sum(
        spearman(*cloud(30, 0.0, seed), np.arange(30)).direction != 0 for seed in range(100)
    )
    assert missed <= 14


def test_what_cannot_be_told_is_nan() -> None:
    x, y = cloud(20, 1.0)
    assert math.isnan(spearman(x[:2], y[:2], [0, 1]).value)
    assert math.isnan(spearman(np.ones(20), y, np.arange(20)).value)
    few = spearman(x, y, np.arange(20) % (LEAST_CLUSTERS - 1))
    assert not math.isnan(few.value)
    assert math.isnan(few.low)
    assert few.direction == 0
    holes = np.where(np.arange(20) % 2, x, np.nan)
    assert spearman(holes, y, np.arange(20)).value == pytest.approx(
        spearmanr(x[1::2], y[1::2]).statistic
    )
    assert spearman([], [], []).n == 0
