"""From label-word logits to the numbers of a result."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from trainables.calibration import calibrate
from trainables.tasks import metrics


def scores(logits: torch.Tensor, gold: torch.Tensor, metric: str) -> list[float]:
    """Metric of every replica.

    Args:
        logits: [R, n, C].
        gold: [n].
        metric: a name :mod:`trainables.tasks.metrics` knows.

    Returns:
        R values in 0..1; NaN logits count as the first class.
    """
    predicted = logits.argmax(-1).cpu().tolist()
    truth = gold.cpu().tolist()
    return [metrics.compute(metric, truth, row, logits.shape[-1]) for row in predicted]


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
