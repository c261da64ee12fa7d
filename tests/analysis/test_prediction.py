"""The models of the gain: formulas by slow readings, planted relations found, none invented."""

import math
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import binom, spearmanr
from sklearn.linear_model import Ridge as Reference
from sklearn.preprocessing import StandardScaler

from analysis.forecasts import forecast_figure, forecasts
from analysis.ordering import random_regret, regret, within_blocks
from analysis.prediction import (
    GROUPINGS,
    MODELS,
    best_heuristic,
    exchanged,
    forecast,
    held_out,
    interval_half_width,
    problem,
    skill,
    splits,
)
from analysis.ridge import STRENGTHS, fit_ridge
from tests.analysis.planted_features import observed

ONE_FEATURE = ("agreement", "source_size")
LEVEL = 0.05


def test_the_ridge_is_scikit_learns_at_the_strength_with_the_least_held_out_error():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(30, 4)) * [1, 10, 0.1, 1] + 3
    y = x @ [1.0, 0.05, 2.0, 0.0] + draw.normal(size=30)
    groups = [np.arange(start, 30, 3) for start in range(3)]

    def reference(rows, strength):
        scaler = StandardScaler().fit(x[rows])
        model = Reference(alpha=strength).fit(scaler.transform(x[rows]), y[rows])
        return lambda new: model.predict(scaler.transform(new))

    errors = [
        sum(
            ((reference(np.setdiff1d(np.arange(30), held), strength)(x[held]) - y[held]) ** 2).sum()
            for held in groups
        )
        for strength in STRENGTHS
    ]
    found = fit_ridge(x, y, groups)
    assert found.strength == STRENGTHS[int(np.argmin(errors))]
    assert found.predict(x) == pytest.approx(reference(np.arange(30), found.strength)(x))


def test_order_and_regret_by_hand():
    gain = np.array([3.0, 1.0, 2.0, 5.0, 4.0, 7.0])
    blocks = np.array([0, 0, 0, 1, 1, 2])
    order = np.array([1.0, 3.0, 2.0, 9.0, 8.0, 0.0])
    value, count = within_blocks(order, gain, blocks)
    assert (value, count) == ((-1.0 + 1.0) / 2, 2)
    assert regret(order, gain, blocks) == (2.0 + 0.0) / 2
    assert random_regret(gain, blocks) == (1.0 + 0.5) / 2
    # No order at all is no skill, and a tie for the first place its mean.
    assert within_blocks(np.zeros(6), gain, blocks)[0] == 0.0
    assert regret(np.zeros(6), gain, blocks) == random_regret(gain, blocks)
    draw = np.random.default_rng(1)
    x, y = draw.integers(0, 4, 20).astype(float), draw.integers(0, 4, 20).astype(float)
    assert within_blocks(x, y, np.zeros(20, dtype=int))[0] == pytest.approx(spearmanr(x, y)[0])


@pytest.mark.parametrize("grouping", GROUPINGS)
@pytest.mark.parametrize("size", [1, 2])
def test_what_is_held_out_shares_no_group_with_what_is_learnt_from(grouping, size):
    part = problem(observed(0, size=size))
    seen = np.zeros(len(part.y), dtype=int)
    count = 0
    for train, test in splits(part, grouping):
        count += 1
        seen[test] += 1
        assert not set(train) & set(test)
        if grouping == "task":
            assert not {part.tasks[row] for row in train} & {part.tasks[row] for row in test}
        else:
            common = set.intersection(*(set(part.sources[row]) for row in test))
            assert common and not common & {model for row in train for model in part.sources[row]}
    assert count == 4
    assert set(seen) == {size if grouping == "source" else 1}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("grouping", GROUPINGS)
def test_a_prediction_does_not_change_with_the_gains_it_is_held_out_from(grouping, model):
    table = observed(3, size=1)
    held = table["sources"] == "m1" if grouping == "source" else table["task"] == "task1"
    altered = table.assign(gain=table["gain"].where(~held, 1e6 * table["agreement"]))
    before, after = (held_out(problem(one), grouping, model) for one in (table, altered))
    assert (before[held] == after[held]).all()
    assert (before[~held] != after[~held]).any()


