"""Importance names the parameters that decide, also those of one method only."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sweep.search.importance import importance, noise
from sweep.spec.space.section import Objective
from sweep.spec.space.space import Point
from tests.sweep.search.landscape import Landscape, simulate
from tests.sweep.search.spaces import conditional, numeric, open_study


def rate(point: Point) -> float:
    """Only the learning rate counts, and λ a little."""
    weight = point.weight if isinstance(point.weight, float) else 0.0
    return -abs(float(point.settings["learning_rate"]) - 0.02) * 50 + 0.05 * weight


@pytest.mark.slow
def test_what_decides_is_named(tmp_path: Path) -> None:
    with open_study(tmp_path, numeric(), sampler="random") as study:
        simulate(study, Landscape(rate), 60)
        found = study.importance()
    assert list(found) == ["score"]
    assert list(found["score"]) == ["soft.learning_rate", "soft.lambda"]
    assert found["score"]["soft.learning_rate"] > 0.8
    assert sum(found["score"].values()) == pytest.approx(1.0)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "nsga2"])
def test_parameters_of_one_method(tmp_path: Path, sampler: str) -> None:
    """Parameters that a point does not use say nothing, whether they were drawn or not."""

    def score(point: Point) -> float:
        return rate(point) if point.method == "soft" else -3.0

    with open_study(tmp_path, conditional(), sampler=sampler) as study:
        simulate(study, Landscape(score), 80)
        everything = study.importance()["score"]
        soft = study.importance(method="soft")["score"]
        words = study.importance(method="words")["score"]
    assert set(soft) == {
        "sources",
        "soft.lambda",
        "soft.lambda.value",
        "soft.learning_rate",
        "soft.prompt_length",
    } | (set(soft) & {"method"})
    assert set(everything) >= {"method", "soft.learning_rate", "words.k"}
    if sampler == "random":  # a search that closes in makes importance a matter of its path
        assert max(soft, key=lambda name: soft[name]) == "soft.learning_rate"
        assert everything["words.vocabulary"] < everything["soft.learning_rate"]
    assert not any(name.startswith("soft.") for name in words)


def test_minimised_objectives_are_read_the_right_way(tmp_path: Path) -> None:
    both = (Objective("gain"), Objective("loss", "minimize"))
    with open_study(tmp_path, numeric(), sampler="random", objectives=both) as study:
        for _ in range(60):
            found = study.ask()
            assert found is not None
            weight = float(found.point.weight or 0.0)
            study.complete(found.number, {"gain": rate(found.point), "loss": (weight - 0.2) ** 2})
        importance = study.importance()
    assert list(importance) == ["gain", "loss"]
    assert next(iter(importance["gain"])) == "soft.learning_rate"
    assert next(iter(importance["loss"])) == "soft.lambda"


def test_too_few_points(tmp_path: Path) -> None:
    with open_study(tmp_path, numeric()) as study:
        assert study.importance() == {"score": {}}
        simulate(study, Landscape(rate), 3)
        assert study.importance() == {"score": {}}


def test_noise_is_called_noise_and_what_decides_is_not(tmp_path: Path) -> None:
    with open_study(tmp_path / "a", numeric(), sampler="random") as study:
        simulate(study, Landscape(rate), 60)
        told, noise = study.importance()["score"], study.importance_of_noise()["score"]
    assert set(noise) == set(told)
    assert told["soft.learning_rate"] > noise["soft.learning_rate"]["bound"]
    assert told["soft.lambda"] <= noise["soft.lambda"]["bound"]


@pytest.mark.slow
def test_a_method_that_decides_lends_no_importance_to_its_settings(tmp_path: Path) -> None:
    """Values are exchanged among the points that have a parameter."""
    rng = np.random.default_rng(0)

    def score(point: Point) -> float:
        return float(rng.normal()) + (9.0 if point.method == "soft" else 0.0)

    with open_study(tmp_path, conditional(), sampler="random") as study:
        simulate(study, Landscape(score), 60)
        told, noise = study.importance()["score"], study.importance_of_noise()["score"]
    for name in told:
        if name.startswith("soft."):
            assert told[name] <= noise[name]["bound"]


@pytest.mark.slow
def test_pure_noise_has_the_level_that_is_told(tmp_path: Path) -> None:
    """Of 200 draws of values."""
    space, rng = numeric(), np.random.default_rng(1)
    with open_study(tmp_path, space, sampler="random") as study:
        simulate(study, Landscape(rate), 24)
        outcomes = study.outcomes()
    wrong = 0
    for number in range(200):
        drawn = [replace(item, values={"score": float(rng.normal())}) for item in outcomes]
        told = importance(drawn, space, {"score": "maximize"})["score"]
        found = noise(drawn, space, {"score": "maximize"}, seed=number)["score"]
        wrong += any(share > found[name]["bound"] for name, share in told.items())
    assert wrong / 200 <= 0.05 + 0.03


def test_too_few_points_have_no_noise(tmp_path: Path) -> None:
    with open_study(tmp_path, numeric()) as study:
        assert study.importance_of_noise() == {"score": {}}
