"""Order told beforehand: planted designs, and every sentence compared with what is true of them."""

import json
import math
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from analysis.forecast.features import FEATURES
from analysis.forecast.prediction import (
    CHECKS,
    MOST_WAYS,
    PRESPECIFIED,
    QUESTIONS,
    described,
    past_check,
    past_means,
    pooled,
    source_check,
)
from analysis.forecast.section import forecast_figure, forecasts
from tests.analysis.planted_features import DESIGNS, Planted, ask, found, known, observed
from tests.analysis.shown import drawn

SIMULATIONS = 200
DRAWN = 199

NOTHING = [
    ("source", "nothing to find, pairs on two targets"),
    ("source", "nothing to find, 5 × 7"),
    ("source", "sources of their own worth, 3 of 10 are targets"),
    ("source", "the same, 30 % missing, heavy tails"),
    ("task", "nothing to find, 5 × 7"),
    ("task", "nothing to find, pairs on two targets"),
    ("target", "only agreement with three targets"),
]
THERE = [
    ("source", "agreement explains everything, 5 × 7"),
    ("task", "agreement explains everything, 5 × 7"),
    ("task", "own worth explains most, 5 × 7"),
    ("task", "sources of their own worth, 3 of 10 are targets"),
    ("target", "sources of their own worth, 3 of 10 are targets"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("question", "title"), NOTHING)
def test_what_is_not_there_is_found_at_most_at_the_nominal_rate(question, title):
    design = DESIGNS[title]
    assert not design.truth[question]
    # Up to the 99.9th percentile of what a test at exactly its level of 5 % would do.
    wrong = found(question, design, SIMULATIONS, DRAWN) * SIMULATIONS
    assert wrong <= binom.ppf(0.999, SIMULATIONS, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("question", "title"), THERE)
def test_what_is_there_is_found_in_eight_of_ten_sweeps(question, title):
    design = DESIGNS[title]
    assert design.truth[question]
    assert found(question, design, SIMULATIONS, DRAWN) >= 0.8


@pytest.mark.slow
def test_the_two_questions_are_apart():
    """Sources of their own worth: known on other tasks, and not to be told from agreement."""
    design = Planted(8, tasks=6, own=0.8)
    assert found("task", design, 40, DRAWN) == 1.0
    assert found("source", design, 40, DRAWN) <= 0.2


def test_no_high_rho_is_called_chance():
    """The sentence that stood here: "No better than chance …: mean ρ +0.81, p = 0.992"."""
    for seed in range(20):
        check = ask("task", Planted(5, tasks=7, own=0.9), seed, DRAWN)
        assert check.rho > 0.5 and check.better and "no better than chance" not in check.sentence()


def test_sentences_say_what_was_tested():
    check = source_check(known(DESIGNS["agreement explains everything, 5 × 7"], 0))
    assert check.testable and check.ways == check.looked_at == 120 and check.exact
    assert (check.n, check.blocks, check.sets, check.models) == (35, 7, 5, 5)
    assert check.told_before() == (
        "Told before the outcome, for a new source set: if neighbour agreement explained half of"
        " the differences between source models on a target (R² = 0.5), this design (5 source sets"
        " of 5 models, 1 target, 7 tasks; 120 valid permutations) would show it with a power of"
        f" {check.power:.0%}."
    )
    assert check.outcome() == (
        "For a new source set the order by neighbour agreement is better than chance: mean ρ"
        f" {check.rho:+.2f} within target and task, one-sided p = {check.p:.3f} (source labels"
        " exchanged in all tasks and targets at once, 120 valid permutations, all looked at;"
        " n = 35 gains in 7 blocks)."
    )
    assert check.sentence() == f"{check.told_before()} {check.outcome()}"
    drawn = past_check(known(Planted(own=0.9), 0)).outcome()
    assert "source labels exchanged in each task on its own, more than a million valid" in drawn
    assert "1,999 drawn" in drawn
    missed = next(
        check for check in (ask("source", Planted(), seed) for seed in range(9)) if not check.better
    )
    assert "is not shown to be better than chance: mean ρ" in missed.outcome()
    assert f"With a power of {missed.power:.0%} this is no evidence" in missed.outcome()


def test_three_models_can_never_show_an_order_and_it_says_so():
    check = ask("source", Planted(3, agreement=1.0), 0)
    assert (check.rho, check.ways, check.power) == (pytest.approx(1.0), 6, 0.0)
    assert not check.better and math.isnan(check.p)
    assert (
        "cannot be tested: the design allows only 6 valid permutations, and p ≤ 0.05 takes 20"
        " (mean ρ +1.00" in check.outcome()
    )
    # Three tasks are enough for the past mean: 6 · 6 ways beside the one that relabels all alike.
    assert ask("task", Planted(3, tasks=3, own=1.0), 0).ways == 36


def test_ten_sources_of_which_three_are_targets():
    check = ask("source", DESIGNS["sources of their own worth, 3 of 10 are targets"], 0)
    assert check.ways == check.looked_at == 5040 and check.exact and check.power > 0.8
    assert check.n == 9 * 3 * 3


def test_what_cannot_be_ordered_says_why():
    table = observed(Planted(), 0)
    (flat,) = forecasts(table.assign(gain=0.5))
    assert [check.sentence() for check in flat.checks] == [
        f"For {asked.about} nothing can be said: {asked.nothing}."
        for asked in (QUESTIONS["source"], QUESTIONS["task"])
    ]
    bare = pooled(table.drop(columns=PRESPECIFIED))
    assert "nothing can be said" in source_check(bare).sentence()
    lone = pooled(table[table["sources"] == "m0"])
    assert lone.empty
    for check in CHECKS.values():
        assert "nothing can be said" in check(lone).sentence()
    one = pooled(table[table["task"] == "task0"])
    assert source_check(one).testable and "nothing can be said" in past_check(one).sentence()


@pytest.mark.slow
def test_numbers_of_ways_beyond_all_measure_are_told_in_words():
    check = ask("task", Planted(9, tasks=9), 0, 20)
    assert check.ways == MOST_WAYS and "more than a million" in check.sentence()
    assert json.loads(json.dumps(asdict(check)))["ways"] == MOST_WAYS


def test_gains_are_relative_to_their_block_and_averaged_over_sweeps():
    table = observed(Planted(3, targets=2, tasks=2), 0).assign(sweep="one")
    other = table.assign(sweep="two", gain=2 * table["gain"] + 7, source_ids=table["source_ids"])
    both = pooled(pd.concat([table, other]))
    alone = pooled(table)
    assert both["gain"].to_numpy() == pytest.approx(1.5 * alone["gain"].to_numpy())
    assert alone.groupby(["target_id", "task"])["gain"].mean().to_numpy() == pytest.approx(0)
    pairs = observed(Planted(3, size=2), 0)
    turned = pairs.assign(source_ids=[text[3:] + "+" + text[:2] for text in pairs["source_ids"]])
    pd.testing.assert_frame_equal(pooled(pairs), pooled(turned))


@pytest.mark.parametrize(("new", "kept"), [("task", "target_id"), ("target", "task")])
def test_past_means_leave_out_what_is_asked_about(new, kept):
    design = Planted(4, targets=3, tasks=3, missing=0.4)
    table = pooled(observed(design, 1))
    asked = observed(Planted(5, targets=4, tasks=4), 0)
    left_out = "task" if new == "task" else "target_id"
    for row, value in zip(asked.to_dict("records"), past_means(table, asked, new), strict=True):
        part = table[
            (table["source_ids"] == row["source_ids"])
            & (table[kept] == row[kept])
            & (table[left_out] != row[left_out])
        ]
        assert value == pytest.approx(part["gain"].mean(), nan_ok=True)


def test_other_features_are_described_and_never_judged():
    table = pooled(observed(Planted(agreement=0.9), 0))
    rows = described(table).set_index("name")
    assert {"past", "random", "agreement", "cka", "source_score"} <= set(rows.index)
    # The same for all source sets of a block, or not known at all.
    assert "empty_entropy" not in rows.index and "similarity" not in rows.index
    assert rows.loc["agreement", "rho"] == pytest.approx(source_check(table).rho)
    assert rows.loc["past", "rho"] == pytest.approx(past_check(table).rho)
    assert rows.loc["agreement", "regret"] < rows.loc["random", "regret"]
    assert rows.loc["cka", "title"] == FEATURES["cka"].title
    assert not {"p", "better"} & set(rows.columns)


@pytest.mark.slow
def test_the_figure_has_a_panel_a_question_and_is_none_without_an_order():
    table = observed(Planted(size=2, targets=2, tasks=2, agreement=0.5), 0)
    (item,) = forecasts(table)
    assert item.about == "Soft prompts, sets of several sources"
    image = drawn(forecast_figure, item, fmt="png")
    assert image is not None and image.startswith(b"\x89PNG")
    (flat,) = forecasts(table.assign(gain=0.0))
    assert drawn(forecast_figure, flat) is None
    assert forecasts(table[table["sources"] == "m0+m1"]) == []
    # Thousands of points are drawn as pixels: as shapes they would fill the page.
    (large,) = forecasts(observed(Planted(9, size=2, targets=4, tasks=12), 0))
    image = drawn(forecast_figure, large)
    assert image is not None and len(image) < 400_000
    two = pd.concat([table, table.assign(method="soft_2")])
    assert np.array_equal(
        [one.about.split(",")[0] for one in forecasts(two)],
        ["Soft prompts (soft)", "Soft prompts (soft_2)"],
    )
