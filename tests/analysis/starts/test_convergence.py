"""Convergence and comparable-result time against literal readings of their definitions."""

import math
from itertools import product

import pytest

from analysis.starts.convergence import DELTA, Curve, times

GRID = (0, 1, 2, 4, 8)


def curve(*values: float) -> Curve:
    return Curve(GRID[: len(values)], values)


def slow_converged(made: Curve, delta: float) -> int:
    """conv(run): first t with best until t at least the best of all minus δ."""
    pairs = list(zip(made.steps, made.values, strict=True))
    for step, _ in pairs:
        so_far = max(value for other, value in pairs if other <= step)
        if so_far >= max(made.values) - delta - 1e-9:
            return step
    raise AssertionError


def slow_comparable(start: Curve, control: Curve, delta: float) -> int | None:
    good = [
        step
        for step, value in zip(start.steps, start.values, strict=True)
        if value >= max(control.values) - delta - 1e-9
    ]
    return min(good) if good else None


def test_every_small_curve_is_read_as_the_definitions_say() -> None:
    levels = (0.5, 0.504, 0.6)
    made = [curve(*values) for values in product(levels, repeat=4)]
    for number, start in enumerate(made):
        control = made[(7 * number + 3) % len(made)]
        for delta in (0.0, DELTA, 0.2):
            found = times(start, control, delta)
            assert found.converged == slow_converged(start, delta)
            assert found.control == slow_converged(control, delta)
            assert found.comparable == slow_comparable(start, control, delta)


def test_never_reached_has_no_time() -> None:
    found = times(curve(0.5, 0.5, 0.55), curve(0.5, 0.6, 0.7))
    assert found.comparable is None
    assert math.isinf(found.comparison)
    assert (found.converged, found.control, found.convergence) == (2, 2, 100)


def test_reached_at_once() -> None:
    found = times(curve(0.9, 0.7, 0.7, 0.91), curve(0.5, 0.6, 0.6, 0.7))
    assert (found.comparable, found.comparison) == (0, 0)
    # Its own best it has only later.
    assert (found.converged, found.convergence) == (4, 100)


def test_a_start_that_is_as_good_as_the_control_gets_takes_no_steps() -> None:
    control = curve(0.5, 0.6, 0.7, 0.8, 0.8)
    found = times(curve(0.8, 0.8, 0.8, 0.8, 0.8), control)
    assert (found.comparison, found.convergence) == (0, 0)
    assert times(curve(0.796), control).comparison == 0
    assert math.isinf(times(curve(0.794), control).comparison)


def test_a_curve_that_falls_again_counts_where_it_first_was_good() -> None:
    made = curve(0.5, 0.8, 0.6, 0.803, 0.7)
    assert made.converged() == 1
    assert made.converged(0) == 4
    assert made.reaches(0.6) == 1


@pytest.mark.parametrize("values", [(0.5, 0.7, 0.6, 0.7), (0.9, 0.1), (0.3, 0.3, 0.4)])
def test_without_tolerance_it_is_the_first_maximum(values: tuple[float, ...]) -> None:
    made = curve(*values)
    assert made.converged(0) == made.steps[values.index(max(values))]


def test_a_control_that_takes_no_step_gives_nothing_to_divide_by() -> None:
    found = times(curve(0.5, 0.9), curve(0.7, 0.7))
    assert found.control == 0
    assert math.isnan(found.convergence) and math.isnan(found.comparison)


def test_the_resolution_is_the_distance_to_the_evaluation_before() -> None:
    made = curve(0.1, 0.2, 0.3, 0.4, 0.5)
    assert [made.width(step) for step in GRID] == [0, 1, 1, 2, 4]
    assert Curve((5, 10), (0.1, 0.2)).width(5) == 5
    assert times(made, made).width == 4
