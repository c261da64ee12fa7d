"""The policy of RLPrompt: its losses against slow loops, its target, and that it learns."""

import math
from typing import Any

import pytest
import torch

from tests.trainables.hard.problems import problem, words
from trainables.backbones import load_backbone
from trainables.core.settings.helped.rlprompt import RLPromptSettings
from trainables.hard.helper import Helper
from trainables.hard.policy import Policy, all_steps_loss, one_step_loss, soft_q_loss
from trainables.hard.trials import z_scores
from trainables.models.names import resolve_model
from trainables.testing.hard_contract import words_of


def case() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, 6, generator=generator, dtype=torch.float64)
    target = torch.randn(4, 3, 6, generator=generator, dtype=torch.float64)
    taken = torch.randint(6, (4, 3), generator=generator)
    return logits, target, taken, torch.randn(4, generator=generator, dtype=torch.float64)


def value(row: torch.Tensor) -> float:
    return math.log(sum(math.exp(each) for each in row.tolist()))


def literal_losses(
    logits: torch.Tensor, target: torch.Tensor, taken: torch.Tensor, rewards: torch.Tensor
) -> tuple[float, float]:
    """Both losses, prompt by prompt and word by word."""
    one = every = 0.0
    count, length = taken.shape
    for prompt in range(count):
        reward = rewards[prompt].item()
        advantages, values = [], []
        for place in range(length):
            chosen = logits[prompt, place, taken[prompt, place]].item()
            advantages.append(chosen - value(logits[prompt, place]))
            values.append(value(target[prompt, place]))
        for place in range(length):
            after = reward if place == length - 1 else values[place + 1]
            one += (advantages[place] - (after - values[place])) ** 2
            every += (sum(advantages[place:]) - (reward - values[place])) ** 2
    return one / count, every / count


def test_the_losses_are_those_of_a_loop() -> None:
    logits, target, taken, rewards = case()
    one, every = literal_losses(logits, target, taken, rewards)
    advantages = torch.tensor(
        [[(logits[p, t, taken[p, t]] - logits[p, t].logsumexp(0)).item() for t in range(3)]
         for p in range(4)], dtype=torch.float64)  # fmt: skip
    values = target.logsumexp(-1)
    assert one_step_loss(advantages, values, rewards).item() == pytest.approx(one)
    assert all_steps_loss(advantages, values, rewards).item() == pytest.approx(every)
    assert soft_q_loss(*case()).item() == pytest.approx((one + every) / 2)


def test_the_losses_are_0_where_the_values_agree() -> None:
    """Of two words for one place, with Q = r: V = r + log 2, and a policy that is even."""
    logits = torch.zeros(1, 1, 2, dtype=torch.float64)
    rewards = torch.tensor([0.0], dtype=torch.float64)
    # A = -log 2 = r - V.
    assert soft_q_loss(logits, logits, torch.tensor([[0]]), rewards).item() == pytest.approx(0)


def policy(length: int = 3, **settings: Any) -> Policy:
    task = problem("gpt2", length)
    helper = Helper(task.source.backbone, task.source.backbone, words(task, 9))
    chosen = RLPromptSettings(prompt_length=length, width=16, **settings)
    return Policy(helper, chosen, length, seed=0)


def test_it_begins_with_words_that_are_as_likely_and_a_value_of_0() -> None:
    one = policy()
    _, states = one.sample(4)
    logits = one.logits(one._weights, states)
    torch.testing.assert_close(
        logits.softmax(-1), torch.full_like(logits, 1 / 9), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(logits.logsumexp(-1), torch.zeros(4, 3), atol=1e-3, rtol=0)


def test_states_are_those_of_the_model_behind_each_beginning() -> None:
    one = policy()
    taken, states = one.sample(5)
    model = one.helper.backbone.family.model
    for prompt in range(5):
        ids = [*one.helper.opening, *one.helper.ids[taken[prompt]].tolist()]
        hidden = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0]
        torch.testing.assert_close(states[prompt], hidden[: len(ids) - 1], atol=1e-4, rtol=1e-4)


def test_an_update_is_adams_and_the_target_follows() -> None:
    one = policy(polyak=0.25, learning_rate=0.01, clip_gradient=None)
    before = [weight.clone() for weight in one._weights]
    taken, states = one.sample(4)
    rewards = torch.tensor([1.0, -1.0, 0.5, 0.0])
    weights = [weight.clone().requires_grad_() for weight in before]
    loss = soft_q_loss(one.logits(weights, states), one.logits(before, states), taken, rewards)
    optimiser = torch.optim.Adam(weights, lr=0.01)
    loss.backward()
    optimiser.step()
    assert one.learn(taken, states, rewards)
    for start, moved, mine, target in zip(before, weights, one._weights, one._target, strict=True):
        torch.testing.assert_close(mine, moved.detach(), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(target, start + 0.25 * (mine - start), atol=1e-7, rtol=1e-5)


def test_an_update_without_a_finite_loss_changes_nothing() -> None:
    one = policy()
    before = [weight.clone() for weight in one._weights]
    taken, states = one.sample(2)
    assert not one.learn(taken, states, torch.tensor([torch.nan, 0.0]))
    assert all(torch.equal(*pair) for pair in zip(before, one._weights, strict=True))


def test_few_states_are_kept_and_nothing_depends_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    many = policy()
    expected = [many.sample(6) for _ in range(3)]
    monkeypatch.setattr("trainables.hard.policy.KEPT", 2)
    few = policy()
    for taken, states in expected:
        again, same = few.sample(6)
        assert torch.equal(again, taken)
        torch.testing.assert_close(same, states, atol=1e-5, rtol=1e-5)
    assert len(few._states) == 2
    assert few.helper.cost.target_forward_rows > many.helper.cost.target_forward_rows


@pytest.mark.slow
def test_a_planted_reward_is_found() -> None:
    """The share of one word among 20, in prompts of three."""
    backbone = load_backbone(resolve_model("pocket-gpt2"))
    settings = RLPromptSettings(width=128)
    one = Policy(Helper(backbone, backbone, words_of(20, 0)), settings, 3, seed=0)
    for _ in range(150):
        taken, states = one.sample(16)
        one.learn(taken, states, 5 * z_scores((taken == 7).float().mean(1)))
    assert one.likeliest() == (int(one.helper.words[7]),) * 3
