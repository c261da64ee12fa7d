"""λ: one value, one spelling a border."""

from typing import Any

import pytest

from trainables.core.weight import INDEPENDENT, Weight


@pytest.mark.parametrize(
    ("written", "value", "schedule", "label", "number"),
    [
        (0, 0.0, "none", "0", 0.0),
        (0.30, 0.3, "constant", "0.3", 0.3),
        (1, 1.0, "constant", "1", 1.0),
        ("annealing", None, "annealing", "annealing", -1.0),
    ],
)
def test_each_border_has_its_spelling(
    written: Any, value: float | None, schedule: str, label: str, number: float
) -> None:
    weight = Weight.of(written)
    assert weight == Weight(value, schedule)
    assert (weight.label, weight.number, weight.written) == (label, number, written)
    assert weight.joint == (weight != INDEPENDENT)


def test_where_nothing_is_tuned_there_is_no_label() -> None:
    assert (Weight(None, "none").label, Weight(None, "none").number) == ("", 0.0)


@pytest.mark.parametrize("written", [-0.1, 1.5, float("nan"), True, None, "0.3", "anneal", [0.3]])
def test_what_is_no_weight_is_refused(written: Any) -> None:
    with pytest.raises(ValueError, match=r"^a number in \[0, 1\], or the word annealing$"):
        Weight.of(written)
