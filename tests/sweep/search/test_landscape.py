"""The tabulated objective and its clock."""

from pathlib import Path

import pytest

from sweep.search.records import Counts
from sweep.spec.space.space import Point
from tests.sweep.search.landscape import FakeClock, Landscape, simulate
from tests.sweep.search.spaces import finite, height, open_study


def test_the_clock_never_goes_back() -> None:
    clock = FakeClock()
    clock.advance_to(5.0)
    clock.advance_to(3.0)
    assert clock.now() == 5.0


def test_values_are_fixed_and_their_mean_is_the_score() -> None:
    point = Point("soft", ("A", "B"), 0.7, {"learning_rate": 0.02})
    other = Point("soft", ("A", "C"), 0.7, {"learning_rate": 0.02})
    landscape = Landscape(height, instances=400, spread=0.3)
    assert landscape.value(point, 3) == landscape.value(point, 3) != landscape.value(point, 4)
    assert landscape.mean(point) == pytest.approx(height(point), abs=0.05)
    # Without noise all points differ by the same on every instance.
    gaps = {round(landscape.value(other, i) - landscape.value(point, i), 12) for i in range(9)}
    assert gaps == {0.2}


def test_workers_share_the_work(tmp_path: Path) -> None:
    landscape = Landscape(height, instances=3, seconds=lambda point: 2.0)
    for workers, seconds in ((1, 108.0), (3, 36.0), (18, 6.0), (40, 6.0)):
        with open_study(tmp_path / str(workers), finite(), sampler="grid") as study:
            found = simulate(study, landscape, 100, workers=workers)
            assert study.counts() == Counts(complete=18)
        assert (found.seconds, found.busy) == (seconds, 108.0)
        assert len(found.started) == 18


def test_a_simulation_is_continued(tmp_path: Path) -> None:
    for points in (4, 9, 9):
        with open_study(tmp_path, finite()) as study:
            simulate(study, Landscape(height), points, workers=2)
            assert study.counts().complete == points
