"""Two cells of one task, compared example by example."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from analysis.data.predictions import Kept, read_predictions
from analysis.stats.intervals import LEVEL
from trainables.errors import InputError
from trainables.packs.records import read_record
from trainables.tasks.metrics import score_counts

DRAWS = 10_000


@dataclass(frozen=True)
class TwoCells:
    """How two cells differ on the same test examples. Differences are first minus second, points.

    Attributes:
        n: test examples.
        first: examples that only the first has right.
        second: examples that only the second has right.
        p: exact two-sided p of McNemar's test, for being right as often; 1 where both are right on
            the same examples.
        difference: of the task's metric.
        low: lower end of its paired bootstrap interval over examples (percentiles).
        high: upper end.
    """

    n: int
    first: int
    second: int
    p: float
    difference: float
    low: float
    high: float


def compare_cells(
    folder: Path | str, first: str, second: str, draws: int = DRAWS, seed: int = 0
) -> TwoCells:
    """Compare two cells of one task by their kept predictions, their seeds taken as given.

    Args:
        seed: of the random numbers; equal input gives equal output.

    Raises:
        InputError: a cell that is not there, keeps no predictions, or is of another task.
    """
    cells = {name: _cell(Path(folder), name) for name in (first, second)}
    tasks = [cells[name]["cell"]["task"] for name in (first, second)]
    if tasks[0] != tasks[1]:
        raise InputError(
            f"cells {first} and {second}: found the tasks {tasks[0]} and {tasks[1]}; allowed: two"
            " cells of one task"
        )
    kept = {item.cell: item for item in read_predictions(folder, [first, second])}
    for name in (first, second):
        if name not in kept:
            raise InputError(
                f"cell {name}: keeps no predictions on test; allowed: a cell of a sweep whose"
                " `predictions` names test"
            )
    return compared(kept[first], kept[second], cells[first]["result"]["metric"], draws, seed)


def compared(one: Kept, other: Kept, metric: str, draws: int = DRAWS, seed: int = 0) -> TwoCells:
    """As :func:`compare_cells`, of predictions on the same examples."""
    from scipy.stats import binomtest

    right = [item.predicted == item.gold for item in (one, other)]
    b, c = int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum())
    p = float(binomtest(b, b + c).pvalue) if b + c else 1.0
    # Examples that both cells see alike are one kind: a draw is how often each kind comes.
    kinds, often = np.unique(
        np.stack([one.gold, one.predicted, other.predicted]), axis=1, return_counts=True
    )
    classes, n = one.log_probs.shape[1], len(one.gold)
    drawn = np.random.default_rng(seed).multinomial(n, often / n, draws)
    counts = np.concatenate([often[None], drawn]).astype(np.float64)
    scores = [_scores(metric, kinds[0], predicted, counts, classes) for predicted in kinds[1:]]
    differences = 100 * (scores[0] - scores[1])
    low, high = np.quantile(differences[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return TwoCells(n, b, c, p, float(differences[0]), float(low), float(high))


def _scores(
    metric: str,
    gold: npt.NDArray[np.int64],
    predicted: npt.NDArray[np.int64],
    counts: npt.NDArray[np.float64],
    classes: int,
) -> npt.NDArray[np.float64]:
    """Score of every draw [draws] of kinds of examples, ``counts`` [draws, kinds]."""
    places = np.eye(classes * classes)[gold * classes + predicted]
    return score_counts(metric, (counts @ places).reshape(-1, classes, classes))


def _cell(folder: Path, name: str) -> dict[str, dict[str, str]]:
    path = folder / "ledger" / name[:2] / f"{name}.json"
    try:
        return read_record(str(path), name)
    except (OSError, ValueError):
        raise InputError(
            f"cell {name}: {path} is no record of a finished cell; allowed: an id of the column"
            " `cell` of results.csv"
        ) from None
