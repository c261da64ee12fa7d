"""Scores of predicted classes, all in 0..1, and what a constant prediction would score.

The definitions are scikit-learn's with ``zero_division=0`` and the macro means are over all
classes of the task: a class that is neither present nor predicted counts as 0.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from trainables.core.registry import Registry
from trainables.errors import InputError, nearest, show
from trainables.files.text_files import named

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Labels: TypeAlias = "Sequence[int] | npt.NDArray[np.integer[Any]]"
"""Class indices, [n]."""


def compute(metric: str, gold: Labels, predicted: Labels, num_classes: int) -> float:
    """Score of ``predicted`` against ``gold``.

    Args:
        metric: a name in :data:`METRICS`, or ``f1:<class index>``.
        gold: true classes, [n], n > 0.
        predicted: predicted classes, [n].
        num_classes: C.

    Returns:
        The score, 0..1.

    Raises:
        InputError: unknown metric, or one that does not suit ``num_classes``.
        ValueError: lengths differ or are 0.
    """
    score = _scorer(metric, num_classes)
    if len(gold) != len(predicted) or len(gold) == 0:
        raise ValueError(f"{len(gold)} true and {len(predicted)} predicted classes")
    return float(score(counts_of(gold, predicted, num_classes)))


def resolve_metric(metric: str, classes: Sequence[str]) -> str:
    """``metric`` with a class name after ``f1:`` replaced by the class index.

    Raises:
        InputError: the metric or its class is unknown, or does not suit the number of classes.
    """
    kind, colon, which = metric.partition(":")
    if kind == "f1" and colon and which in classes:
        metric = f"f1:{list(classes).index(which)}"
    try:
        _scorer(metric, len(classes))
    except InputError:
        if kind == "f1" and colon:
            raise InputError(
                f"metric: found {show(metric)}; allowed: f1: and one of {named(classes)}"
            ) from None
        raise
    return metric


def histogram(predicted: Labels, num_classes: int) -> list[int]:
    """Number of predictions per class, [C]."""
    counts = [0] * num_classes
    for label in predicted:
        counts[int(label)] += 1
    return counts


def is_degenerate(counts: Sequence[int]) -> bool:
    """Whether at most one class is predicted; ``counts``: predictions per class, [C]."""
    return sum(count > 0 for count in counts) <= 1


def constant_scores(metric: str, gold: Labels, num_classes: int) -> list[float]:
    """Score of predicting class c always, for every c: [C]."""
    return [compute(metric, gold, [label] * len(gold), num_classes) for label in range(num_classes)]


def majority_class(labels: Labels, num_classes: int) -> int:
    """Most frequent class; the lowest index among equals."""
    counts = histogram(labels, num_classes)
    return counts.index(max(counts))


def constant_score(
    metric: str, gold: Labels, num_classes: int, train_labels: Labels
) -> tuple[float, int]:
    """(score, class) of always predicting the majority class of ``train_labels``.

    The class is chosen on training labels because the measured ones must choose nothing.
    """
    label = majority_class(train_labels, num_classes)
    return compute(metric, gold, [label] * len(gold), num_classes), label


Score = Callable[["npt.NDArray[np.float64]"], "npt.NDArray[np.float64]"]


def counts_of(gold: Labels, predicted: Labels, num_classes: int) -> "npt.NDArray[np.float64]":
    """How often each class was given for each true one, [C, C]: true classes down."""
    import numpy as np

    place = np.asarray(gold, dtype=np.int64) * num_classes + np.asarray(predicted, dtype=np.int64)
    found = np.bincount(place, minlength=num_classes**2).reshape(num_classes, num_classes)
    return found.astype(np.float64)


def score_counts(metric: str, counts: "npt.NDArray[np.float64]") -> "npt.NDArray[np.float64]":
    """Score of every table of counts.

    Args:
        metric: as for :func:`compute`.
        counts: of :func:`counts_of`, [..., C, C].

    Returns:
        Scores, [...].

    Raises:
        InputError: as :func:`compute`.
    """
    return _scorer(metric, counts.shape[-1])(counts)


def _right(counts: Any) -> Any:
    return counts.diagonal(axis1=-2, axis2=-1)


def _share(part: Any, whole: Any) -> Any:
    """Of nothing 0, as scikit-learn's ``zero_division=0``."""
    import numpy as np

    return np.divide(part, whole, out=np.zeros_like(part, dtype=np.float64), where=whole > 0)


def _accuracy(counts: Any) -> Any:
    return _share(_right(counts).sum(-1), counts.sum((-2, -1)))


def _f1(counts: Any) -> Any:
    """F1 of every class, [..., C]."""
    return _share(2 * _right(counts), counts.sum(-1) + counts.sum(-2))


def _macro_f1(counts: Any) -> Any:
    return _f1(counts).mean(-1)


def _macro_recall(counts: Any) -> Any:
    return _share(_right(counts), counts.sum(-1)).mean(-1)


def _accuracy_f1_mean(counts: Any) -> Any:
    return (_accuracy(counts) + _f1(counts)[..., 1]) / 2


METRICS: Registry[Score] = Registry(
    "metric",
    {
        "accuracy": _accuracy,
        "macro_f1": _macro_f1,
        "macro_recall": _macro_recall,
        "accuracy_f1_mean": _accuracy_f1_mean,
    },
)
"""Metrics by name (``f1:<class>`` comes on top); accuracy_f1_mean is GLUE's for MRPC and QQP.

Each is a function of how often each class was given for each true one, so that the analysis can
score many predictions at once."""

_BINARY_ONLY = frozenset({"accuracy_f1_mean"})


def _scorer(metric: str, num_classes: int) -> Score:
    kind, _, which = metric.partition(":")
    if kind == "f1" and which.isdecimal() and int(which) < num_classes:
        return lambda counts: _f1(counts)[..., int(which)]
    if metric not in METRICS:
        raise InputError(
            f"metric: found {show(metric)}{nearest(metric, METRICS)};"
            f" allowed: {', '.join(METRICS)}, f1:<class>"
        )
    if metric in _BINARY_ONLY and num_classes != 2:
        raise InputError(f"metric: found {show(metric)} for {num_classes} classes; allowed: for 2")
    return METRICS[metric]
