"""From label-word logits to the numbers of a result."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from trainables.calibration import calibrate
from trainables.tasks import metrics

Found = dict[str, Any] | str
"""Numbers of a prompt, or one sentence why there are none."""


def finite(logits: torch.Tensor) -> torch.Tensor:
    """Whether all numbers of each replica [R, ...] are finite, bool [R]."""
    return torch.isfinite(logits).flatten(1).all(1)


def no_number(model: str, task: str, split: str) -> str:
    """The sentence that fails a cell whose logits are NaN or infinite somewhere."""
    return (
        f"model {model!r}, task {task!r}, split {split!r}: the logits of the label words are not"
        " all finite numbers"
    )


def unreadable(
    model: str, task: str, logits: Mapping[str, torch.Tensor | None]
) -> list[str | None]:
    """Per replica the sentence why it cannot be scored, or None where it can.

    Args:
        model: alias of the model that has read.
        task: name of the task.
        logits: by split, [R, n, C]; None where it was not read. The first that is not finite is
            named.
    """
    given = {split: finite(found).tolist() for split, found in logits.items() if found is not None}
    return [
        next(
            (no_number(model, task, split) for split, known in given.items() if not known[at]), None
        )
        for at in range(len(next(iter(given.values()))))
    ]


def together(*parts: Found) -> Found:
    """Numbers of one prompt in one mapping, or the first sentence why some are not there."""
    merged: dict[str, Any] = {}
    for part in parts:
        if isinstance(part, str):
            return part
        merged |= part
    return merged


def scores(logits: torch.Tensor, gold: torch.Tensor, metric: str) -> list[float]:
    """Metric of every replica.

    Args:
        logits: [R, n, C].
        gold: [n].
        metric: a name :mod:`trainables.tasks.metrics` knows.

    Returns:
        R values in 0..1; NaN for a replica whose logits are not all finite, whatever class they
        would give.
    """
    predicted = logits.argmax(-1).cpu().tolist()
    truth = gold.cpu().tolist()
    return [
        metrics.compute(metric, truth, row, logits.shape[-1]) if known else math.nan
        for row, known in zip(predicted, finite(logits).tolist(), strict=True)
    ]


def mean_loss(logits: torch.Tensor, gold: torch.Tensor) -> torch.Tensor:
    """Label-word cross-entropy [R] of logits [R, n, C] against [n] (paper A, equation 1)."""
    replicas, count, classes = logits.shape
    target = gold.repeat(replicas)
    loss = F.cross_entropy(logits.reshape(-1, classes), target, reduction="none")
    return loss.view(replicas, count).mean(1)


def measure(
    test: torch.Tensor,
    test_gold: torch.Tensor,
    validation: torch.Tensor,
    validation_gold: torch.Tensor,
    metric: str,
    calibrations: Sequence[str] = (),
    free: torch.Tensor | None = None,
) -> list[dict[str, Any]]:
    """What every evaluated prompt reports.

    Args:
        test: logits [R, n, C] on the test split.
        test_gold: [n].
        validation: logits [R, v, C] on the validation split.
        validation_gold: [v].
        metric: the task's.
        calibrations: names of :data:`trainables.calibration.CALIBRATIONS`.
        free: logits [R, k, C] on content-free inputs, where a calibration reads them.

    Returns:
        R dictionaries with score, validation_score, metric, loss, histogram (predictions per
        class), degenerate (one class predicted throughout), n_test, n_validation, and per
        calibration ``score_NAME`` and ``validation_score_NAME``. All but those are uncalibrated.
        Those of a replica that is :func:`unreadable` mean nothing.
    """
    classes = test.shape[-1]
    on_test = scores(test, test_gold, metric)
    on_validation = scores(validation, validation_gold, metric)
    losses = mean_loss(test, test_gold).tolist()
    calibrated = {
        f"{split}_{name}": scores(calibrate(name, logits, free), gold, metric)
        for name in calibrations
        for split, logits, gold in (
            ("score", test, test_gold),
            ("validation_score", validation, validation_gold),
        )
    }
    results = []
    for replica, predicted in enumerate(test.argmax(-1)):
        histogram = torch.bincount(predicted, minlength=classes).tolist()
        results.append(
            {
                "score": on_test[replica],
                "validation_score": on_validation[replica],
                "metric": metric,
                "loss": losses[replica],
                "histogram": histogram,
                "degenerate": metrics.is_degenerate(histogram),
                "n_test": len(test_gold),
                "n_validation": len(validation_gold),
                **{name: values[replica] for name, values in calibrated.items()},
            }
        )
    return results
