import time

import numpy as np
import pandas as pd
import pytest

from analysis.stats.bootstrap import product_weights
from analysis.stats.membership import membership
from analysis.stats.shapley import shapley_shares
from analysis.stats.variance import INTERACTIONS, REST, design_fill, variance_shares
from tests.analysis.planted import Planted, Tuned, planted, tuned
from tests.pace import slowness

SIMULATIONS, TOLERANCE = 200, 0.04
MAINS = ("source", "pair", "task", "target", "seed")
TERMS = ("source:task", "pair:task")


def shares(table: pd.DataFrame, replicates: int = 0) -> pd.DataFrame:
    found = variance_shares(table, "difference", MAINS, TERMS, replicates=replicates)
    return found.table.set_index("term")


@pytest.mark.slow
def test_planted_shares_are_recovered_on_average() -> None:
    rng = np.random.default_rng(1)
    design = Planted(source=2.0, task=1.0, seed=0.5, pair_task=1.0, noise=1.0, models=10, tasks=8)
    parts = [shares(planted(design, rng))["variance"] for _ in range(40)]
    table = pd.concat(parts, axis=1)
    found, error = table.mean(axis=1), table.std(axis=1) / 40**0.5
    # A pair's score holds half of each of its sources: 4/4 + 4/4 = 2.
    truth = {"source": 2.0, "task": 1.0, "seed": 0.25, "pair:task": 1.0, REST: 1.0}
    for name, value in truth.items():
        assert abs(found[name] - value) < 3 * error[name], name
        assert found[name] == pytest.approx(value, rel=0.3), name
    for name in ("pair", "source:task"):
        assert found[name] < 0.1


def test_balanced_design_gives_the_textbook_mean_squares() -> None:
    rng = np.random.default_rng(2)
    a, b, n = 5, 4, 3
    cube = rng.normal(size=(a, 1, 1)) * 3 + rng.normal(size=(1, b, 1)) * 2
    cube = cube + rng.normal(size=(a, b, 1)) * 2 + rng.normal(size=(a, b, n))
    task, target, seed = (place.ravel() for place in np.indices((a, b, n)))
    table = pd.DataFrame({"task": task, "target": target, "seed": seed, "value": cube.ravel()})
    found = variance_shares(table, "value", ("task", "target"), ("task:target",), replicates=0)
    both, one, two = cube.mean(axis=2), cube.mean(axis=(1, 2)), cube.mean(axis=(0, 2))
    mean = cube.mean()
    squares = {
        "task": b * n * ((one - mean) ** 2).sum() / (a - 1),
        "target": a * n * ((two - mean) ** 2).sum() / (b - 1),
        "both": n * ((both - one[:, None] - two + mean) ** 2).sum() / ((a - 1) * (b - 1)),
        "rest": ((cube - both[:, :, None]) ** 2).sum() / (a * b * (n - 1)),
    }
    told = found.table.set_index("term")["variance"]
    assert told[REST] == pytest.approx(squares["rest"])
    assert told["task:target"] == pytest.approx((squares["both"] - squares["rest"]) / n)
    assert told["task"] == pytest.approx((squares["task"] - squares["both"]) / (b * n))
    assert told["target"] == pytest.approx((squares["target"] - squares["both"]) / (a * n))


@pytest.mark.slow
def test_as_mixedlm_on_a_crossed_design() -> None:
    api = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(3)
    design = Planted(pair=1.5, task=2.0, noise=1.0, models=4, tasks=8, seeds=4)
    table = planted(design, rng).assign(all=1)
    formulas = {"pair": "0 + C(sources)", "task": "0 + C(task)"}
    fitted = api.MixedLM.from_formula(
        "difference ~ 1", groups="all", vc_formula=formulas, re_formula="0", data=table
    ).fit()
    told = dict(zip(fitted.model.exog_vc.names, fitted.vcomp, strict=True)) | {REST: fitted.scale}
    found = variance_shares(table, "difference", ("pair", "task"), (), replicates=0).table
    mine = found.set_index("term")["variance"]
    for name, value in told.items():
        # The residual here also holds what pairs and tasks make together.
        assert mine[name] == pytest.approx(value, rel=0.1, abs=0.02), name


