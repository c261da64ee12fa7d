"""From label-word logits to the numbers of a result."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
import torch.nn.functional as F

from trainables.core.predictions import GOLD, Tensors, gold_array, half_precision
from trainables.scoring.calibration import calibrate
from trainables.scoring.free_text import answer_loss, answer_scores
from trainables.tasks import metrics
from trainables.tasks.answers import ANSWER_METRICS


@dataclass(frozen=True)
class Evaluated:
    """One prompt, or none, evaluated on one model.

    Attributes:
        numbers: what the result says, see :func:`measure`.
        predictions: what is kept of the predictions it was scored by, see
            :mod:`trainables.core.predictions`.
    """

    numbers: dict[str, Any]
    predictions: Tensors = field(default_factory=dict)

    def plus(self, numbers: dict[str, Any]) -> Self:
        return replace(self, numbers={**self.numbers, **numbers})


Numbers = dict[str, Any] | str
"""Something that a result says besides, or one sentence why it cannot be said."""

Found = Evaluated | str
"""What a prompt was evaluated to, or one sentence why there is nothing."""


def together(found: Found, *more: Numbers) -> Found:
    """What was found with further numbers, or the first sentence why some are not there."""
    for part in more:
        if isinstance(found, str):
            break
        found = part if isinstance(part, str) else found.plus(part)
    return found


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


def scores(logits: torch.Tensor, gold: torch.Tensor, metric: str) -> list[float]:
    """Metric of every replica.

    Args:
        logits: [R, n, C]; of answers in free text [R, n, 2], see
            :mod:`trainables.backbones.free_text`.
        gold: [n].
        metric: a name :mod:`trainables.tasks.metrics` or :mod:`trainables.tasks.answers` knows.

    Returns:
        R values in 0..1; NaN for a replica whose logits are not all finite, whatever class they
        would give.
    """
    if metric in ANSWER_METRICS:
        return answer_scores(logits)
    return _scored(logits, logits.argmax(-1), gold, metric)


def _scored(
    logits: torch.Tensor, predicted: torch.Tensor, gold: torch.Tensor, metric: str
) -> list[float]:
    truth, rows = gold.cpu().tolist(), predicted.cpu().tolist()
    return [
        metrics.compute(metric, truth, row, logits.shape[-1]) if known else math.nan
        for row, known in zip(rows, finite(logits).tolist(), strict=True)
    ]


def kept_predictions(
    split: str, logits: torch.Tensor, predicted: torch.Tensor, gold: torch.Tensor
) -> list[Tensors]:
    """What is kept of each replica's predictions on a split (:mod:`trainables.core.predictions`).

    Args:
        logits: [R, n, C].
        predicted: the classes that were scored, [R, n].
        gold: [n].
    """
    log_probs = logits.detach().cpu().double().log_softmax(-1).numpy()
    kept = half_precision(log_probs, predicted.cpu().numpy())
    truth = gold_array(gold.cpu().numpy(), logits.shape[-1])
    return [{split: values, split + GOLD: truth} for values in kept]


def mean_loss(logits: torch.Tensor, gold: torch.Tensor, metric: str = "") -> torch.Tensor:
    """Label-word cross-entropy [R] of logits [R, n, C] against [n] (paper A, equation 1).

    ``metric``: where it is one of free text, the loss of the gold answers in its place.
    """
    if metric in ANSWER_METRICS:
        return answer_loss(logits)
    replicas, count, classes = logits.shape
    target = gold.repeat(replicas)
    loss = F.cross_entropy(logits.reshape(-1, classes), target, reduction="none")
    return loss.view(replicas, count).mean(1)


def answer_numbers(
    score: float,
    on_validation: float,
    metric: str,
    sizes: tuple[int, int],
    calibrations: Sequence[str],
    loss: float | None = None,
    degenerate: bool = False,
) -> dict[str, Any]:
    """What a result of answers in free text says: see :func:`measure`.

    There is no preference for a class: calibrations leave scores as they are.

    Args:
        sizes: rows of test and of validation.
    """
    found = {"score": score, "validation_score": on_validation}
    return {
        **found,
        "metric": metric,
        "loss": loss,
        "histogram": None,
        "degenerate": degenerate,
        "n_test": sizes[0],
        "n_validation": sizes[1],
        **{f"{key}_{name}": value for key, value in found.items() for name in calibrations},
    }


def _measured_answers(
    test: torch.Tensor, validation: torch.Tensor, metric: str, calibrations: Sequence[str]
) -> list[Evaluated]:
    """As :func:`measure`, of answers in free text: there are no predictions of classes to keep."""
    sizes = (test.shape[1], validation.shape[1])
    each = zip(
        answer_scores(test), answer_scores(validation), answer_loss(test).tolist(), strict=True
    )
    return [
        Evaluated(answer_numbers(score, on_validation, metric, sizes, calibrations, loss))
        for score, on_validation, loss in each
    ]


def measure(
    test: torch.Tensor,
    test_gold: torch.Tensor,
    validation: torch.Tensor,
    validation_gold: torch.Tensor,
    metric: str,
    calibrations: Sequence[str] = (),
    free: torch.Tensor | None = None,
    keep: Collection[str] = (),
) -> list[Evaluated]:
    """What every evaluated prompt reports.

    Args:
        test: logits [R, n, C] on the test split.
        test_gold: [n].
        validation: logits [R, v, C] on the validation split.
        validation_gold: [v].
        calibrations: names of :data:`trainables.scoring.calibration.CALIBRATIONS`.
        free: logits [R, k, C] on content-free inputs, where a calibration reads them.

    Returns:
        Per replica its predictions on the splits asked for, and numbers: score, validation_score,
        metric, loss, histogram (predictions per class), degenerate (one class predicted
        throughout), n_test, n_validation, and per calibration ``score_NAME`` and
        ``validation_score_NAME``. All but those are uncalibrated. Those of a replica that is
        :func:`unreadable` mean nothing.
    """
    if metric in ANSWER_METRICS:
        return _measured_answers(test, validation, metric, calibrations)
    classes = test.shape[-1]
    predicted, predicted_validation = test.argmax(-1), validation.argmax(-1)
    on_test = _scored(test, predicted, test_gold, metric)
    on_validation = _scored(validation, predicted_validation, validation_gold, metric)
    losses = mean_loss(test, test_gold).tolist()
    calibrated = {
        f"{split}_{name}": scores(calibrate(name, logits, free), gold, metric)
        for name in calibrations
        for split, logits, gold in (
            ("score", test, test_gold),
            ("validation_score", validation, validation_gold),
        )
    }
    kept = [
        kept_predictions(*parts)
        for parts in (
            ("validation", validation, predicted_validation, validation_gold),
            ("test", test, predicted, test_gold),
        )
        if parts[0] in keep
    ]
    results = []
    for replica, own in enumerate(predicted):
        histogram = torch.bincount(own, minlength=classes).tolist()
        results.append(
            Evaluated(
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
                },
                {name: tensor for part in kept for name, tensor in part[replica].items()},
            )
        )
    return results
