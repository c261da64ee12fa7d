"""What validation chooses, the frontier, and the sentence beside the planted truth."""

import math

import numpy as np
import pandas as pd
import pytest

from analysis.frontier.advice import advice, advice_text
from analysis.frontier.choice import TIE, Table, table
from analysis.frontier.frontier import LEAST, MOST, Frontier, ground, summaries
from analysis.frontier.lines import UNIT, Field, Line, Price, field
from tests.analysis.planted_ways import (
    CLOSED,
    DISTIL,
    PROXY,
    READOUT,
    SELF,
    TUNE,
    WAYS,
    Sweep,
    Way,
    cost,
)
from tests.analysis.planted_ways import table as made

POOR = tuple(Way(way.settings, -0.5, way.cost, own=way.own) for way in WAYS)
TRUTHS = {
    "Empty is best": (
        Sweep(POOR, gap=0.04, calibrated=-0.05, manual=-0.02, source=0.1),
        "Without labels of it: use it without a prompt (Empty)",
        [],
        ["nothing is shown to be better"],
    ),
    "recalibrating is best": (
        Sweep(POOR, gap=0.06, calibrated=0.08),
        "Without labels of it: recalibrate and use no prompt (Empty + calibration)",
        ["It costs nothing on the target."],
        ["With its labels"],
    ),
    "the carried prompt is as good as any": (
        Sweep((Way(CLOSED.settings, 0.5, cost()), *(Way(w.settings, 0.5, w.cost) for w in DISTIL))),
        "Without labels of it: keep the carried prompt (closed_form)",
        ["It costs nothing on the target."],
        [],
    ),
    "a readout is best": (
        Sweep((CLOSED, READOUT, *DISTIL[:2], PROXY, SELF), gap=0.2, direct=0.0),
        "Without labels of it: read out (readout)",
        ["It costs 512 rows of work on the target and 512 texts without labels", "hidden states"],
        [],
    ),
    "Direct is far above": (
        Sweep((CLOSED, DISTIL[2], TUNE), gap=0.45),
        "With its labels: tune a prompt on it (Direct)",
        ["60,000 rows of work", "points over the answer without labels"],
        [],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", TRUTHS)
def test_the_sentence_says_the_planted_truth(case):
    sweep, wanted, more, never = TRUTHS[case]
    frame = made(sweep, np.random.default_rng(5))
    text = advice_text(field(frame).at("elk"))
    assert wanted in text
    assert all(part in text for part in more)
    assert not any(part in text for part in never)
    assert "each seed's on the other seeds" in text


def test_the_gain_is_over_calibrated_empty_and_not_clear_where_it_is_not():
    same = [Way(READOUT.settings, 0.2, READOUT.cost)]
    sweep = Sweep((CLOSED, *same), gap=0.3, calibrated=0.06, reading=0.04, tasks=("mini/a",))
    lines = field(made(sweep, np.random.default_rng(0))).at("elk")
    found = advice(lines, lines.units, labelled=False)
    assert found is not None and found.crossfitted
    assert found.over.direction <= 0
    assert found.line.name == "Empty" or "nothing is shown to be better than" in advice_text(lines)


def test_one_seed_is_said_to_choose_for_itself():
    lines = field(made(Sweep(seeds=(0,)), np.random.default_rng(0))).at("elk")
    assert "on the one seed that there is" in advice_text(lines)


def test_the_source_is_never_advised_and_what_is_poor_is_said():
    sweep = Sweep((CLOSED, PROXY), source=0.01)
    lines = field(made(sweep, np.random.default_rng(0))).at("elk")
    text = advice_text(lines)
    assert "proxy" not in text and "source (" not in text
    assert "In none of 12 pairs of source set and task" in text


def lines_of(scores: np.ndarray, validation: np.ndarray, prices: list[Price]) -> Field:
    """L lines with one case and S seeds: [L, S] each; Empty at 0.4, Direct at 0.8."""
    seeds = scores.shape[1]
    units = pd.DataFrame({"sources": "s", "task": "t", "target": "g", "seed": range(seeds),
                          "unit": range(seeds)})  # fmt: skip
    made = [
        Line(f"l{number}", "way", "single", False,
             units.assign(cell="c", score=scores[number], validation=validation[number]), price)
        for number, price in enumerate(prices)
    ]  # fmt: skip
    levels = pd.DataFrame({"empty": 0.4, "empty_cell": "e", "direct": 0.8, "direct_seed": 0.8,
                           "direct_cell": "d"}, index=units["unit"])  # fmt: skip
    return Field(tuple(made), units.assign(worth=True), levels, "single")


@pytest.mark.slow
def test_what_is_chosen_is_reported_without_the_luck_of_the_choice():
    """200 sweeps of eight lines that are truly equal, whose seeds' luck is on both splits."""
    rng = np.random.default_rng(0)
    honest, naive = [], []
    for _ in range(200):
        luck = 0.04 * rng.normal(size=(8, 5))
        prices = [Price(work=float(place)) for place in range(8)]
        lines = lines_of(0.6 + luck, 0.6 + luck, prices)
        found = table(lines.lines, lines.units)
        among = range(8)
        chosen = found.chosen(among)
        honest.append(np.mean([found.test[place, seed] for seed, place in enumerate(chosen)]))
        naive.append(found.test[found.best(among)].mean())
    assert abs(np.mean(honest) - 0.6) < 0.003
    assert np.mean(naive) - 0.6 > 0.01


def test_of_equals_the_cheaper_is_taken():
    prices = [Price(work=512.0), Price(work=64.0), Price(labels=9.0, few=True)]
    scores = np.array([[0.7, 0.7], [0.7 - TIE, 0.7 - TIE], [0.7, 0.7]])
    lines = lines_of(scores, scores, prices)
    found = table(lines.lines, lines.units)
    assert [line.name for line in found.lines] == ["l1", "l0", "l2"]
    assert found.lines[found.best(range(3))].name == "l1"
    better = scores + np.array([[0.001], [0.0], [0.0]])
    lines = lines_of(better, better, prices)
    found = table(lines.lines, lines.units)
    assert found.lines[found.best(range(3))].name == "l0"


def test_incomplete_lines_are_left_out():
    scores = np.full((2, 3), 0.5)
    scores[1, 2] = np.nan
    lines = lines_of(scores, scores, [Price(), Price(work=9.0)])
    found = table(lines.lines, lines.units)
    assert found.left == ("l1",) and len(found.lines) == 1
    assert isinstance(found, Table)


def test_the_frontier_goes_through_what_validation_chooses():
    prices = [
        Price(),
        Price(work=256.0, access="states"),
        Price(work=1024.0, access="gradients"),
        Price(work=4096.0, access="gradients"),
        Price(work=0.0, source=True),
    ]
    test = np.array([0.4, 0.6, 0.56, 0.72, 0.9])[:, None] * np.ones((1, 3))
    validation = np.array([0.4, 0.55, 0.58, 0.7, 0.9])[:, None] * np.ones((1, 3))
    lines = lines_of(test, validation, prices)
    here = ground(lines, lines.units)
    found = here.frontier()
    # Validation takes the third line though test has less: the frontier falls there.
    assert [work for work, *_ in found.steps] == [0, 256, 1024, 4096]
    assert [round(share, 3) for _, share, *_ in found.steps] == [0, 0.5, 0.4, 0.8]
    assert found.half == 4096
    assert math.isnan(Frontier(0, "none", ()).half) and math.isnan(Frontier(0, "none", ()).at(9))
    # Of ten doublings from 64 to 65,536 the levels hold two, two, two and four.
    wanted = (2 * 0.0 + 2 * 0.5 + 2 * 0.4 + 4 * 0.8) / 10
    assert here.area(2, "gradients").mean == pytest.approx(wanted)
    assert (LEAST, MOST) == (64, 65_536)
    table_of = summaries(here).set_index("access")
    assert list(table_of.index) == ["none", "states", "gradients"]
    assert table_of.loc["states", "area"] == pytest.approx(0.8 * 0.5)
    assert table_of.loc["states", "half"] == 256
    assert set(UNIT) <= set(lines.units)
