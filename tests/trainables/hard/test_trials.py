"""Rewards of prompts on training examples: the formula, and that nothing is read twice."""

import statistics

import pytest
import torch

from tests.trainables.hard.fakes import table_reading
from trainables.hard.scorer import Scorer
from trainables.hard.trials import Trials, piecewise, share_right, z_scores


def literal_piecewise(logits: torch.Tensor, gold: list[int], right: float, wrong: float) -> float:
    """Of one prompt, example by example (Deng et al. 2022, section 3.3)."""
    total = 0.0
    for row, label in zip(logits.tolist(), gold, strict=True):
        shares = torch.tensor(row, dtype=torch.float64).softmax(0).tolist()
        gap = shares[label] - max(share for place, share in enumerate(shares) if place != label)
        total += (right if gap > 0 else wrong) * gap
    return total / len(gold)


def test_the_piecewise_reward_is_that_of_a_loop() -> None:
    logits = 2 * torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(0))
    gold = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    found = piecewise(200.0, 180.0)(logits.double(), gold)
    expected = [literal_piecewise(one, gold.tolist(), 200.0, 180.0) for one in logits]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_a_tie_is_not_right() -> None:
    gold = torch.tensor([0, 1])
    assert piecewise(200.0, 180.0)(torch.zeros(1, 2, 2).double(), gold).tolist() == [0.0]


def test_z_scores_are_those_of_a_loop_and_0_of_equal_rewards() -> None:
    rewards = [3.0, -1.0, 4.5, 3.0]
    mean, deviation = statistics.fmean(rewards), statistics.pstdev(rewards)
    expected = [(reward - mean) / (deviation + 1e-4) for reward in rewards]
    torch.testing.assert_close(z_scores(torch.tensor(rewards)), torch.tensor(expected))
    assert z_scores(torch.full((4,), 7.0)).tolist() == [0.0] * 4


def trials(table: torch.Tensor, gold: torch.Tensor, texts: int = 4, seed: int = 0) -> Trials:
    reading = table_reading(table, gold)
    scorer = Scorer(reading, 1)
    return Trials([scorer], reading.backbone, texts, seed, share_right, -1.0)


def test_each_different_prompt_is_read_once() -> None:
    table = torch.randn(6, 8, 2, generator=torch.Generator().manual_seed(1))
    gold = torch.tensor([0, 1] * 4)
    asked = trials(table, gold)
    model: object = asked._home
    first = asked([(0,), (1,), (0,), (2,)])
    assert list(asked.known) == [(0,), (1,), (2,)]
    assert model.rows_read == asked.cost.target_forward_rows == 3 * 4  # type: ignore[attr-defined]
    again = asked([(2,), (0,), (3,)])
    assert asked.cost.target_forward_rows == model.rows_read == 4 * 4  # type: ignore[attr-defined]
    assert again[:2].tolist() == [first[3].item(), first[0].item()]
    for (number,), reward in asked.known.items():
        right = [int(table[number, row].argmax()) == int(gold[row]) for row in asked.rows.tolist()]
        assert reward == sum(right) / 4
    # A row is a slot and a token.
    assert asked.cost.target_forward_tokens == 2 * 4 * 4


def test_the_examples_are_the_seeds_with_the_classes_in_their_proportions() -> None:
    table, gold = torch.zeros(1, 40, 2), torch.tensor([0] * 30 + [1] * 10)
    one, same, other = (trials(table, gold, 8, seed).rows.tolist() for seed in (0, 0, 1))
    assert one == same and one != other
    assert [gold[rows].sum().item() for rows in (one, other)] == [2, 2]
    assert len(trials(table, gold, 99).rows) == 40


def test_a_prompt_that_cannot_be_read_has_the_worst_reward() -> None:
    table = torch.zeros(3, 4, 2)
    table[1, 2, 0] = torch.nan
    asked = trials(table, torch.tensor([0, 0, 1, 1]))
    assert asked([(0,), (1,), (9,)]).tolist() == [0.5, -1.0, -1.0]  # 9 is no token of the model


def test_the_best_come_first_and_of_equals_the_earlier() -> None:
    asked = trials(torch.zeros(5, 4, 2), torch.tensor([0, 0, 1, 1]))
    asked.known = {(9,): 1.0, (3,): 0.2, (1,): 0.9, (4,): 0.2, (0,): 0.5}  # 9 is no token
    assert asked.best(3) == [(1,), (0,), (3,)]


def test_a_reward_is_the_mean_over_the_models() -> None:
    gold = torch.tensor([0, 1, 0, 1])
    tables = [torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(n)) for n in (0, 1)]
    readings = [table_reading(table, gold) for table in tables]
    scorers = [Scorer(reading, 1) for reading in readings]
    measure = piecewise(200.0, 180.0)
    both = Trials(scorers, readings[0].backbone, 4, 0, measure, -180.0)([(0,), (2,)])
    expected = [
        statistics.fmean(
            literal_piecewise(table[n], gold.tolist(), 200.0, 180.0) for table in tables
        )
        for n in (0, 2)
    ]
    assert both.tolist() == pytest.approx(expected, rel=1e-5)
