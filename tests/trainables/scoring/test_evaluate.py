"""Numbers of a result against plain counting."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from trainables.core.predictions import checked, gold_array, half_precision, splits_of
from trainables.scoring.evaluate import mean_loss, measure
from trainables.tasks import metrics


def test_measure_counts_by_hand() -> None:
    gold = torch.tensor([0, 1, 1, 2])
    logits = torch.tensor(
        [
            [[9.0, 0, 0], [0, 9, 0], [0, 9, 0], [0, 9, 0]],
            [[9.0, 0, 0], [9, 0, 0], [9, 0, 0], [9, 0, 0]],
        ]
    )
    found = measure(logits, gold, logits[:, :2], gold[:2], "accuracy")
    first, second = (one.numbers for one in found)
    assert [one.predictions for one in found] == [{}, {}]
    assert (first["score"], second["score"]) == (0.75, 0.25)
    assert (first["validation_score"], second["validation_score"]) == (1.0, 0.5)
    assert first["histogram"] == [1, 3, 0]
    assert (first["degenerate"], second["degenerate"]) == (False, True)
    assert (first["n_test"], first["n_validation"]) == (4, 2)
    log_z = math.log(math.exp(9) + 2)
    assert first["loss"] == pytest.approx((3 * (log_z - 9) + log_z) / 4, rel=1e-4)


def test_mean_loss_is_per_replica() -> None:
    torch.manual_seed(0)
    logits, gold = torch.randn(3, 5, 4), torch.tensor([0, 3, 2, 1, 1])
    for replica in range(3):
        literal = -sum(float(torch.log_softmax(logits[replica, i], 0)[gold[i]]) for i in range(5))
        assert float(mean_loss(logits, gold)[replica]) == pytest.approx(literal / 5, rel=1e-5)


# What is kept of predictions.

near = st.floats(-3, 3, width=32) | st.sampled_from([0.0, 1e-7, -1e-7, 1e-4, 1.0, 1 + 2**-20])
"""Logits of which many are equal in half precision, and some altogether."""
logit_arrays = arrays.arrays(
    np.float32, arrays.array_shapes(min_dims=3, max_dims=3, max_side=6), elements=near
)


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(values=logit_arrays, data=st.data())
def test_no_prediction_is_lost_in_half_precision(values: np.ndarray, data: st.DataObject) -> None:
    """The kept maximum is one class alone, the one that was scored, whatever rounding does."""
    logits = torch.from_numpy(values)
    gold = torch.tensor(
        data.draw(
            st.lists(
                st.integers(0, logits.shape[2] - 1),
                min_size=logits.shape[1],
                max_size=logits.shape[1],
            )
        )
    )
    found = measure(logits, gold, logits, gold, "macro_f1", keep=("test",))
    for replica, one in enumerate(found):
        assert list(one.predictions) == ["test", "test_gold"]
        kept, truth = one.predictions["test"], one.predictions["test_gold"]
        assert kept.dtype == np.float16
        assert kept.argmax(1).tolist() == logits[replica].argmax(-1).tolist()
        assert ((kept == kept.max(1, keepdims=True)).sum(1) == 1).all()
        again = metrics.compute("macro_f1", truth, kept.argmax(1), kept.shape[1])
        assert again == one.numbers["score"]
        literal = torch.log_softmax(logits[replica].double(), -1).numpy()
        # Half a step of rounding, and one more below a rival.
        np.testing.assert_allclose(kept, literal, rtol=2**-9.4, atol=2**-24)
        assert len(checked(one.predictions)) == 2


@pytest.mark.parametrize("place", [0, 1, 2])
def test_of_equal_classes_the_predicted_one_stands_out(place: int) -> None:
    row = np.log(np.full((1, 3), 1 / 3))
    kept = half_precision(row, np.array([place]))
    top = np.float16(row[0, 0])
    below = np.nextafter(top, np.float16(-np.inf))
    assert kept.tolist() == [[top if c == place else below for c in range(3)]]


def test_what_half_precision_cannot_hold_stays_finite() -> None:
    kept = half_precision(np.array([[0.0, -1e6, -np.inf]]), np.array([0]))
    assert kept.tolist() == [[0, np.finfo(np.float16).min, -np.inf]]


def test_what_is_kept_is_what_was_scored() -> None:
    """Each split by its own name and logits; without wish nothing."""
    torch.manual_seed(0)
    test, validation = torch.randn(2, 7, 3), torch.randn(2, 5, 3)
    gold = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    both = measure(test, gold, validation, gold[:5], "accuracy", keep=("test", "validation"))
    for replica, one in enumerate(both):
        assert splits_of(one.predictions) == ("validation", "test")
        for split, logits in (("validation", validation), ("test", test)):
            expected = logits[replica].double().log_softmax(-1).numpy()
            np.testing.assert_allclose(one.predictions[split], expected, rtol=1e-3)
            assert one.predictions[f"{split}_gold"].tolist() == gold[: len(expected)].tolist()
    (first, _) = measure(test, gold, validation, gold[:5], "accuracy", keep=("validation",))
    assert splits_of(first.predictions) == ("validation",)
    assert first.numbers == both[0].numbers


def test_true_classes_fit_their_type() -> None:
    assert gold_array([255], 256).dtype == np.uint8
    assert gold_array([256], 257).tolist() == [256]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"test": np.zeros((2, 3))}, "no float16 matrix"),
        ({"test": np.zeros(2, np.float16)}, "no float16 matrix"),
        ({"test": np.zeros((0, 3), np.float16)}, "no float16 matrix"),
        ({"test": np.full((2, 3), np.nan, np.float16)}, "not all numbers"),
        ({"test_gold": np.array([0], np.uint8)}, "no true class"),
        ({"test_gold": np.array([0, 3], np.uint8)}, "no true class"),
        ({"test_gold": np.array([0, 1])}, "no true class"),
    ],
)
def test_what_are_no_predictions_is_refused(changes: dict[str, np.ndarray], reason: str) -> None:
    good = {"test": np.zeros((2, 3), np.float16), "test_gold": np.array([0, 2], np.uint8)}
    assert list(checked({**good, "else": np.zeros(1)})) == ["test", "test_gold"]
    with pytest.raises(ValueError, match=reason):
        checked(good | changes)
    with pytest.raises(ValueError, match="no true class"):
        checked({"test": good["test"]})
