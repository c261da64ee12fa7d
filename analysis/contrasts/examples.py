"""What the drawing of the test examples adds to the uncertainty of a mean difference.

All cells of a task are scored on the same examples. With other examples of the same task every
score would be another one, and more seeds change nothing about that. The kept predictions tell how
much: a metric changes by the *influence* of an example (jackknife: n - 1 times what the score loses
without it), influences are averaged over all cells of a task before their spread over examples is
taken, and so what cells share on one example is counted once (Miller 2024, clustered errors).
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.data.predictions import Kept, read_predictions
from trainables.tasks.metrics import counts_of, score_counts

_AT_ONCE = 256
_NOTHING = 1e-18
"""Variance up to which equal predictions differ by rounding alone."""
Numbers = npt.NDArray[np.float64]
Codes = npt.NDArray[np.unsignedinteger]
Reader = Callable[[Collection[str]], Iterable[Kept]]
"""Gives the predictions on test of those of the cells that keep them."""


@dataclass
class Examples:
    """Influences of the test examples on the scores of cells, read once a cell.

    Attributes:
        reader: gives the predictions that cells keep.
        metrics: name of each task's metric.
    """

    reader: Reader
    metrics: Mapping[str, str]
    _known: dict[str, tuple[Codes, Numbers]] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)

    def influences(self, cell: str) -> Numbers | None:
        """Influence [n] of every test example on a cell that was read, in points; None without."""
        known = self._known.get(cell)
        return None if known is None else known[1][known[0]]

    def error(self, pairs: pd.DataFrame) -> float:
        """Standard error of a mean paired difference from the drawing of the test examples alone.

        Args:
            pairs: of :func:`analysis.contrasts.effects.paired`, with the columns task, cell and
                partner.

        Returns:
            Points; NaN where a cell keeps no predictions, or cells of a task have other examples.
        """
        variance = 0.0
        tasks = pairs["task"].to_numpy(dtype=object)
        sides = {+1: pairs["cell"].tolist(), -1: pairs["partner"].tolist()}
        for task in dict.fromkeys(tasks.tolist()):
            rows = np.flatnonzero(tasks == task).tolist()
            self._learn(str(task), (side[row] for side in sides.values() for row in rows))
            total: Numbers | None = None
            for sign, side in sides.items():
                for row in rows:
                    mine = self.influences(side[row])
                    if mine is None or (total is not None and len(total) != len(mine)):
                        return math.nan
                    total = sign * mine if total is None else total + sign * mine
            if total is not None:
                variance += variance_of_mean(total / len(pairs))
        return math.sqrt(variance) if variance > _NOTHING else 0.0

    @cached_property
    def calibrated(self) -> "Examples":
        """The same of the scores after batch calibration."""
        return Examples(lambda cells: map(_calibrated, self.reader(cells)), self.metrics)

    def spread(self, terms: pd.DataFrame) -> float:
        """Standard error of a weighted sum of scores from the drawing of the test examples alone.

        Args:
            terms: columns task, cell, weight and calibrated, whether it is the score after batch
                calibration.

        Returns:
            In points, where a weight of 1 is a score's; NaN as :meth:`error`.
        """
        if terms["cell"].isna().any():
            return math.nan
        sums = terms.groupby(["task", "calibrated", "cell"], sort=False)["weight"].sum()
        variance = 0.0
        for task, here in sums[sums != 0].groupby(level="task"):
            total: Numbers | None = None
            for calibrated, some in here.groupby(level="calibrated"):
                reader = self.calibrated if calibrated else self
                cells = some.index.get_level_values("cell")
                reader._learn(str(task), cells)
                for cell, weight in zip(cells, some, strict=True):
                    mine = reader.influences(cell)
                    if mine is None or (total is not None and len(total) != len(mine)):
                        return math.nan
                    total = weight * mine if total is None else total + weight * mine
            if total is not None:
                variance += variance_of_mean(total)
        return math.sqrt(variance) if variance > _NOTHING else 0.0

    def _learn(self, task: str, cells: Iterable[str]) -> None:
        """Read what cells of a task keep, once: the kind of every example, and its influence."""
        new = [cell for cell in dict.fromkeys(cells) if cell not in self._asked]
        self._asked.update(new)
        for some in _batches(self.reader(new)):
            classes = some[0].log_probs.shape[1]
            counts = np.stack([counts_of(item.gold, item.predicted, classes) for item in some])
            for item, table in zip(some, influence(self.metrics[task], counts), strict=True):
                kinds = (item.gold * classes + item.predicted).astype(
                    np.min_scalar_type(classes**2)
                )
                self._known[item.cell] = (kinds, 100 * table.reshape(-1))


def examples_of(folder: Path, frame: pd.DataFrame) -> Examples:
    """Influences from the predictions kept in a sweep's folder; damaged files count as missing."""
    names = frame.dropna(subset=["metric"]).drop_duplicates("task")
    metrics = dict(zip(names["task"], names["metric"], strict=True))

    def reader(cells: Collection[str]) -> Iterable[Kept]:
        return read_predictions(folder, cells, damaged=lambda line: None)

    return Examples(reader, metrics)


def _calibrated(kept: Kept) -> Kept:
    shifted = kept.log_probs - kept.log_probs.mean(0, keepdims=True)
    return kept._replace(predicted=np.nan_to_num(shifted, nan=-np.inf).argmax(1))


def influence(metric: str, counts: Numbers) -> Numbers:
    """Jackknife influence of an example on a metric, by its true and its predicted class.

    Args:
        metric: name of :mod:`trainables.tasks.metrics`.
        counts: examples by true and predicted class, [..., C, C].

    Returns:
        (n - 1) (score - score without one such example), [..., C, C]; 0 where there is none. Of the
        accuracy it is (right or not) - accuracy.
    """
    classes, n = counts.shape[-1], counts.sum((-2, -1))[..., None, None]
    one = np.eye(classes * classes).reshape(-1, classes, classes)
    rest = np.maximum(counts[..., None, :, :] - one, 0.0)
    without = score_counts(metric, rest).reshape(counts.shape)
    change = (n - 1) * (score_counts(metric, counts)[..., None, None] - without)
    return np.where(counts > 0, change, 0.0)


def _batches(kept: Iterable[Kept]) -> Iterator[list[Kept]]:
    """Cells together whose tables of counts are of one size, some hundreds at a time."""
    some: list[Kept] = []
    for item in kept:
        if some and (
            len(some) == _AT_ONCE or item.log_probs.shape[1] != some[0].log_probs.shape[1]
        ):
            yield some
            some = []
        some.append(item)
    if some:
        yield some


def variance_of_mean(influences: Numbers) -> float:
    """Variance of a score from its examples' influences [n]: their variance over n (ddof=1)."""
    n = len(influences)
    return float(np.var(influences, ddof=1)) / n if n > 1 else 0.0
