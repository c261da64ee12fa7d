"""Shares of the gap against slow loops, and how often their intervals cover the truth."""

import math
import statistics
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.contrasts.examples import Examples
from analysis.data.predictions import Kept
from analysis.frontier.frontier import LEAST, MOST, ground
from analysis.frontier.lines import UNIT, Field, Line, Price, field
from analysis.frontier.shares import (
    _weighted_medians,
    acceptance,
    case_shares,
    gain,
    median_share,
    share,
)
from tests.analysis.planted_ways import CLOSED, DISTIL, PROXY, READOUT, TUNE, Sweep, table


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    sweep = Sweep((CLOSED, READOUT, DISTIL[0], PROXY, TUNE), case=0.1, targets=("elk", "fox"))
    return table(sweep, np.random.default_rng(1))


def line_of(lines: Field, title: str) -> Line:
    return next(line for line in lines.lines if line.title == title)


@pytest.mark.slow
@pytest.mark.parametrize("missing", [0, 1])
def test_a_share_is_all_gain_over_all_gap(frame, missing):
    if missing:  # one seed of Direct on one task: its mean is over the others
        lost = frame["direct"] & (frame["seed"] == 0) & (frame["task"] == "mini/a")
        frame = frame[~(lost & (frame["target"] == "elk"))]
    lines = field(frame).at("elk")
    found = share(lines, line_of(lines, "readout"), lines.units)
    gains, gaps = [], []
    for row in frame[(frame["way"] == "readout") & (frame["target"] == "elk")].itertuples():
        here = frame[(frame["task"] == row.task) & (frame["target"] == "elk")]
        empty = here.loc[here["row"] == "empty", "score"].iloc[0]
        gains.append(row.score - empty)
        gaps.append(statistics.mean(here.loc[here["direct"], "score"]) - empty)
    assert found.mean == pytest.approx(sum(gains) / sum(gaps))
    assert found.low < found.mean < found.high
    assert found.n == len(gains)


@pytest.mark.slow
def test_a_task_without_a_gap_has_no_share(frame):
    flat = frame.copy()
    flat.loc[flat["direct"] & (flat["task"] == "mini/b"), "score"] = 0.5
    lines = field(flat)
    assert set(lines.with_gap(lines.units)["task"]) == {"mini/a", "mini/c"}
    flat.loc[flat["direct"], "score"] = 0.4
    lines = field(flat)
    assert math.isnan(share(lines, line_of(lines, "readout"), lines.units).mean)


@pytest.mark.slow
def test_lines_without_a_source_stand_in_every_case(frame):
    lines = field(frame)
    assert {len(line.rows) for line in lines.lines} == {4 * 3 * 2 * 5}
    empty, readout = line_of(lines, "Empty"), line_of(lines, "readout")
    over = gain(readout, empty, lines.units)
    moved = frame[frame["way"] == "readout"]
    assert over.mean == pytest.approx(100 * moved["gain_over_empty"].mean())
    assert line_of(lines, "source").price.source
    own = frame[(frame["kind"] == "source") & ~frame["direct"]]
    assert line_of(lines, "source").rows["score"].mean() == pytest.approx(own["score"].mean())


@pytest.mark.slow
def test_prices_are_those_of_the_records(frame):
    prices = {line.title: line.price for line in field(frame).lines}
    assert prices["readout"].work == 512 and prices["readout"].texts == 512
    assert prices["readout"].access == "states"
    assert prices["closed_form + calibration"].access == "labels"
    assert [prices[name].panel for name in ("readout", "tune", "Direct")] == [0, 1, 2]
    assert prices["Empty"].work == 0 and prices["Direct"].work == 60_000


@pytest.mark.slow
def test_pairs_whose_source_is_no_better_are_set_apart(frame):
    poor = frame.copy()
    here = (poor["kind"] == "source") & (poor["target"] == "bee") & (poor["task"] == "mini/a")
    poor.loc[here, "validation_score"] = 0.1
    lines = field(poor)
    apart = lines.poor.drop_duplicates(["sources", "task", "target"])
    assert set(map(tuple, apart[["sources", "task", "target"]].to_numpy())) == {
        ("bee", "mini/a", "elk"),
        ("bee", "mini/a", "fox"),
    }
    assert len(lines.worthy) + len(lines.poor) == len(lines.units)
    poor.loc[poor["kind"] == "source", "validation_score"] = 0.1
    assert not field(poor).units["worth"].any()


