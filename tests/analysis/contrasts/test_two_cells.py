"""Two cells compared example by example, against statsmodels and a bootstrap by loops."""

import numpy as np
import pytest

from analysis.contrasts.two_cells import compare_cells, compared
from analysis.data.predictions import Kept
from trainables.errors import InputError
from trainables.tasks.metrics import compute


def kept(name: str, gold: np.ndarray, predicted: np.ndarray) -> Kept:
    return Kept(name, gold, predicted, np.zeros((len(gold), 3)))


@pytest.fixture(scope="module")
def cells() -> tuple[Kept, Kept]:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 3, 150)
    first = np.where(rng.random(150) < 0.75, gold, rng.integers(0, 3, 150))
    second = np.where(rng.random(150) < 0.8, first, rng.integers(0, 3, 150))
    return kept("a", gold, first), kept("b", gold, second)


def test_mcnemar_as_statsmodels(cells: tuple[Kept, Kept]) -> None:
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    found = compared(*cells, "accuracy")
    right = [item.predicted == item.gold for item in cells]
    table = [
        [(right[0] & right[1]).sum(), found.first],
        [found.second, (~right[0] & ~right[1]).sum()],
    ]
    assert found.p == pytest.approx(tables.mcnemar(table, exact=True).pvalue)
    assert found.difference == pytest.approx(100 * (found.first - found.second) / 150)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_the_interval_is_that_of_a_paired_bootstrap(cells: tuple[Kept, Kept], metric: str) -> None:
    one, other = cells
    found = compared(one, other, metric, draws=4000)
    rng = np.random.default_rng(1)
    draws = []
    for _ in range(1500):
        at = rng.integers(0, 150, 150)
        scores = [compute(metric, item.gold[at], item.predicted[at], 3) for item in cells]
        draws.append(100 * (scores[0] - scores[1]))
    assert (found.low, found.high) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.8)
    whole = [compute(metric, item.gold, item.predicted, 3) for item in cells]
    assert found.difference == pytest.approx(100 * (whole[0] - whole[1]))


def test_equal_cells_do_not_differ(cells: tuple[Kept, Kept]) -> None:
    found = compared(cells[0], cells[0], "accuracy")
    assert (found.p, found.difference, found.low, found.high) == (1.0, 0.0, 0.0, 0.0)


def test_cells_that_cannot_be_compared(full_folder) -> None:  # type: ignore[no-untyped-def]
    from analysis import load

    frame = load(full_folder)
    by_task = frame[frame["row"] == "ours"].groupby("task")["cell"].first()
    with pytest.raises(InputError, match="allowed: two cells of one task"):
        compare_cells(full_folder, *by_task.iloc[:2])
    same = frame.loc[(frame["row"] == "ours") & (frame["task"] == "mini/a"), "cell"]
    with pytest.raises(InputError, match="keeps no predictions on test"):
        compare_cells(full_folder, *same.iloc[:2])
    with pytest.raises(InputError, match="is no record of a finished cell"):
        compare_cells(full_folder, "0123", same.iloc[0])
