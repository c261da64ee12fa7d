"""RLPrompt as a search: what is read, what is offered, and its control."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.trainables.hard.problems import problem, words
from tests.trainables.tiny import tiny
from trainables.backbones import Layout
from trainables.core.settings.helped.rlprompt import RLPromptSettings
from trainables.errors import InputError
from trainables.hard.drawn import OFFERED, SCORED
from trainables.hard.methods import rlprompt
from trainables.hard.policy import Policy
from trainables.hard.problem import HardProblem, HardReplica, TaskModel
from trainables.hard.trials import Trials

SHORT = RLPromptSettings(
    prompt_length=2, steps=6, evaluations=3, prompts=4, reward_texts=6, width=8
)


def asked(length: int = 2) -> HardProblem:
    task = problem("gpt2", length)
    return replace(task, helper=task.source.backbone)


def replicas(task: HardProblem, *drawn: bool, seed: int = 0) -> list[HardReplica]:
    return [HardReplica(seed, words(task, 30), drawn=each) for each in drawn]


def test_a_control_scores_and_offers_as_many_different_prompts() -> None:
    task = asked()
    found, drawn = rlprompt.search(task, replicas(task, False, True), SHORT)
    assert found.told == drawn.told
    assert 0 < found.told[OFFERED] <= found.told[SCORED] <= 4 * 6 + 4
    assert set(drawn.ids) <= set(words(task, 30).tolist())
    (alone,) = rlprompt.search(task, replicas(task, True), SHORT)
    assert (alone.ids, alone.told, alone.cost) == (drawn.ids, drawn.told, drawn.cost)
    # Both read their prompts on the same six training texts; the policy reads for itself besides.
    assert drawn.cost.target_forward_rows < found.cost.target_forward_rows


def test_a_control_keeps_the_best_of_those_with_the_best_rewards() -> None:
    """By a loop over the prompts that it draws."""
    from trainables.hard.drawn import random_different
    from trainables.scoring.evaluate import mean_loss, scores

    task = asked()
    found, drawn = rlprompt.search(task, replicas(task, False, True), SHORT)
    prompts = random_different(words(task, 30), 2, found.told[SCORED], 0)
    trials = rlprompt._Stack(task, (), 1, SHORT, None)._trials(0)
    trials(prompts)
    best = sorted(prompts, key=lambda ids: -trials.known[ids])[: found.told[OFFERED]]
    source = task.source
    vectors = source.backbone.embeddings[torch.tensor(best)]
    logits = source.backbone.split_logits(source.validation, source.label_ids, vectors)
    values = scores(logits, source.validation.gold, task.metric)
    losses = mean_loss(logits, source.validation.gold).tolist()
    order = sorted(range(len(best)), key=lambda place: (-values[place], losses[place]))
    assert drawn.ids == best[order[0]]


def test_what_was_sampled_before_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    task = asked()
    asks: list[int] = []
    real = Trials.__call__

    def call(self: Trials, prompts: Any) -> torch.Tensor:
        asks.append(len(prompts))
        return real(self, prompts)

    monkeypatch.setattr(Trials, "__call__", call)
    few = [HardReplica(0, words(task, 2))]
    (found,) = rlprompt.search(task, few, SHORT)
    assert sum(asks) == 6 * 4 + 4 and found.told[SCORED] <= 4  # of two words, two tokens


def test_policies_are_rewarded_with_scaled_z_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    real = Policy.learn

    def learn(self: Policy, taken: Any, states: Any, rewards: torch.Tensor) -> bool:
        seen.append(rewards)
        return real(self, taken, states, rewards)

    monkeypatch.setattr(Policy, "learn", learn)
    task = asked()
    rlprompt.search(task, replicas(task, False), SHORT)
    assert all(abs(rewards.mean()) < 1e-4 for rewards in seen)
    seen.clear()
    plain = replace(SHORT, normalise=False, reward_scale=0.5)
    (found,) = rlprompt.search(task, replicas(task, False), plain)
    assert all(bool((rewards.abs() <= 0.5 * 200).all()) for rewards in seen) and found.ids


def test_a_loss_that_is_no_number_ends_that_search_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Policy.learn

    def learn(self: Policy, taken: Any, states: Any, rewards: torch.Tensor) -> bool:
        broken = len(self.helper.words) == 5
        return real(self, taken, states, rewards * torch.nan if broken else rewards)

    monkeypatch.setattr(Policy, "learn", learn)
    task = asked()
    both = [HardReplica(0, words(task, 5)), HardReplica(0, words(task, 30))]
    broken, whole = rlprompt.search(task, both, SHORT)
    assert broken.failed == 1 and whole.failed is None


def test_rungs_stop_a_search_and_its_control() -> None:
    task = asked()
    every = replicas(task, False, True) + replicas(task, False, True, seed=1)
    found = rlprompt.search(task, every, SHORT, rungs=lambda step, values: {0})
    assert [item.stopped for item in found] == [2, 2, None, None]


def test_a_mean_reward_asks_all_judges_and_chooses_by_them() -> None:
    """One judge that has no room leaves every prompt with the worst reward there."""
    task = asked()
    backbone = tiny("gpt2", 3)
    layout = Layout(2)
    texts, gold = ["good film", "bad film", "very good", "so bad"], [1, 0, 1, 0]
    data = backbone.read(texts, gold, layout)
    judge = TaskModel(backbone, backbone.labels(["bad", "good"], "t"), data, data)
    train = task.source.backbone.read(texts, gold, layout)
    own = replace(task.source, train=train)
    both = replace(task, source=own, evaluators={"other": judge})
    replica = HardReplica(0, words(task, 30), "other")
    settings = replace(SHORT, reward="mean")
    (found,) = rlprompt.search(both, [replica], settings)
    assert found.cost.source_rows >= 4 * found.told[SCORED]
    with pytest.raises(InputError, match="evaluator: found 'nobody'; allowed: other"):
        rlprompt.search(both, [HardReplica(0, words(task, 30), "nobody")], settings)


def test_without_a_helper_there_is_a_sentence() -> None:
    task = problem("gpt2", 2)
    with pytest.raises(InputError, match="helper: found None; allowed: a causal model"):
        rlprompt.search(task, replicas(task, False), SHORT)


def test_settings_give_way_and_are_refused() -> None:
    assert RLPromptSettings.fitted({"steps": 7})["evaluations"] == 7
    for wrong in (
        {"prompts": 0},
        {"polyak": 0.0},
        {"reward": "all"},
        {"steps": 3, "evaluations": 9},
    ):
        with pytest.raises(InputError):
            RLPromptSettings(**wrong)