@pytest.mark.slow
def test_the_median_is_over_cases_and_its_bound_below(frame):
    lines = field(frame)
    line = line_of(lines, "readout")
    shares = case_shares(lines, line, lines.units)
    cases = shares.groupby(["sources", "task", "target"])["share"].mean()
    found = median_share(lines, line, lines.units, lines.empty)
    assert found.median == pytest.approx(statistics.median(cases))
    assert found.low < found.median and found.n == 24
    assert found == median_share(lines, line, lines.units, lines.empty)
    table = acceptance(lines, lines.units).set_index("line")
    assert set(table.index) == {
        name + more
        for name in ("closed_form", "readout", "distil")
        for more in ("", " + calibration")
    }
    assert bool(table.loc["readout", "above"]) and not table.loc["closed_form", "above"]


def test_weighted_medians_are_those_of_repeated_cases():
    rng = np.random.default_rng(0)
    values, cases = rng.normal(size=9), np.repeat(np.arange(3), 3)
    weights = rng.integers(0, 3, size=(9, 40)).astype(float)
    found = _weighted_medians(values, cases, weights)
    for draw in range(40):
        repeated = []
        for case in range(3):
            here = (cases == case) & (weights[:, draw] > 0)
            size = int(weights[cases == case, draw].sum())
            if size:
                mean = np.average(values[here], weights=weights[here, draw])
                repeated += [mean] * size
        wanted = statistics.median(repeated) if repeated else math.nan
        assert found[draw] == pytest.approx(wanted, nan_ok=True)


def made_field(
    rng: np.random.Generator,
    shape: tuple[int, int, int] = (5, 5, 5),
    truth: float = 0.6,
    case: float = 0.1,
    noise: float = 0.02,
) -> tuple[Field, Line]:
    """One way on one target: sources × tasks × seeds, with its true share."""
    s, t, r = shape
    units = pd.DataFrame(
        [(f"s{a}", f"t{b}", "g", c) for a in range(s) for b in range(t) for c in range(r)],
        columns=UNIT,
    )
    units["unit"] = np.arange(len(units))
    place = np.indices(shape).reshape(3, -1)
    empty = 0.4 + 0.02 * place[1]
    share_of = truth + case * (rng.normal(size=s)[place[0]] + rng.normal(size=t)[place[1]])
    tuned = 0.7 + 0.02 * np.arange(t)[:, None] + noise * rng.normal(size=(t, r))
    # What a seed of a source's tuning adds stands in one result alone.
    score = empty + share_of * 0.3 + noise * rng.normal(size=len(units))
    levels = pd.DataFrame(
        {"empty": empty, "empty_cell": "e", "direct": tuned.mean(1)[place[1]],
         "direct_seed": tuned[place[1], place[2]], "direct_cell": "d"},
        index=units["unit"],
    )  # fmt: skip
    rows = units.assign(cell="c", score=score, validation=score)
    line = Line("way", "way", "single", False, rows, Price())
    return Field((line,), units.assign(worth=True), levels, "single"), line


@pytest.mark.slow
def test_intervals_cover_the_truth_and_bounds_stay_below_it():
    """200 sweeps with new sources, tasks and seeds; nominal 95 %, and 90 % for the bound."""
    rng = np.random.default_rng(0)
    inside = below = 0
    for _ in range(200):
        lines, line = made_field(rng)
        found = share(lines, line, lines.units)
        inside += found.low <= 0.6 <= found.high
        bound = median_share(lines, line, lines.units, replicates=200)
        below += bound.low <= 0.6
    assert 0.92 <= inside / 200 <= 1.0  # two standard errors below
    assert 0.86 <= below / 200 <= 1.0


