"""The rows without a tuned prompt: Empty, Manual and the constant predictor."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trainables.core.cells import Cell
from trainables.core.frontier import Cost
from trainables.core.predictions import GOLD, gold_array, half_precision
from trainables.packs.run import Run, plain_layout
from trainables.scoring.evaluate import Evaluated, Found, answer_numbers, together
from trainables.scoring.open_vocabulary import KEYS, OPEN
from trainables.tasks import metrics
from trainables.tasks.answers import answer_score


def evaluate_references(run: Run, cells: Sequence[Cell]) -> None:
    """Put the result of every reference cell into the run's outcome, or why it has none."""
    for cell in cells:
        free = {"product": "none", **Cost().numbers()}
        run.settle(cell, together(REFERENCES[cell.row](run, cell), free))


def _empty(run: Run, cell: Cell) -> Found:
    layout = plain_layout(run.backbone(cell.target), cell.settings)
    return run.evaluate(cell.target, layout, None)[0]


def _manual(run: Run, cell: Cell) -> Found:
    layout = plain_layout(run.backbone(cell.target), cell.settings, run.task.manual)
    return run.evaluate(cell.target, layout, None)[0]


def _constant_answer(run: Run) -> Found:
    """The training split's most frequent gold answer, whatever the text says."""
    task, golds = run.task, run.task.golds
    numbers = [row.label for row in task.rows("train")]
    said = golds[max(range(len(golds)), key=numbers.count)][0]

    def score(split: str) -> float:
        rows = task.rows(split)
        return sum(answer_score(task.metric, said, golds[row.label]) for row in rows) / len(rows)

    return Evaluated(
        answer_numbers(
            score("test"),
            score("validation"),
            task.metric,
            (len(task.rows("test")), len(task.rows("validation"))),
            run.pack.calibration,
            degenerate=True,
        )
    )


def _constant(run: Run, cell: Cell) -> Found:
    """The training split's most frequent class, whatever the text says.

    It reads no label words: it has no loss, a calibration leaves it as it is, and all its answers
    are classes. As its
    log-probabilities stand those of the classes in the training split, which is all that it knows.
    """
    if run.task.free:
        return _constant_answer(run)
    golds = {
        name: [row.label for row in run.task.rows(name)] for name in ("train", "validation", "test")
    }
    metric, classes = run.task.metric, run.task.num_classes

    def score(gold: list[int]) -> float:
        return metrics.constant_score(metric, gold, classes, golds["train"])[0]

    choice = metrics.majority_class(golds["train"], classes)
    found = {"score": score(golds["test"]), "validation_score": score(golds["validation"])}
    numbers: dict[str, Any] = {
        **found,
        "metric": metric,
        "loss": None,
        "histogram": metrics.histogram([choice] * len(golds["test"]), classes),
        "degenerate": True,
        "n_test": len(golds["test"]),
        "n_validation": len(golds["validation"]),
        **{f"{key}_{name}": value for key, value in found.items() for name in run.pack.calibration},
    }
    if OPEN in run.pack.evaluation:
        numbers |= dict(
            zip(KEYS, (0.0, found["score"], 0.0, found["validation_score"]), strict=True)
        )
    counts = np.array(metrics.histogram(golds["train"], classes), dtype=np.float64)
    with np.errstate(divide="ignore"):  # a class that is never seen has the probability 0
        row = half_precision(np.log(counts / counts.sum())[None], np.array([choice]))
    predictions: dict[str, Any] = {}
    for split in run.pack.predictions:
        predictions[split] = np.repeat(row, len(golds[split]), 0)
        predictions[split + GOLD] = gold_array(golds[split], classes)
    return Evaluated(numbers, predictions)


REFERENCES: dict[str, Callable[[Run, Cell], Found]] = {
    "empty": _empty,
    "manual": _manual,
    "constant": _constant,
}
