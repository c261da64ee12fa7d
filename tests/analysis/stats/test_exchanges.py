"""Valid permutations: against all permutations tried one by one, counted, and drawn evenly."""

import itertools
import math

import numpy as np
import pytest

from analysis.stats.exchanges import Exchanges, exchanges, p_value, sample, separate


def one_by_one(sets, places):
    """Every permutation of the models, kept where each place's sets are mapped onto themselves."""
    models = sorted({model for row in sets for model in row})
    number = {frozenset(row): place for place, row in enumerate(sets)}
    used = {place for row in places for place in row}
    found = set()
    for order in itertools.permutations(models):
        name = dict(zip(models, order, strict=True))
        image = [number.get(frozenset(name[model] for model in row)) for row in sets]
        if all({image[place] for place in row} == set(row) for row in places):
            found.add(tuple(image[place] if place in used else place for place in range(len(sets))))
    return found


@pytest.mark.parametrize("seed", range(25))
def test_all_valid_permutations_and_no_other(seed):
    draw = np.random.default_rng(seed)
    models = list("abcdef")[: draw.integers(2, 7)]
    sizes = (1, 2, 3)[: draw.integers(1, 4)]
    every = [one for size in sizes for one in itertools.combinations(models, size)]
    share = draw.choice([0.3, 0.7, 1.0])
    sets = tuple(one for one in every if draw.random() < share) or (("a",),)
    share = draw.choice([0.7, 1.0])
    places = tuple(
        tuple(number for number in range(len(sets)) if draw.random() < share)
        for _ in range(draw.integers(1, 4))
    )
    found, wanted = exchanges(sets, places), one_by_one(sets, places)
    listed = [tuple(row) for row in found.every().tolist()]
    assert set(listed) == wanted and len(listed) == found.count == len(wanted)
    assert listed[0] == tuple(range(len(sets)))
    drawn = {tuple(row) for row in found.draw(300, draw).tolist()}
    assert drawn <= wanted


def test_ten_sources_of_which_three_are_targets_have_5040_and_all_are_used():
    sets = tuple((f"m{number}",) for number in range(10))
    places = tuple(tuple(s for s in range(10) if s != target) for target in range(3))
    found = exchanges(sets, places)
    assert found.count == 5040
    orders, exact = sample([found])
    assert exact and len(np.unique(orders[:, 0], axis=0)) == 5040
    assert (orders[:, 0, :3] == [0, 1, 2]).all()


def test_draws_are_even():
    sets = tuple(itertools.combinations("abcd", 2))
    found = exchanges(sets, (tuple(range(6)),))
    assert found.count == 24
    rows, times = np.unique(
        found.draw(24_000, np.random.default_rng(0)), axis=0, return_counts=True
    )
    assert len(rows) == 24
    # Chi squared with 23 degrees of freedom: 49.7 is its 99.9th percentile.
    assert ((times - 1000) ** 2 / 1000).sum() < 49.7


def test_models_that_occur_only_together_are_one():
    sets = tuple((f"a{number}", f"b{number}") for number in range(4))
    assert exchanges(sets, (tuple(range(4)),)).count == 24


@pytest.mark.parametrize("size", [1, 2])
def test_many_models_are_counted_without_trying_all(size):
    sets = tuple(itertools.combinations([f"m{number:02d}" for number in range(14)], size))
    assert exchanges(sets, (tuple(range(len(sets))),)).count == math.factorial(14)


def test_a_ring_in_any_order_of_names():
    """No two models are exchangeable alone, and a wrong first image shows late."""
    order = np.random.default_rng(0).permutation(16)
    sets = tuple((f"m{order[place]:02d}", f"m{order[place - 1]:02d}") for place in range(16))
    assert exchanges(sets, (tuple(range(16)),)).count == 32


def test_what_is_exchanged_in_every_task_on_its_own():
    sets = tuple((name,) for name in "abcd")
    whole, part = ((0, 1, 2, 3),), ((0, 1, 2),)
    parts, ways = separate(sets, (whole, whole, whole))
    assert [one.count for one in parts] == [1, 24, 24] and ways == 24 * 24
    orders, exact = sample(parts)
    assert exact and len(orders) == ways
    assert len(np.unique(orders.reshape(ways, -1), axis=0)) == ways
    assert (orders[0] == np.arange(4)).all()
    # Beside a task without d, the other has 24 ways, of which 6 only relabel both alike.
    parts, ways = separate(sets, (whole, part))
    assert ways == 24 * 6 // 6 and math.prod(one.count for one in parts) in (ways, 24 * 6)
    drawn, exact = sample(parts, every=10, drawn=50)
    assert not exact and drawn.shape == (51, 2, 4) and (drawn[0] == np.arange(4)).all()
    assert (drawn[:, 1, 3] == 3).all()


def test_the_p_value_counts_what_was_observed():
    assert p_value(np.array([2.0, 1.0, 2.0 + 1e-12, 3.0])) == 3 / 4
    assert p_value(np.array([5.0, *np.zeros(1999)])) == 1 / 2000


def test_nothing_there_is_one_way():
    assert exchanges((("a",),), ((),)).count == 1
    assert Exchanges((), 3).every().tolist() == [[0, 1, 2]]
