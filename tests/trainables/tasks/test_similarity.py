"""How like tasks are, against the formulas of Vu et al. (2022) read literally."""

from math import sqrt

import numpy as np
import pytest

from trainables.tasks.similarity import average_tokens, nearest, per_token, weights


def cosine(one: list[float], other: list[float]) -> float:
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / sqrt(sum(a * a for a in one) * sum(b * b for b in other))


def slow_average(one: list[list[float]], other: list[list[float]]) -> float:
    means = [[sum(column) / len(prompt) for column in zip(*prompt, strict=True)]
             for prompt in (one, other)]  # fmt: skip
    return cosine(*means)


def slow_per_token(one: list[list[float]], other: list[list[float]]) -> float:
    total = 0.0
    for mine in one:
        for theirs in other:
            total += cosine(mine, theirs)
    return total / (len(one) * len(other))


@pytest.mark.parametrize("seed", range(4))
def test_similarities(seed: int) -> None:
    draw = np.random.default_rng(seed)
    one, other = (draw.normal(0.3, 1, (5, 7)).astype(np.float32) for _ in range(2))
    pair = one.tolist(), other.tolist()
    assert average_tokens(one, other) == pytest.approx(slow_average(*pair))
    assert per_token(one, other) == pytest.approx(slow_per_token(*pair))
    # Orders of vectors do not matter.
    turned = one[draw.permutation(5)]
    assert average_tokens(turned, other) == pytest.approx(slow_average(*pair))
    assert per_token(turned, other) == pytest.approx(slow_per_token(*pair))
    assert average_tokens(one, one) == pytest.approx(1)


def test_the_nearest_come_first_and_ties_in_their_order() -> None:
    assert nearest([0.1, 0.9, 0.5, 0.9], 3) == [1, 3, 2]


def test_weights() -> None:
    assert weights([0.2, 0.6]) == pytest.approx([0.25, 0.75])
    assert weights([0.4] * 4) == pytest.approx([0.25] * 4)
    assert weights([0.5, -0.2]) == [1.0, 0.0]
    assert weights([-0.5, -0.2]) == [0.5, 0.5]


def test_a_prompt_of_zeros_is_like_nothing() -> None:
    assert average_tokens(np.zeros((2, 3)), np.ones((2, 3))) == 0
