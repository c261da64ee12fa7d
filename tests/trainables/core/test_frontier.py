"""The share of the gap, and where there is none."""

import math

import pytest

from trainables.core.frontier import LEAST_GAP, gap_recovered


@pytest.mark.parametrize(
    ("score", "empty", "direct", "share"),
    [
        (0.50, 0.40, 0.80, 0.25),
        (0.40, 0.40, 0.80, 0.0),
        (0.80, 0.40, 0.80, 1.0),
        (0.90, 0.40, 0.80, 1.25),
        (0.30, 0.40, 0.80, -0.25),
        (0.44, 0.40, 0.40 + LEAST_GAP, 0.8),  # the least gap itself counts
    ],
)
def test_share(score: float, empty: float, direct: float, share: float) -> None:
    assert gap_recovered(score, empty, direct) == pytest.approx(share)


@pytest.mark.parametrize(
    ("score", "empty", "direct"),
    [
        (0.50, 0.40, 0.40),  # Direct = Empty
        (0.50, 0.40, 0.30),
        (0.50, 0.40, 0.40 + LEAST_GAP - 0.001),
        (0.50, 0.40, math.nan),
        (0.50, math.nan, 0.80),
        (math.nan, 0.40, 0.80),
    ],
)
def test_no_share_without_a_clear_gap(score: float, empty: float, direct: float) -> None:
    assert gap_recovered(score, empty, direct) is None
