"""Metrics against their definitions written out."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.errors import InputError
from trainables.tasks import metrics

# The first call imports scikit-learn, which takes seconds.
literal = settings(deadline=None, max_examples=50)


@st.composite
def predictions(draw: st.DrawFn) -> tuple[list[int], list[int], int]:
    classes = draw(st.integers(2, 4))
    label = st.integers(0, classes - 1)
    pairs = draw(st.lists(st.tuples(label, label), min_size=1, max_size=30))
    gold, predicted = zip(*pairs, strict=True)
    return list(gold), list(predicted), classes


def ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def counts(gold: list[int], predicted: list[int], label: int) -> tuple[int, int, int]:
    """(true positives, predicted as label, truly label)."""
    both = sum(g == p == label for g, p in zip(gold, predicted, strict=True))
    return both, predicted.count(label), gold.count(label)


def f1(gold: list[int], predicted: list[int], label: int) -> float:
    both, guessed, true = counts(gold, predicted, label)
    precision, recall = ratio(both, guessed), ratio(both, true)
    return ratio(2 * precision * recall, precision + recall)


def accuracy(gold: list[int], predicted: list[int]) -> float:
    return sum(g == p for g, p in zip(gold, predicted, strict=True)) / len(gold)


@literal
@given(predictions())
def test_accuracy(case: tuple[list[int], list[int], int]) -> None:
    gold, predicted, classes = case
    assert math.isclose(
        metrics.compute("accuracy", gold, predicted, classes), accuracy(gold, predicted)
    )


@literal
@given(predictions())
def test_macro_f1(case: tuple[list[int], list[int], int]) -> None:
    gold, predicted, classes = case
    wanted = sum(f1(gold, predicted, label) for label in range(classes)) / classes
    assert math.isclose(metrics.compute("macro_f1", gold, predicted, classes), wanted)


@literal
@given(predictions())
def test_macro_recall(case: tuple[list[int], list[int], int]) -> None:
    gold, predicted, classes = case
    recalls = []
    for label in range(classes):
        both, _, true = counts(gold, predicted, label)
        recalls.append(ratio(both, true))
    wanted = sum(recalls) / classes
    assert math.isclose(metrics.compute("macro_recall", gold, predicted, classes), wanted)


@literal
@given(predictions(), st.integers(0, 3))
def test_f1_of_one_class(case: tuple[list[int], list[int], int], label: int) -> None:
    gold, predicted, classes = case
    label %= classes
    measured = metrics.compute(f"f1:{label}", gold, predicted, classes)
    assert math.isclose(measured, f1(gold, predicted, label))


@literal
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=30))
def test_accuracy_f1_mean(pairs: list[tuple[int, int]]) -> None:
    gold, predicted = (list(column) for column in zip(*pairs, strict=True))
    wanted = (accuracy(gold, predicted) + f1(gold, predicted, 1)) / 2
    assert math.isclose(metrics.compute("accuracy_f1_mean", gold, predicted, 2), wanted)


@literal
@given(predictions())
def test_constants(case: tuple[list[int], list[int], int]) -> None:
    gold, train, classes = case
    scores = metrics.constant_scores("macro_f1", gold, classes)
    assert len(scores) == classes
    label = metrics.majority_class(train, classes)
    assert train.count(label) == max(train.count(other) for other in range(classes))
    assert metrics.constant_score("macro_f1", gold, classes, train) == (scores[label], label)


def test_constant_is_chosen_on_training_labels_alone() -> None:
    assert metrics.constant_score("accuracy", [1, 1, 1, 0], 2, [0, 0, 1]) == (0.25, 0)
    assert metrics.majority_class([1, 0], 2) == 0


@literal
@given(predictions())
def test_histogram_and_degenerate(case: tuple[list[int], list[int], int]) -> None:
    _, predicted, classes = case
    histogram = metrics.histogram(predicted, classes)
    assert histogram == [predicted.count(label) for label in range(classes)]
    assert metrics.is_degenerate(histogram) == (len(set(predicted)) == 1)


def test_arrays_do_as_well() -> None:
    gold, predicted = np.array([0, 1, 2, 2]), np.array([0, 1, 2, 1])
    assert metrics.compute("accuracy", gold, predicted, 3) == 0.75
    assert metrics.histogram(predicted, 3) == [1, 2, 1]


@pytest.mark.parametrize("metric", ["acuracy", "f1", "f1:", "f1:2", "f1:-1", "f1:no"])
def test_unknown_metric(metric: str) -> None:
    with pytest.raises(InputError, match=r"metric: found .*; allowed: accuracy, macro_f1"):
        metrics.compute(metric, [0, 1], [0, 1], 2)


def test_binary_metric_on_three_classes() -> None:
    with pytest.raises(InputError, match="for 3 classes; allowed: for 2"):
        metrics.compute("accuracy_f1_mean", [0, 1, 2], [0, 1, 2], 3)


@pytest.mark.parametrize(("gold", "predicted"), [([], []), ([0, 1], [0])])
def test_nothing_to_compare(gold: list[int], predicted: list[int]) -> None:
    with pytest.raises(ValueError, match="true and"):
        metrics.compute("accuracy", gold, predicted, 2)


def test_class_name_after_f1() -> None:
    assert metrics.resolve_metric("f1:irony", ["literal", "irony"]) == "f1:1"
    assert metrics.resolve_metric("macro_f1", ["literal", "irony"]) == "macro_f1"
    with pytest.raises(InputError, match=r"'f1:iron'.* and one of literal, irony"):
        metrics.resolve_metric("f1:iron", ["literal", "irony"])
