"""Importance equals Optuna's, and pure noise is called noise."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from analysis.dependence.tables import noise_grid, noise_sentence
from analysis.stats.importance import against_noise, beyond_noise, noise_bounds

SIMULATIONS = 200
TOLERANCE = 0.03
"""Twice the standard error of a rate of 5 % over 200 simulations (0.015)."""


def scores(
    rng: np.random.Generator,
    *,
    shared: float = 0.0,
    weight: float = 0.0,
    tasks: int = 3,
    targets: int = 2,
    seeds: int = 2,
    holes: float = 0.0,
    diagonal: bool = False,
) -> pd.DataFrame:
    """Fifteen source sets at four weights; only the weight matters, by ``weight`` a step.

    Tunings have a standard deviation of 2 points and readings of 1; ``shared`` is that of noise
    which all weights of a source set share in a task and seed. ``holes`` are missing at random;
    with ``diagonal``, sources are no targets of their own prompts.
    """
    pairs = [f"m{a}+m{b}" for a, b in itertools.combinations(range(6), 2)]
    shape = (len(pairs), 4, tasks, targets, seeds)
    y = rng.normal(size=shape) + 2 * rng.normal(size=(len(pairs), 4, tasks, 1, seeds))
    y = y + shared * rng.normal(size=(len(pairs), 1, tasks, 1, seeds))
    y = y + weight * np.arange(4).reshape(1, 4, 1, 1, 1)
    pair, place, task, target, seed = (found.ravel() for found in np.indices(shape))
    table = pd.DataFrame(
        {
            "sources": np.array(pairs)[pair],
            "weight_label": place.astype(str),
            "task": task,
            "target": np.char.add("m", target.astype(str)),
            "seed": seed,
            "validation_score": y.ravel(),
        }
    )
    kept = rng.uniform(size=len(table)) >= holes
    if diagonal:
        own = zip(table["target"], table["sources"], strict=True)
        kept &= [target not in sources.split("+") for target, sources in own]
    return table[kept]


def test_shares_by_counting() -> None:
    """Twenty points of two settings: the two best have s = 3 and k = 0 and 1."""
    lines = [(s, k, s + 0.01 * k) for s in range(4) for k in range(5)]
    table = pd.DataFrame(lines, columns=["s", "k", "validation_score"])
    table.loc[(table["s"] == 3) & (table["k"] < 2), "validation_score"] = 9.0
    table = against_noise(table.assign(task="t", target="g"), permutations=0)
    found = table.set_index("setting")["importance"]
    s_top, s_all = np.array([1 / 4, 1 / 4, 1 / 4, 2 + 1 / 4]) / 3, np.full(4, 1 / 4)
    k_top, k_all = np.array([1 + 1 / 5, 1 + 1 / 5, 1 / 5, 1 / 5, 1 / 5]) / 3, np.full(5, 1 / 5)
    s, k = (
        float((whole * (top / whole - 1) ** 2).sum())
        for top, whole in ((s_top, s_all), (k_top, k_all))
    )
    assert found.to_dict() == pytest.approx({"s": s / (s + k), "k": k / (s + k)})


def test_importance_finds_the_planted_setting() -> None:
    # Only s matters; k and the source set are noise.
    rng = np.random.default_rng(2)
    lines = list(itertools.product(range(6), (1, 2, 3, 4), (1, 2, 3, 4), ("t0", "t1")))
    table = pd.DataFrame(lines, columns=["pair", "s", "k", "task"])
    table["sources"] = table["pair"].map("m{}".format)
    level = np.where(table["task"] == "t0", 0.0, 5.0)
    table["validation_score"] = level + table["s"] + 0.1 * rng.normal(size=len(table))
    found = against_noise(table.assign(target="g"), permutations=0)
    assert found["setting"].iloc[0] == "s"
    assert found["importance"].iloc[0] > 0.6
    assert found["importance"].sum() == pytest.approx(1.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "design",
    [{}, {"shared": 2.0, "holes": 0.2, "diagonal": True}],
    ids=["plain", "shared noise, holes and no own targets"],
)
def test_pure_noise_is_called_noise(design: dict[str, float]) -> None:
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(SIMULATIONS):
        table = against_noise(scores(rng, **design), permutations=40)  # type: ignore[arg-type]
        assert table["bound"].notna().all()
        wrong += bool(beyond_noise(table).any())
    assert wrong / SIMULATIONS <= 0.05 + TOLERANCE


def test_what_matters_exceeds_the_noise_and_nothing_else_does() -> None:
    table = against_noise(scores(np.random.default_rng(2), weight=3.0, seeds=5))
    assert list(table["setting"]) == ["weight_label", "sources"]
    assert beyond_noise(table).tolist() == [True, False]
    assert noise_sentence(table) == (
        "λ: more than noise gives; source set: indistinguishable from noise."
    )
    grid = noise_grid(table)
    assert [line.entries[3].text for line in grid.lines] == ["yes", "no"]


def test_one_task_and_seed_can_tell_nothing() -> None:
    table = scores(np.random.default_rng(4), weight=9.0, tasks=1, seeds=1)
    assert against_noise(table)["bound"].isna().all()


def test_values_without_a_partner_have_no_bound() -> None:
    table = scores(np.random.default_rng(5))
    # Every source set has weights of its own.
    table["weight_label"] = table["sources"] + table["weight_label"]
    found = against_noise(table).set_index("setting")
    assert math.isnan(found.loc["sources", "bound"])
    assert "not comparable" in noise_sentence(found.reset_index())
    assert noise_sentence(found.reset_index()[:0]) == ""


def test_bounds_by_counting() -> None:
    drawn = np.arange(1.0, 201.0)
    # Above the tenth largest of 200: 10 of 201 places; for two settings the fifth largest.
    assert noise_bounds(drawn, 1) == (100.5, 191.0)
    assert noise_bounds(drawn, 2)[1] == 196.0
    assert math.isnan(noise_bounds(drawn[:10], 1)[1])
    assert math.isnan(noise_bounds(drawn[:0], 1)[0])


def test_equal_input_gives_equal_output() -> None:
    table = scores(np.random.default_rng(6))
    pd.testing.assert_frame_equal(against_noise(table), against_noise(table.sample(frac=1)))
