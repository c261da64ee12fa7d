"""Numbers of a result against plain counting."""

import math

import pytest
import torch

from trainables.evaluate import mean_loss, measure


def test_measure_counts_by_hand() -> None:
    gold = torch.tensor([0, 1, 1, 2])
    logits = torch.tensor(
        [
            [[9.0, 0, 0], [0, 9, 0], [0, 9, 0], [0, 9, 0]],
            [[9.0, 0, 0], [9, 0, 0], [9, 0, 0], [9, 0, 0]],
        ]
    )
    first, second = measure(logits, gold, logits[:, :2], gold[:2], "accuracy")
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
