"""FluentPrompt: the literal recurrence, its noise, stacks, and the best prompt found."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from tests.trainables.hard.literal import literal_fluentprompt
from tests.trainables.hard.methods.test_pez import best_by_brute_force
from tests.trainables.hard.problems import of_replica, problem, replicas_on, walk, words
from trainables.core.settings.fluentprompt import FluentPromptSettings
from trainables.hard.methods.fluency import fluency_loss
from trainables.hard.methods.fluentprompt import search

STEPS = 25
SETTINGS = FluentPromptSettings(
    prompt_length=3, steps=STEPS, batch_size=3, evaluations=5, learning_rate=1.0
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt2", "llama"])
@pytest.mark.parametrize("noise", [True, False])
def test_it_is_the_published_recurrence(
    name: str, noise: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = problem(name, 3)
    walked = walk(monkeypatch)
    stack = replicas_on(words(task, 200), seeds=[4, 5])
    # The gradient of a random model is small: without noise it takes a large rate to move.
    chosen = replace(SETTINGS, noise=noise, learning_rate=1.0 if noise else 100.0)
    search(task, stack, chosen)
    for place, replica in enumerate(stack):
        expected = literal_fluentprompt(task, replica, chosen)
        assert of_replica(walked, place)[1:] == expected[:-1]
        assert len(set(expected)) > 3


def test_temperature_falls_by_the_same_factor() -> None:
    betas = [SETTINGS.beta(step) for step in range(1, STEPS + 1)]
    assert betas[0] == 1.0
    assert betas[-1] == pytest.approx(1e-4)
    factors = [second / first for first, second in pairwise(betas)]
    assert factors == pytest.approx([1e-4 ** (1 / (STEPS - 1))] * (STEPS - 1))
    assert replace(SETTINGS, steps=1, evaluations=1).beta(1) == 1.0


@pytest.mark.slow
def test_stacked_equals_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    task = problem("gpt2", 3)
    stack = replicas_on(words(task, 60), words(task, 90, every=5), seeds=[0, 1])
    walked = walk(monkeypatch)
    together = search(task, stack, SETTINGS)
    kept = list(walked)
    for place, replica in enumerate(stack):
        walked.clear()
        (alone,) = search(task, [replica], SETTINGS)
        assert of_replica(walked) == of_replica(kept, place)
        assert (alone.ids, alone.step) == (together[place].ids, together[place].step)


@pytest.mark.slow
@pytest.mark.parametrize(("length", "rate", "least"), [(1, 1.0, 6), (2, 5.0, 2)])
def test_the_best_prompt_is_found(length: int, rate: float, least: int) -> None:
    task = problem("gpt2", length, seed=1)
    allowed = words(task, 8)
    chosen = replace(
        SETTINGS,
        prompt_length=length,
        fluency=0.0,
        learning_rate=rate,
        steps=100,
        evaluations=100,
        beta_start=1.0 / rate,
        beta_end=0.1 / rate,
    )
    found = search(task, replicas_on(allowed, seeds=range(6)), chosen)
    best = best_by_brute_force(task, allowed, length)
    assert [item.ids for item in found].count(best) >= least


@pytest.mark.slow
def test_weight_on_fluency_makes_prompts_fluent(monkeypatch: pytest.MonkeyPatch) -> None:
    task = problem("gpt2", 3)
    chosen = replace(SETTINGS, steps=60, evaluations=1, projection="cosine", beta_start=0.05)
    walked = walk(monkeypatch)
    losses = []
    for weight in (0.0, 1.0):
        walked.clear()
        search(task, replicas_on(words(task, 200)), replace(chosen, fluency=weight))
        last = torch.tensor(of_replica(walked)[-20:])
        rows = task.source.backbone.embeddings[last]
        losses.append(float(fluency_loss(task.source.backbone, rows, last).mean()))
    assert losses[1] < losses[0] - 1.0