@pytest.mark.slow
def test_intervals_cover_the_truth_over_new_test_examples():
    """Models, tasks and seeds as they are: 200 sweeps that differ in their test examples alone."""
    rng = np.random.default_rng(2)
    n, shape = 150, (3, 2, 2)
    inside = 0
    for _ in range(200):
        lines, line = made_field(rng, shape, case=0.0, noise=0.0)
        units, kept = lines.units, {}
        hard = {task: rng.uniform(size=n) for task in units["task"].unique()}

        def reached(cell: str, level: float, task: str, hard=hard, kept=kept) -> float:
            # Cells share how hard an example is, and differ in the rest.
            right = 0.5 * hard[task] + 0.5 * rng.uniform(size=n) < np.interp(level, *_quantiles())
            kept[cell] = Kept(cell, np.zeros(n, np.int64), (~right).astype(np.int64),
                              np.zeros((n, 2), np.float32))  # fmt: skip
            return float(right.mean())

        rows, levels = line.rows.copy(), lines.levels.copy()
        for task in units["task"].unique():
            at = (units["task"] == task).to_numpy()
            truth = {name: levels.loc[at, name].iloc[0] for name in ("empty", "direct")}
            levels.loc[at, "empty_cell"] = f"e{task}"
            levels.loc[at, "empty"] = reached(f"e{task}", truth["empty"], task)
            direct = [reached(f"d{task}{seed}", truth["direct"], task) for seed in range(shape[2])]
            seeds = units.loc[at, "seed"]
            levels.loc[at, "direct"] = np.mean(direct)
            levels.loc[at, "direct_seed"] = [direct[seed] for seed in seeds]
            levels.loc[at, "direct_cell"] = [f"d{task}{seed}" for seed in seeds]
            level = truth["empty"] + 0.6 * (truth["direct"] - truth["empty"])
            for place in np.flatnonzero(at):
                rows.loc[place, "cell"] = f"c{place}"
                rows.loc[place, "score"] = reached(f"c{place}", level, task)
        drawn = Line("way", "way", "single", False, rows, Price())
        whole = Field((drawn,), lines.units, levels, "single")
        examples = Examples(
            lambda cells, kept=kept: (kept[cell] for cell in cells),
            dict.fromkeys(hard, "accuracy"),
        )
        found = share(whole, drawn, whole.units, examples)
        inside += found.low <= 0.6 <= found.high
    assert 0.92 <= inside / 200 <= 1.0


def _quantiles() -> tuple[np.ndarray, np.ndarray]:
    """Level against the threshold below which half of two uniform numbers' sum lies."""
    t = np.linspace(0, 1, 201)
    return np.where(t < 0.5, 2 * t**2, 1 - 2 * (1 - t) ** 2), t


def test_a_weighted_sum_of_scores_has_the_error_of_its_parts(frame):
    rng = np.random.default_rng(3)
    gold = rng.integers(0, 2, 50)
    kept = {
        name: Kept(name, gold, rng.integers(0, 2, 50), rng.normal(size=(50, 2)).astype(np.float32))
        for name in "abc"
    }
    examples = Examples(lambda cells: (kept[cell] for cell in cells), {"t": "accuracy"})
    terms = pd.DataFrame({"task": "t", "cell": list("abca"), "weight": [0.5, -1.0, 0.25, 0.5],
                          "calibrated": False})  # fmt: skip
    right = {name: (item.predicted == gold).astype(float) for name, item in kept.items()}
    total = sum(
        weight * 100 * (right[name] - right[name].mean())
        for name, weight in (("a", 1.0), ("b", -1.0), ("c", 0.25))
    )
    assert examples.spread(terms) == pytest.approx(np.sqrt(np.var(total, ddof=1) / 50))
    pairs = pd.DataFrame({"task": "t", "cell": ["a"], "partner": ["b"]})
    two = terms[:2].assign(weight=[1.0, -1.0])
    assert examples.spread(two) == pytest.approx(examples.error(pairs))
    # After calibration other examples are right.
    moved = kept["a"].log_probs - kept["a"].log_probs.mean(0)
    after = (moved.argmax(1) == gold).astype(float)
    alone = terms[:1].assign(weight=1.0, calibrated=True)
    assert examples.spread(alone) == pytest.approx(100 * np.sqrt(np.var(after, ddof=1) / 50))
    assert math.isnan(examples.spread(terms.assign(cell=[*"abc", None])))


@pytest.mark.slow
def test_the_area_is_a_share_of_what_is_chosen_at_each_budget(frame):
    lines = field(frame)
    here = ground(lines, lines.worthy)
    found = here.area(2, "gradients")
    budgets = np.geomspace(LEAST, MOST, 20_001)
    steps = here.frontier(2, "gradients")
    shares = [steps.at(budget) for budget in budgets]
    assert found.mean == pytest.approx(np.mean(shares), abs=1e-3)
    assert found.low < found.mean < found.high
    # Where one line is chosen at every budget, the area is its share.
    alone = replace(lines, lines=tuple(one for one in lines.lines if one.title == "Empty"))
    still = ground(alone, lines.worthy).area(0, "none")
    same = share(lines, line_of(lines, "Empty"), here.units)
    assert (still.mean, still.low, still.high) == (same.mean, same.low, same.high)
    none = replace(lines, lines=tuple(one for one in lines.lines if one.title == "readout"))
    assert math.isnan(ground(none, lines.worthy).area(2, "gradients").mean)
