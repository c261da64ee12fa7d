"""Each sampler does what it is for, on landscapes whose best points are known."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from sweep.search.records import Counts
from sweep.spec.space.cma import Axis
from sweep.spec.space.samplers import SAMPLERS
from sweep.spec.space.section import Objective
from sweep.spec.space.space import Point, Space
from tests.sweep.search.landscape import Landscape, simulate
from tests.sweep.search.spaces import conditional, finite, height, numeric, open_study

BOTH = (Objective("gain"), Objective("cost", "minimize"))


def best_of(
    folder: Path, sampler: str, seed: int, points: int, space: Space | None = None
) -> float:
    with open_study(folder / f"{sampler}{seed}", space, sampler=sampler, seed=seed) as study:
        simulate(study, Landscape(height), points)
        return study.best()[0].values["score"]


@pytest.mark.slow
def test_tpe_finds_the_best_region_better_than_chance(tmp_path: Path) -> None:
    """On a conditional landscape, 40 points: mean regret over six seeds is below half."""
    tpe, chance = (
        np.array([best_of(tmp_path, name, seed, 40) for seed in range(6)])
        for name in ("tpe", "random")
    )
    top = 0.3 + 0.2 + 0.3 + 0.2
    assert (top - tpe).mean() < 0.5 * (top - chance).mean()
    assert (tpe > chance).sum() >= 4


@pytest.mark.slow
def test_cma_es_closes_in_on_the_best_point(tmp_path: Path) -> None:
    cma, chance = (
        np.array([best_of(tmp_path, name, seed, 60, numeric()) for seed in range(3)])
        for name in ("cmaes", "random")
    )
    top = 0.3 + 0.3 + 0.2
    assert (top - cma).mean() < 0.5 * (top - chance).mean()


@pytest.mark.slow
def test_cma_es_goes_on_after_a_restart(tmp_path: Path) -> None:
    """Its state is replayed from the journal: no pickle, and the same suggestions."""
    parts, whole = [], []
    for folder, rests, found in (("parts", (9, 1, 20), parts), ("whole", (30,), whole)):
        for points in rests:
            with open_study(tmp_path / folder, numeric(), sampler="cmaes") as study:
                for _ in range(points):
                    suggestion = study.ask()
                    assert suggestion is not None
                    study.complete(suggestion.number, height(suggestion.point))
                    found.append(suggestion.point)
    assert parts == whole
    text = (tmp_path / "whole" / "search.journal").read_text()
    assert '"cma_generation":4' in text and "optimizer" not in text


@pytest.mark.parametrize(
    "range_",
    [
        FloatDistribution(0.001, 0.1, log=True),
        FloatDistribution(-1.0, 1.0),
        FloatDistribution(0.0, 0.9, step=0.3),
        IntDistribution(1, 5),
        IntDistribution(8, 128, log=True),
        IntDistribution(50, 500, step=50),
    ],
)
def test_axes_are_laid_on_the_unit_interval(range_: FloatDistribution | IntDistribution) -> None:
    axis = Axis.of(range_)
    for value in (range_.low, range_.high):
        assert -1e-9 <= axis.unit(value) <= 1 + 1e-9
        assert axis.value(axis.unit(value)) == pytest.approx(value)
    units = np.linspace(0, 1, 101)
    values = [axis.value(float(unit)) for unit in units]
    assert values == sorted(values)
    assert values[0] >= range_.low and values[-1] <= range_.high


def gain(point: Point) -> float:
    return float(point.weight) if isinstance(point.weight, float) else 0.0


def cost(point: Point) -> float:
    """Rises with λ, and is least on a learning rate of 0.02."""
    rate = float(point.settings.get("learning_rate", 0.1))
    return gain(point) ** 2 + abs(np.log(rate / 0.02))


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["nsga2", "nsga3", "tpe"])
def test_two_objectives(tmp_path: Path, sampler: str) -> None:
    with open_study(tmp_path, sampler=sampler, objectives=BOTH, population=10) as study:
        assert study.should_prune(0) is False
        for _ in range(80):
            found = study.ask()
            assert found is not None
            study.report(found.number, 0, 1.0)  # no course with several objectives: passed over
            values = {"gain": gain(found.point), "cost": cost(found.point)}
            assert study.complete(found.number, values) == "complete"
        found = study.ask()
        assert found is not None
        assert study.complete(found.number, {"gain": 1.0}) == "failed"
        outcomes = [item for item in study.outcomes() if item.state == "complete"]
        front = study.best()
    assert len(outcomes) == 80 and all(not item.steps for item in outcomes)
    literal = [
        one.number
        for one in outcomes
        if not any(beats(other.values, one.values) for other in outcomes)
    ]
    assert sorted(item.number for item in front) == literal
    assert 2 <= len(front) < 40
    # Later generations are better than the first, in the mean of both.
    early, late = outcomes[:20], outcomes[-20:]
    mean = [
        np.mean([item.values["gain"] - item.values["cost"] for item in part])
        for part in (early, late)
    ]
    assert mean[1] > mean[0]


def beats(one: dict[str, float], other: dict[str, float]) -> bool:
    as_good = one["gain"] >= other["gain"] and one["cost"] <= other["cost"]
    return as_good and one != other


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_constraints_are_respected(tmp_path: Path, sampler: str) -> None:
    """The best points break the constraint: what is found best does not, and few late ones do."""

    def excess(point: Point) -> float:
        return gain(point) - 0.5

    with open_study(tmp_path, sampler=sampler, constraints=("excess",), population=10) as study:
        for _ in range(80):
            found = study.ask()
            assert found is not None
            study.complete(found.number, gain(found.point), {"excess": excess(found.point)})
        found = study.ask()
        assert found is not None
        assert study.complete(found.number, 1.0) == "failed"
        outcomes = [item for item in study.outcomes() if item.state == "complete"]
        best = study.best()
    assert any(item.values["score"] > 0.7 for item in outcomes)
    feasible = [item.values["score"] for item in outcomes if item.feasible]
    assert all(item.constraints == {"excess": excess(item.point)} for item in outcomes)
    assert {item.values["score"] for item in best} == {max(feasible)}
    assert max(feasible) > 0.35
    late = outcomes[-30:]
    assert sum(item.feasible for item in late) >= 0.6 * len(late)


def test_nothing_feasible_is_nothing_best(tmp_path: Path) -> None:
    with open_study(tmp_path, constraints=("excess",)) as study:
        assert study.best() == ()
        for _ in range(3):
            found = study.ask()
            assert found is not None
            study.complete(found.number, 1.0, {"excess": 1.0})
        assert study.best() == ()
        assert study.counts() == Counts(complete=3)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "gp"])
def test_every_sampler_with_points_in_flight(tmp_path: Path, sampler: str) -> None:
    """Told out of order, with failures between, each sampler gives new points of the space."""
    space: Callable[[], Space] = finite if sampler == "grid" else conditional
    landscape = Landscape(
        height,
        seconds=lambda point: 1.0 + len(point.key.strip("0123456789")) % 5,
        fails=lambda point: point.key[0] in "01",
    )
    with open_study(tmp_path, space(), sampler=sampler, population=6) as study:
        replay = simulate(study, landscape, 12 if sampler == "grid" else 30, workers=4)
        counts = study.counts()
        points = [item.point for item in study.outcomes()]
    assert len(set(replay.started)) == len(replay.started) == len(points)
    assert counts.running == counts.waiting == 0
    assert counts.complete == (12 if sampler == "grid" else 30)
    assert counts.failed == sum(point.key[0] in "01" for point in points)
    for point in points:
        space().place(point)  # raises where it is not in the space


@pytest.mark.slow
def test_the_gaussian_process(tmp_path: Path) -> None:
    """It costs a second a point: worth it where a point costs minutes, and slow to test."""
    with open_study(tmp_path, numeric(), sampler="gp", startup=8) as study:
        simulate(study, Landscape(height), 12)
        scores = [item.values["score"] for item in study.outcomes()]
        assert study.counts().complete == 12
    assert np.mean(scores[8:]) > np.mean(scores[:8]) + 0.05


def test_seeds_differ_between_draws(tmp_path: Path) -> None:
    """No two suggestions in a row begin with the same random numbers."""
    with open_study(tmp_path, numeric(), sampler="random") as study:
        found = [study.ask() for _ in range(30)]
    weights = [item.point.weight for item in found if item]
    assert len(set(weights)) == 30
    halves = [weight > 0.5 for weight in weights if isinstance(weight, float)]
    assert 5 < sum(halves) < 25
    changes = sum(one != other for one, other in itertools.pairwise(halves))
    assert 5 < changes < 25
