"""What the drawing of test examples adds: against the jackknife by loops, and the bootstrap."""

import math
from collections.abc import Collection, Iterator

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.contrasts.examples import Examples, influence
from analysis.data.predictions import Kept
from trainables.tasks.metrics import compute, counts_of

METRICS = ("accuracy", "macro_f1", "macro_recall", "f1:1")


@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=3, max_size=25))
def test_influences_are_the_jackknife(metric: str, pairs: list[tuple[int, int]]) -> None:
    gold, predicted = map(list, zip(*pairs, strict=True))
    table = influence(metric, counts_of(gold, predicted, 3))
    whole, n = compute(metric, gold, predicted, 3), len(gold)
    for at in range(n):
        rest = compute(metric, gold[:at] + gold[at + 1 :], predicted[:at] + predicted[at + 1 :], 3)
        assert table[gold[at], predicted[at]] == pytest.approx((n - 1) * (whole - rest), abs=1e-9)


def test_of_the_accuracy_it_is_right_or_not() -> None:
    gold, predicted = [0, 0, 1, 1, 1], [0, 1, 1, 1, 0]
    table = influence("accuracy", counts_of(gold, predicted, 2))
    assert table == pytest.approx(np.eye(2) - 3 / 5)


class Made:
    """Cells with given predictions on one task's examples."""

    def __init__(self, gold: np.ndarray, predicted: dict[str, np.ndarray]) -> None:
        self.gold, self.predicted, self.read = gold, predicted, 0

    def __call__(self, cells: Collection[str]) -> Iterator[Kept]:
        for cell in cells:
            if cell in self.predicted:
                self.read += 1
                yield Kept(cell, self.gold, self.predicted[cell], np.zeros((len(self.gold), 2)))


def pairs_of(*each: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(each, columns=["cell", "partner"]).assign(task="t")


def test_two_cells_differ_by_the_paired_error() -> None:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 2, 300)
    made = Made(gold, {name: np.where(rng.random(300) < 0.7, gold, 1 - gold) for name in "ab"})
    found = Examples(made, {"t": "accuracy"})
    right = {name: made.predicted[name] == gold for name in "ab"}
    difference = 100.0 * right["a"] - 100.0 * right["b"]
    wanted = difference.std(ddof=1) / math.sqrt(300)
    assert found.error(pairs_of(("a", "b"))) == pytest.approx(wanted)
    draws = rng.integers(0, 300, (4000, 300))
    assert found.error(pairs_of(("a", "b"))) == pytest.approx(difference[draws].mean(1).std(), 0.05)


def test_what_cells_share_on_an_example_does_not_average_out() -> None:
    rng = np.random.default_rng(1)
    gold = rng.integers(0, 2, 400)
    base = np.where(rng.random(400) < 0.6, gold, 1 - gold)
    better = np.where(rng.random(400) < 0.3, gold, base)
    cells = {f"o{seed}": better for seed in range(5)} | {f"b{seed}": base for seed in range(5)}
    found = Examples(Made(gold, cells), {"t": "accuracy"})
    every = pairs_of(*[(f"o{seed}", f"b{seed}") for seed in range(5)])
    assert found.error(every) == pytest.approx(found.error(every[:1]))


def test_tasks_are_drawn_apart_and_cells_are_read_once() -> None:
    rng = np.random.default_rng(2)
    gold = rng.integers(0, 2, 100)
    made = Made(gold, {name: rng.integers(0, 2, 100) for name in "abcd"})
    found = Examples(made, {"t": "accuracy", "u": "accuracy"})
    one, two = pairs_of(("a", "b")), pairs_of(("c", "d")).assign(task="u")
    wanted = math.hypot(found.error(one), found.error(two)) / 2
    assert found.error(pd.concat([one, two])) == pytest.approx(wanted)
    assert made.read == 4


def test_without_predictions_nothing_is_known() -> None:
    gold = np.zeros(10, dtype=int)
    found = Examples(Made(gold, {"a": gold}), {"t": "accuracy"})
    assert math.isnan(found.error(pairs_of(("a", "b"))))