def test_exchanging_sources_keeps_blocks_and_moves_whole_models():
    part = problem(observed(2), ONE_FEATURE)
    found = list(exchanged(part))
    assert len(found) == math.factorial(4)
    assert (found[0].x == part.x).all()
    models = sorted({model for row in part.sources for model in row})
    for order, other in zip(permutations(models), found, strict=True):
        name = dict(zip(models, order, strict=True))
        for row in range(len(part.y)):
            wanted = {name[model] for model in part.sources[row]}
            source = next(
                place
                for place in range(len(part.y))
                if set(part.sources[place]) == wanted and part.blocks[place] == part.blocks[row]
            )
            assert (other.x[row] == part.x[source]).all()


def test_a_planted_relation_is_found_and_the_regret_falls():
    better = []
    for seed in range(8):
        part = problem(observed(seed, effect=0.1, sources=6, size=1, noise=0.01), ONE_FEATURE)
        found = [skill(part, grouping, "rank", permutations=40) for grouping in GROUPINGS]
        better.append(all(item.better for item in found))
        assert found[1].regret <= found[1].random_regret
    assert np.mean(better) >= 0.7


def test_nothing_planted_is_no_better_than_chance():
    """200 simulations; with a source effect, results of one model are no independent draws."""
    simulations = 200
    for grouping in GROUPINGS:
        wrong = sum(
            skill(
                problem(observed(seed, source_effect=0.1, tasks=2, targets=1, size=1), ONE_FEATURE),
                grouping,
                "rank",
            ).better
            for seed in range(simulations)
        )
        # Up to the 99.9th percentile of what a test at exactly its level would do.
        assert wrong <= binom.ppf(0.999, simulations, LEVEL)


def test_three_models_can_never_show_a_skill_and_it_says_so():
    found = skill(problem(observed(0, effect=1.0, sources=3, size=1)), "task", "rank")
    assert found.permutations == 6
    assert not found.better
    assert "cannot be told" in found.sentence() and "only 6 ways" in found.sentence()


def test_the_interval_covers_what_it_is_said_to():
    draw = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        gains = draw.normal(size=21)
        half = interval_half_width(np.zeros(20), gains[:20])
        covered.append(abs(gains[20]) <= half)
    assert np.mean(covered) == pytest.approx(19 / 21, abs=0.045)
    assert math.isnan(interval_half_width(np.array([math.nan]), np.array([0.0])))


def test_the_forecast_predicts_orders_and_says_what_it_is_worth():
    table = observed(1, effect=0.1, sources=5, size=1, noise=0.001)
    found = forecast(table, ("agreement", "cka"), permutations=120)
    assert found.better and "better than chance for a new source" in found.sentence()
    new = found.predict(table)
    assert spearmanr(new["order"], new["agreement"])[0] > 0.5
    assert (new["high"] - new["low"]).to_numpy() == pytest.approx(2 * found.half_width)
    assert best_heuristic(table)[0] == "agreement"
    lone = forecast(table[table["sources"] == "m0"], ("agreement",))
    assert "Nothing can be said" in lone.sentence() and not lone.better


def test_equal_gains_and_missing_features_give_a_sentence():
    table = observed(1).assign(gain=0.5)
    assert "Nothing can be said" in forecast(table).sentence()
    bare = observed(1).assign(
        agreement=np.nan, cka=np.nan, source_size=np.nan, empty_entropy=np.nan
    )
    found = forecast(bare)
    assert found.names == () and not found.better


def test_the_figure_has_the_skill_in_its_title_and_is_none_without_predictions():
    table = observed(0, effect=0.1)
    item = forecasts(table, permutations=24)[0]
    assert item.about == "Soft prompts, sets of several sources, features known before tuning"
    image = forecast_figure(item, "png")
    assert image is not None and image.startswith(b"\x89PNG")
    assert forecasts(table[table["sources"] == "m0+m1"]) == []
