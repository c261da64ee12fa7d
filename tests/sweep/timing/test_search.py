"""The time of a search, told from points drawn at random."""

import math
from dataclasses import replace

import pytest

from sweep.planning.plan import Plan
from sweep.search.plan import SearchPlan
from sweep.spec.space.domains import Range
from sweep.timing.estimate import Basis, format_estimate
from sweep.timing.search import DRAWN, Drawn, drawn_points, search_estimate
from sweep.timing.throughput import Device, ModelRate, Profile
from tests.sweep.drive import RANGES, SPACE, search_of


def basis_for(plan: SearchPlan) -> Basis:
    """A second for each text trained on or scored, whatever the model."""
    models = {
        model.digest: ModelRate(name, {"soft": 1.0, "pez": 1.0}, 1.0)
        for name, model in plan.resolved.models.items()
    }
    device = Device(packs=1, pack_seconds=10.0, models=models, tasks={})
    return Basis(Profile("2030-01-01", {"cpu": device, "cuda": device}), "a test")


def nothing(plan: Plan) -> set[str]:
    return set()


@pytest.mark.slow
def test_points_are_the_spaces_own_and_none_comes_twice() -> None:
    plan = search_of(SPACE, sampler="grid", trials=1000)
    found = drawn_points(plan, 1000)
    assert {point.key for point in found} == {
        plan.space.at(index).key for index in range(plan.space.size or 0)
    }
    assert len({point.key for point in found}) == len(found) == 33
    assert drawn_points(plan, 5) == drawn_points(plan, 5) != drawn_points(plan, 5, seed=1)


@pytest.mark.parametrize(
    "domain",
    [
        Range(0.0, 1.0),
        Range(1.0, 64.0, log=True, step=1, whole=True),
        Range(0.0, 1.0, step=0.25),
        Range(1e-5, 10.0, log=True),
    ],
)
def test_numbers_lie_in_their_range(domain: Range) -> None:
    chooser = Drawn()
    found = [domain.choose("x", chooser) for _ in range(200)]
    assert all(domain.low <= value <= domain.high for value in found)
    assert len(set(found)) > 4
    middle = math.sqrt(domain.low * domain.high) if domain.log else (domain.low + domain.high) / 2
    assert 60 < sum(value <= middle for value in found) < 140


@pytest.mark.slow
def test_the_time_grows_with_the_budget_and_shrinks_with_what_is_there() -> None:
    plan = search_of(RANGES, sampler="tpe", trials=DRAWN)
    found = basis_for(plan)
    told = search_estimate(plan, nothing, found, 1)
    assert told["points"] == DRAWN
    # Nobody has looked: a point for itself takes what a plan of it alone takes.
    alone = plan.together(drawn_points(plan, DRAWN))
    assert told["pack_seconds"] == pytest.approx(
        sum(10.0 + sum(_seconds(cell) for cell in pack.cells) for pack in alone.packs)
    )
    twice = search_of(RANGES, sampler="tpe", trials=2 * DRAWN)
    assert search_estimate(twice, nothing, found, 1)["seconds"] == pytest.approx(
        2 * told["seconds"]
    )
    assert search_estimate(plan, lambda some: set(some.by_id), found, 1)["seconds"] == 0
    assert f"for {DRAWN} points (from a test)" in format_estimate(told)
    assert plan.cells == ()


def _seconds(cell) -> float:
    from sweep.planning.work import training_texts

    trained = training_texts(cell.settings) if cell.kind == "source" else 0
    return 300 + trained


@pytest.mark.slow
def test_a_budget_of_cells_or_hours() -> None:
    plan = search_of(RANGES, sampler="tpe", cells=100)
    points = search_estimate(plan, nothing, basis_for(plan))["points"]
    per_point = len(plan.together(drawn_points(plan, DRAWN)).cells) / DRAWN
    assert points == math.ceil(100 / per_point)
    open_end = search_of(RANGES, sampler="tpe", hours=1)
    told = search_estimate(open_end, nothing, basis_for(open_end))
    assert (told["points"], told["seconds"]) == (None, None)
    assert format_estimate(told) == "time: as long as the budget allows"
    unknown = search_estimate(plan, nothing, Basis.nothing())
    assert "no sweep has finished on this machine" in format_estimate(unknown)
    assert replace(plan, _by_id={}, points={}).cells == ()