def test_the_empty_diagonal_does_no_harm() -> None:
    rng = np.random.default_rng(4)
    table = planted(Planted(source=2.0, target=2.0, models=8, targets=8, tasks=4), rng)
    own = [
        target.replace("g", "m") in sources.split("+")
        for sources, target in zip(table["sources"], table["target"], strict=True)
    ]
    holed = table[~np.array(own)]
    found = variance_shares(holed, "difference", MAINS, ("source:target",), replicates=0)
    full = variance_shares(table, "difference", MAINS, ("source:target",), replicates=0)
    one, two = found.table.set_index("term")["share"], full.table.set_index("term")["share"]
    assert found.fill == pytest.approx(0.75)
    assert (one - two).abs().max() < 0.06


@pytest.mark.slow
@pytest.mark.parametrize(
    ("design", "truth"),
    [
        (
            Planted(source=2.0**0.5, task=1.0, pair_task=1.0, noise=1.0, seeds=2),
            {"source": 1.0, "task": 1.0, "pair:task": 1.0, "pair": 0.0, REST: 1.0},
        ),
        (
            Planted(source=1.0, task=2.0, noise=1.0, seeds=3, models=6, tasks=5),
            {"source": 0.5, "task": 4.0, "pair:task": 0.0, "pair": 0.0, REST: 1.0},
        ),
    ],
    ids=["four alike", "few tasks"],
)
def test_intervals_hold_the_planted_share(design: Planted, truth: dict[str, float]) -> None:
    """Nominal 95 % for every term, less twice the standard error of 200 simulations."""
    rng = np.random.default_rng(5)
    wanted = pd.Series(truth) / sum(truth.values())
    hits = pd.Series(0.0, index=wanted.index)
    for _ in range(SIMULATIONS):
        found = shares(planted(design, rng), replicates=100)
        # A term that cannot be told in a draw has no interval that could miss.
        found = found.reindex(wanted.index).fillna({"low": 0.0, "high": 1.0})
        hits += (found["low"] - 1e-9 <= wanted) & (wanted <= found["high"] + 1e-9)
    assert (hits / SIMULATIONS >= 0.95 - TOLERANCE).all(), hits / SIMULATIONS


@pytest.mark.slow
@pytest.mark.parametrize("targets", [1, 2])
def test_shared_tunings_do_not_read_as_source_by_task(targets: int) -> None:
    """Independent tunings, in all pairs that hold their source, have a term of their own."""
    rng = np.random.default_rng(10)
    design = Tuned(source_task=1.0, pair_task=0.5, targets=targets)
    mains, terms = ("source", "pair", "task", "target", "seed"), INTERACTIONS[-2:]
    parts = [
        variance_shares(
            tuned(design, rng), "difference", mains, (*TERMS, *terms), replicates=0
        ).table.set_index("term")["variance"]
        for _ in range(SIMULATIONS)
    ]
    found = pd.concat(parts, axis=1).fillna(0.0).mean(axis=1)
    # A pair holds half of each of its sources: the variance of their mean is a half. Readings of a
    # source's prompt are shared by pairs, too: they count with its tuning, less with the pair's.
    alone, reading = design.alone**2 / 2, design.reading**2
    shared = reading / 2 / targets
    variances = {
        "source:task": 0.5,
        "pair:task": 0.25,
        "source:task:seed": alone + shared,
        "pair:task:seed": design.joint**2 - shared,
        REST: reading + reading / 2,
    }
    if targets == 1:  # the pair's tuning is read once
        variances[REST] += variances.pop("pair:task:seed")
    total = sum(variances.values())
    for name, variance in variances.items():
        # Within 2 % of the whole variance.
        assert found[name] / total == pytest.approx(variance / total, abs=0.02), name


def test_the_bootstrap_alone_is_too_short_with_few_levels() -> None:
    """What the widening is for: with five tasks that make most of the variance."""
    rng = np.random.default_rng(8)
    table = planted(Planted(task=2.0, noise=1.0, models=6, tasks=5), rng)
    found = shares(table, replicates=100).loc["task"]
    # As if the variance were known: df / chi2 quantiles with four degrees of freedom.
    rest = 1 - found["share"]
    least = found["share"] * 4 / 11.14 / (found["share"] * 4 / 11.14 + rest)
    assert found["low"] <= least + 0.03


