"""Orders of source sets against SciPy and slow readings."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from analysis.stats.ordering import (
    alike_blocks,
    feature_rho,
    orderable,
    past_rho,
    regret,
    unit_ranks,
    with_past,
    within_blocks,
)


def slow_rho(one, other):
    """SciPy's ρ of the values that both sides have; 0 where a side does not vary."""
    both = ~(np.isnan(one) | np.isnan(other))
    one, other = one[both], other[both]
    return 0.0 if np.ptp(one) < 1e-9 or np.ptp(other) < 1e-9 else spearmanr(one, other).statistic


def test_order_and_regret_by_hand():
    gain = np.array([3.0, 1.0, 2.0, 5.0, 4.0, 7.0])
    blocks = np.array([0, 0, 0, 1, 1, 2])
    order = np.array([1.0, 3.0, 2.0, 9.0, 8.0, 0.0])
    value, count = within_blocks(order, gain, blocks)
    assert (pytest.approx(value), count) == ((-1.0 + 1.0) / 2, 2)
    assert regret(order, gain, blocks) == (2.0 + 0.0) / 2
    # No order at all is no skill, and a tie for the first place its mean.
    assert within_blocks(np.zeros(6), gain, blocks)[0] == 0.0
    assert regret(np.zeros(6), gain, blocks) == (1.0 + 0.5) / 2
    assert math.isnan(within_blocks(order, np.ones(6), blocks)[0])


def test_rho_with_ties_is_scipys():
    draw = np.random.default_rng(1)
    x, y = draw.integers(0, 4, 20).astype(float), draw.integers(0, 4, 20).astype(float)
    assert unit_ranks(x) @ unit_ranks(y) == pytest.approx(spearmanr(x, y).statistic)
    present = draw.random(20) < 0.7
    left = unit_ranks(x, present) @ unit_ranks(y, present)
    assert left == pytest.approx(spearmanr(x[present], y[present]).statistic)
    assert (unit_ranks(x, present)[~present] == 0).all()


def test_a_feature_under_exchanges_is_the_slow_loop():
    draw = np.random.default_rng(2)
    gains = draw.integers(0, 9, (2, 4, 5)).astype(float)
    gains[0, 1, 2] = gains[1, 3, 4] = math.nan
    gains[1, 0] = 3.0  # equal gains: not scored
    values = draw.integers(0, 3, (2, 5)).astype(float)
    orders = np.array(list(itertools.permutations(range(5))))[::7]
    scored = orderable(gains)
    assert scored.sum() == 7
    wanted = [
        np.mean([slow_rho(values[t][order], gains[t, k]) for t, k in np.argwhere(scored)])
        for order in orders
    ]
    assert feature_rho(values, alike_blocks(gains, scored), orders) == pytest.approx(wanted)


def test_the_past_mean_under_exchanges_is_the_slow_loop():
    draw = np.random.default_rng(3)
    gains = draw.integers(0, 9, (2, 3, 4)).astype(float)
    gains[:, :, 3] = math.nan
    gains[0, 0, 3] = 5.0  # without a past on its target
    gains[1, 2, 0] = math.nan
    gains = with_past(gains)
    assert np.isnan(gains[0, 0, 3])
    here = ~np.isnan(gains)
    # What may be exchanged in a task: sets that are there on the same targets.
    orders = []
    for _ in range(20):
        order = np.tile(np.arange(4), (3, 1))
        for unit in range(3):
            free = [s for s in range(4) if here[:, unit, s].all()]
            order[unit, free] = draw.permutation(free)
        orders.append(order)
    wanted = []
    for order in orders:
        moved = np.stack([gains[:, unit][:, order[unit]] for unit in range(3)], axis=1)
        rho = []
        for lane, unit in itertools.product(range(2), range(3)):
            rest = [other for other in range(3) if other != unit]
            known = here[lane, unit]
            past = np.full(4, math.nan)
            past[known] = np.nanmean(moved[lane][rest][:, known], axis=0)
            rho.append(slow_rho(past, moved[lane, unit]))
        wanted.append(np.mean(rho))
    assert past_rho(gains, np.array(orders)) == pytest.approx(wanted)
