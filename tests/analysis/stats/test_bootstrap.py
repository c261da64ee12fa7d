import math
import time

import numpy as np
import pandas as pd
import pytest

from analysis.stats.bootstrap import crossed_interval, draw_counts
from tests.analysis.planted import Planted, planted
from tests.pace import slowness

SIMULATIONS = 200
TOLERANCE = 0.04
"""More than twice the standard error of a rate of 95 % over 200 simulations (0.015)."""


def covered(design: Planted) -> float:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(SIMULATIONS):
        found = crossed_interval(planted(design, rng), "difference", replicates=0)
        hits += found.low <= design.effect <= found.high
    return hits / SIMULATIONS


@pytest.mark.slow
@pytest.mark.parametrize(
    "design",
    [
        Planted(effect=1.0),
        Planted(effect=1.0, source=1.0, task=1.0, seed=0.3, pair_task=1.0),
        Planted(effect=-2.0, task=1.0),
        Planted(source=1.0, models=5, tasks=5),
        Planted(source=1.0, task=0.5, target=1.0, targets=4, seeds=3),
    ],
    ids=["null", "all", "task", "source", "targets"],
)
def test_intervals_cover_at_least_at_their_nominal_rate(design: Planted) -> None:
    assert covered(design) >= 0.95 - TOLERANCE


@pytest.mark.slow
def test_false_positives_of_a_null_stay_within_the_nominal_rate() -> None:
    rng = np.random.default_rng(4)
    found = [
        crossed_interval(planted(Planted(task=1.0, pair_task=0.5), rng), "difference", replicates=0)
        for _ in range(SIMULATIONS)
    ]
    assert np.mean([item.direction != 0 for item in found]) <= 0.05 + TOLERANCE


def test_resampling_rows_would_be_too_short() -> None:
    rng = np.random.default_rng(5)
    table = planted(Planted(task=2.0), rng)
    found = crossed_interval(table, "difference", replicates=0)
    naive = 2 * 1.96 * table["difference"].std() / math.sqrt(len(table))
    assert found.high - found.low > 3 * naive


def test_draws_are_those_of_slow_row_copying() -> None:
    rng = np.random.default_rng(6)
    table = planted(Planted(models=4, tasks=3, seeds=2, source=1, task=1), rng).iloc[3:]
    found = crossed_interval(table, "difference", replicates=300, seed=9)
    # The same random numbers, in the order of the units, and rows copied one by one.
    generator = np.random.default_rng(9)
    models = sorted({name for text in table["sources"] for name in text.split("+")})
    draws = []
    counts = {"source": [], "task": [], "seed": []}  # type: ignore[var-annotated]
    for size in (250, 50):
        for name, levels in (("source", 4), ("task", 3), ("seed", 2)):
            counts[name].append(draw_counts(levels, size, generator))
    drawn = {name: np.concatenate(parts, axis=1) for name, parts in counts.items()}
    for place in range(300):
        source = dict(zip(models, drawn["source"][:, place], strict=True))
        task = dict(zip(["t0", "t1", "t2"], drawn["task"][:, place], strict=True))
        values: list[float] = []
        for line in table.itertuples():
            a, b = line.sources.split("+")
            times = source[a] * source[b] * task[line.task] * drawn["seed"][line.seed, place]
            values += [line.difference] * int(times)
        if values:
            draws.append(np.mean(values))
    assert [found.boot_low, found.boot_high] == pytest.approx(np.quantile(draws, [0.025, 0.975]))


def test_interval_of_one_kind_of_unit_is_the_t_interval_of_its_means() -> None:
    table = pd.DataFrame({"task": list("abcd") * 50, "value": np.tile([1.0, 2.0, 4.0, 7.0], 50)})
    found = crossed_interval(table, "value", ["task"], replicates=0)
    half = 3.182446 * np.std([1, 2, 4, 7], ddof=1) / 2
    assert [found.low, found.high] == pytest.approx([3.5 - half, 3.5 + half], rel=1e-5)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (pd.DataFrame({"sources": [], "task": [], "seed": [], "difference": []}), "no result"),
        (planted(Planted(models=2, tasks=1, seeds=1), np.random.default_rng(0)), "one source set"),
        (planted(Planted(seeds=1), np.random.default_rng(0)), "one seed"),
    ],
    ids=["empty", "one row", "one seed"],
)
def test_degenerate_designs_give_a_sentence(table: pd.DataFrame, says: str) -> None:
    assert says in crossed_interval(table, "difference").note


def test_equal_results_have_an_interval_without_width_and_no_direction() -> None:
    table = planted(Planted(), np.random.default_rng(0)).assign(difference=1.0)
    found = crossed_interval(table, "difference")
    assert (found.low, found.high, found.direction) == (1.0, 1.0, 0)


@pytest.mark.slow
def test_many_rows_take_seconds() -> None:
    rng = np.random.default_rng(0)
    table = planted(Planted(models=20, tasks=21, targets=5, seeds=5), rng)
    start = time.process_time()
    crossed_interval(table, "difference", replicates=2000)
    assert len(table) > 99_000
    spent = time.process_time() - start
    assert spent < 10 * slowness()
