"""Votes and means against slow counting."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.tuned.ensembles import RULES, best_member, mean, vote

PROBABILITIES = (0.05, 0.1, 0.2, 0.3, 0.5)


def tables(members: int, rows: int, classes: int, seed: int) -> np.ndarray:
    """Log-probabilities in half precision, from few values: ties are frequent."""
    drawn = np.random.default_rng(seed).choice(PROBABILITIES, (members, rows, classes))
    logs = np.log(drawn / drawn.sum(-1, keepdims=True)).astype(np.float16)
    return logs.astype(np.float32)


def slow_vote(log_probs: np.ndarray) -> list[int]:
    found = []
    for row in range(log_probs.shape[1]):
        said = [int(np.argmax(member[row])) for member in log_probs]
        counts = Counter(said)
        most = max(counts.values())
        tied = [label for label in range(log_probs.shape[2]) if counts[label] == most]
        sums = [math.fsum(float(member[row][label]) for member in log_probs) for label in tied]
        found.append(tied[sums.index(max(sums))])
    return found


@given(st.integers(1, 6), st.integers(2, 4), st.integers(0, 10_000))
def test_the_vote_is_the_counted_one_and_ties_go_to_the_surer_class(
    members: int, classes: int, seed: int
) -> None:
    log_probs = tables(members, 12, classes, seed)
    assert vote(log_probs).tolist() == slow_vote(log_probs)


def test_a_tie_by_hand() -> None:
    one, other = [math.log(0.9), math.log(0.1)], [math.log(0.4), math.log(0.6)]
    assert vote(np.array([[one], [other]])).tolist() == [0]  # 0.36 against 0.06
    sure = [math.log(0.01), math.log(0.99)]
    assert vote(np.array([[one], [sure]])).tolist() == [1]
    assert vote(np.array([[one], [one], [sure]])).tolist() == [0], "two of three"
    assert mean(np.array([[one], [one], [sure]])).tolist() == [0]  # 0.603 against 0.397
    assert mean(np.array([[other], [other], [one]])).tolist() == [0]  # 0.567
    assert vote(np.array([[other], [other], [one]])).tolist() == [1]


@pytest.mark.parametrize("rule", RULES.values(), ids=[*RULES])
def test_the_order_of_members_changes_nothing(rule) -> None:
    log_probs = tables(4, 200, 3, 7)
    wanted = rule(log_probs)
    for order in itertools.permutations(range(4)):
        assert (rule(log_probs[list(order)]) == wanted).all()


@pytest.mark.parametrize("rule", RULES.values(), ids=[*RULES])
@pytest.mark.parametrize("times", [1, 2, 5])
def test_one_member_or_the_same_again_is_that_member(rule, times: int) -> None:
    alone = np.log(np.random.default_rng(0).dirichlet(np.ones(3), 300)).astype(np.float32)
    assert (rule(np.stack([alone] * times)) == alone.argmax(-1)).all()


def test_the_mean_is_that_of_probabilities() -> None:
    log_probs = tables(5, 100, 3, 3)
    shares = np.exp(log_probs.astype(np.float64)).mean(0)
    assert np.allclose(
        shares.max(-1), np.take_along_axis(shares, mean(log_probs)[:, None], -1)[:, 0]
    )


@pytest.mark.parametrize("rule", RULES.values(), ids=[*RULES])
def test_classes_that_cannot_be(rule) -> None:
    never = -np.inf
    log_probs = np.array([[[0.0, never, never]], [[never, 0.0, never]]])
    assert rule(log_probs).tolist() == [0]
    more = np.array([[[0.0, never]], [[math.log(0.2), math.log(0.8)]], [[never, 0.0]]])
    assert rule(more).tolist() == [1]


def test_the_best_member_is_the_first_of_the_best() -> None:
    assert best_member([0.1, 0.4, 0.4, 0.3]) == 1