def test_nothing_but_noise_leaves_the_residual() -> None:
    found = shares(planted(Planted(), np.random.default_rng(6)))
    assert found.loc[REST, "share"] > 0.95


def test_shapley_as_averages_over_all_orders() -> None:
    rng = np.random.default_rng(7)
    table = planted(Planted(source=2.0, task=2.0, models=4, tasks=3), rng).iloc[5:]
    found = shapley_shares(table, "difference", ("pair", "task", "seed")).set_index("term")
    dummies = {
        name: pd.get_dummies(table[column].astype(str)).to_numpy(dtype=float)
        for name, column in (("pair", "sources"), ("task", "task"), ("seed", "seed"))
    }
    y = table["difference"].to_numpy()

    def fit(names: tuple[str, ...]) -> float:
        x = np.hstack([np.ones((len(y), 1)), *(dummies[name] for name in names)])
        left = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
        return 1 - float(left @ left) / float(((y - y.mean()) ** 2).sum())

    orders = [
        ("pair", "task", "seed"),
        ("pair", "seed", "task"),
        ("task", "pair", "seed"),
        ("task", "seed", "pair"),
        ("seed", "pair", "task"),
        ("seed", "task", "pair"),
    ]
    for name in dummies:
        told = np.mean(
            [
                fit(order[: order.index(name) + 1]) - fit(order[: order.index(name)])
                for order in orders
            ]
        )
        assert found.loc[name, "share"] == pytest.approx(told)
    assert found["share"].sum() == pytest.approx(1.0)


def test_shapley_and_random_effects_agree_on_what_is_large() -> None:
    table = planted(Planted(task=3.0, source=1.0, models=10, tasks=12), np.random.default_rng(8))
    check = shapley_shares(table, "difference", MAINS).set_index("term")["share"]
    assert check["task"] == pytest.approx(shares(table).loc["task", "share"], abs=0.08)


def test_weights_of_a_pair_are_the_product_over_its_models() -> None:
    table = pd.DataFrame({"sources": ["a+b", "b", "a+c"]})
    weights = product_weights(membership(table, "source"), np.array([[2.0], [3.0], [5.0]]))
    assert weights[:, 0].tolist() == [6.0, 3.0, 10.0]


@pytest.mark.parametrize(
    ("design", "says"),
    [
        (Planted(models=2, tasks=1, seeds=1), "Fewer than three"),
        (Planted(models=2, tasks=1, seeds=5), "No factor varies"),
    ],
    ids=["one result", "one pair"],
)
def test_degenerate_designs_give_a_sentence(design: Planted, says: str) -> None:
    found = variance_shares(planted(design, np.random.default_rng(9)), "difference")
    assert says in found.note
    assert found.table.empty


@pytest.mark.parametrize("change", [{"seeds": 1}, {"tasks": 1}, {"models": 2}])
def test_thin_designs_still_add_up(change: dict[str, int]) -> None:
    found = variance_shares(planted(Planted(**change), np.random.default_rng(9)), "difference")
    assert found.table["share"].sum() == pytest.approx(1.0)
    assert found.dropped


def test_equal_and_missing_results_give_a_sentence() -> None:
    table = planted(Planted(), np.random.default_rng(9))
    assert "equal" in variance_shares(table.assign(difference=1.0), "difference").note
    assert "Fewer" in variance_shares(table[:0], "difference").note
    assert shapley_shares(table.assign(difference=1.0), "difference").empty


@pytest.mark.slow
def test_factors_that_are_the_same_are_named() -> None:
    table = planted(Planted(targets=3), np.random.default_rng(9))
    table = table.assign(weight_label=table["target"].str.replace("g", "0."))
    assert "same as target" in variance_shares(table, "difference").dropped["weight_label"]


def test_fill_counts_the_combinations() -> None:
    table = planted(Planted(models=4, tasks=3), np.random.default_rng(9))
    assert design_fill(table) == (18, 18)
    assert design_fill(table[table["task"] != "t0"].iloc[5:]) == (11, 12)


@pytest.mark.slow
def test_many_rows_take_seconds() -> None:
    rng = np.random.default_rng(0)
    table = planted(Planted(models=20, tasks=21, targets=5, seeds=5), rng)
    start = time.process_time()
    variance_shares(table, "difference", replicates=100)
    spent = time.process_time() - start
    assert spent < 20 * slowness()
