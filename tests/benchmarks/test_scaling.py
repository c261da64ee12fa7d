"""Curves of time against size."""

import json
from pathlib import Path

import pytest

from benchmarks import scaling

SMALL = {
    "replicas": 1,
    "plan": 1000,
    "ledger": 3,
    "anchors": 200,
    "agreement": 200,
    "projection": 100,
    "sources": 2,
    "alignment": 2,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", scaling.CURVES)
def test_every_curve_has_a_point(name: str) -> None:
    found = scaling.point(name, SMALL[name], 1)
    assert found["seconds"] > 0
    assert scaling.CURVES[name].sizes == tuple(sorted(scaling.CURVES[name].sizes))
    assert len(scaling.CURVES[name].sizes) >= 4


def test_the_ledger_is_read_whole() -> None:
    assert scaling.recorded(7)() == 7


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_the_exponent_is_that_of_the_upper_half(power: float) -> None:
    points = [{"size": size, "seconds": float(size) ** power} for size in (64, 128, 256)]
    start = [{"size": size, "seconds": 1e9} for size in (8, 16)]
    assert scaling.exponent([*start, *points]) == pytest.approx(power)


@pytest.mark.slow
def test_curves_are_measured_in_processes_of_their_own_and_drawn(tmp_path: Path) -> None:
    found = scaling.measure(["projection"], rounds=1, points=2)
    assert [each["size"] for each in found["projection"]["points"]] == [2000, 4000]
    json.dumps(found)
    scaling.draw(found, tmp_path / "f" / "curves.svg")
    assert (tmp_path / "f" / "curves.svg").read_text().lstrip().startswith("<?xml")
