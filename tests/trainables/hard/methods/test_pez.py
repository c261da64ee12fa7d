"""PEZ: the published and the released control flow, stacks, failures, and the best prompt found."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.trainables.hard.literal import literal_pez
from tests.trainables.hard.problems import of_replica, problem, replicas_on, spy, walk, words
from trainables.compute.passes import PASS_TOKENS
from trainables.core.settings.pez import PezSettings
from trainables.errors import InputError
from trainables.hard.methods import descent, pez
from trainables.hard.methods.descent import _Batches, evaluation_steps
from trainables.hard.methods.pez import search
from trainables.hard.methods.projection import Projection
from trainables.hard.problem import HardProblem, HardReplica
from trainables.hard.scorer import Scorer
from trainables.scoring import losses

STEPS = 25
SETTINGS = PezSettings(prompt_length=3, steps=STEPS, batch_size=3, evaluations=5)
ADAMW = replace(SETTINGS, optimiser="adamw", learning_rate=1.0, weight_decay=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt2", "opt-projected", "bert"])
@pytest.mark.parametrize("state", ["continuous", "projected"])
@pytest.mark.parametrize(
    "variant",
    [
        SETTINGS,
        replace(SETTINGS, projection="l2", clip_gradient=None),
        ADAMW,
        replace(SETTINGS, fluency=0.4),
    ],
    ids=["released", "l2", "adamw", "fluency"],
)
def test_published_and_released_control_flow(
    name: str, state: str, variant: PezSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "bert" and variant.fluency:
        pytest.skip("masked models have no fluency")
    task = problem(name, 3)
    steps = walk(monkeypatch)
    (replica,) = replicas_on(words(task, 200), seeds=[4])
    search(task, [replica], replace(variant, state=state))
    expected = literal_pez(task, replica, variant, released=state == "projected")
    assert of_replica(steps)[1:] == expected[:-1]
    assert len(set(expected)) > 3, "the prompt must change, or nothing is compared"
    other = literal_pez(task, replica, variant, released=state == "continuous")
    assert other != expected, "the two control flows must differ here"


def states_before_moves(monkeypatch: pytest.MonkeyPatch) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Fills with the vectors before and after each of PEZ's steps."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    real = pez._Pez.move

    def move(self: Any, state: torch.Tensor, gradient: torch.Tensor, step: int) -> None:
        before = state.clone()
        real(self, state, gradient, step)
        seen.append((before, state.clone()))

    monkeypatch.setattr(pez._Pez, "move", move)
    return seen


@pytest.mark.slow
def test_the_continuous_state_survives_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    task = problem("gpt2", 3)
    seen = states_before_moves(monkeypatch)
    search(task, replicas_on(words(task, 50)), SETTINGS)
    assert len(seen) == STEPS
    for (_, after), (before, _) in pairwise(seen):
        assert torch.equal(after, before)
    rows = task.source.backbone.embeddings
    assert torch.cdist(seen[-1][1][0], rows).min() > 0.1, "it is no word"


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 3])
def test_the_projected_state_is_put_back(every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    task = problem("gpt2", 3)
    steps = walk(monkeypatch)
    seen = states_before_moves(monkeypatch)
    chosen = replace(SETTINGS, state="projected", project_every=every)
    search(task, replicas_on(words(task, 50)), chosen)
    rows = task.source.backbone.embeddings
    for step, ((_, after), (before, _)) in enumerate(pairwise(seen), 1):
        if step % every:
            assert torch.equal(after, before)
        else:
            assert torch.equal(before[0], rows[list(of_replica(steps)[step])])


@pytest.mark.slow
@pytest.mark.parametrize("tokens", [2048, 70])
@pytest.mark.parametrize("variant", ["continuous", "projected", "fluency"])
def test_stacked_equals_alone(tokens: int, variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PASS_TOKENS, "cpu", tokens)
    task = problem("gpt2", 3)
    stack = replicas_on(words(task, 60), words(task, 90, every=5), seeds=[0, 1])
    chosen = replace(SETTINGS, init="random")
    if variant == "fluency":
        chosen = replace(chosen, fluency=0.3)
    else:
        chosen = replace(chosen, state=variant)
    with monkeypatch.context() as patch:
        steps = walk(patch)
        together = search(task, stack, chosen)
    for place, replica in enumerate(stack):
        with monkeypatch.context() as patch:
            own = walk(patch)
            (alone,) = search(task, [replica], chosen)
        assert of_replica(own) == of_replica(steps, place)
        assert (alone.ids, alone.step) == (together[place].ids, together[place].step)
        assert alone.validation == together[place].validation
        assert [line["swaps"] for line in alone.curve] == [
            line["swaps"] for line in together[place].curve
        ]
    assert len({found.ids for found in together}) > 1


def test_the_gradient_is_that_of_the_straight_through_estimator() -> None:
    task = problem("gpt2", 3)
    allowed = words(task, 40)
    stack = replicas_on(allowed, seeds=[0, 1])
    state = torch.randn(2, 3, task.source.backbone.width).requires_grad_()
    projection = Projection(task.source.backbone.embeddings, [allowed, allowed])
    ids = projection(state)
    batches = _Batches(task.source, stack, SETTINGS)
    loss, gradient = batches.gradient(2, projection.rows(ids), ids)
    through = state + (projection.rows(ids) - state).detach()
    for replica in range(2):
        batch = task.source.train.take(batches.order[1, replica])
        logits = task.source.backbone.label_logits(
            through[replica : replica + 1], batch, task.source.label_ids
        )[0]
        expected = F.cross_entropy(logits, batch.gold)
        (slope,) = torch.autograd.grad(expected, state, retain_graph=True)
        torch.testing.assert_close(loss[replica], expected.detach(), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(gradient[replica], slope[replica], atol=1e-4, rtol=1e-4)


def best_by_brute_force(task: HardProblem, allowed: torch.Tensor, length: int) -> tuple[int, ...]:
    """The prompt with the best accuracy on validation, then the lowest loss there."""
    prompts = torch.cartesian_prod(*[allowed] * length).view(-1, length)
    source = task.source
    logits = source.backbone.split_logits(
        source.validation, source.label_ids, source.backbone.embeddings[prompts]
    )
    gold = source.validation.gold
    right = (logits.argmax(-1) == gold).sum(-1)
    loss = torch.stack([F.cross_entropy(row, gold) for row in logits])
    ranked = sorted(range(len(prompts)), key=lambda place: (-int(right[place]), loss[place]))
    return tuple(prompts[ranked[0]].tolist())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("length", "state", "least"), [(1, "continuous", 6), (2, "continuous", 6), (1, "projected", 3)]
)
def test_the_best_prompt_is_found(length: int, state: str, least: int) -> None:
    """A continuous state finds it from every start; a projected one gets stuck from some."""
    task = problem("gpt2", length, seed=1)
    allowed = words(task, 8)
    chosen = replace(
        SETTINGS,
        prompt_length=length,
        state=state,
        init="random",
        steps=80,
        evaluations=80,
        norm_clip=2.0,
    )
    stack = replicas_on(allowed, seeds=range(6))
    best = best_by_brute_force(task, allowed, length)
    assert sum(tuple(ids) == best for ids in first_words(task, stack, chosen)) < least
    found = search(task, stack, chosen)
    assert sum(item.ids == best for item in found) >= least


def poisoned(monkeypatch: pytest.MonkeyPatch, victim: int, call: int, value: float) -> None:
    """Multiplies the loss of one replica by ``value`` from a certain step on."""
    real: Callable[..., torch.Tensor] = losses.label_words
    calls = 0

    def loss(*args: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        each = real(*args)
        factor = torch.where((args[-1] == victim) & (calls >= call), value, 1.0)
        return each * factor

    monkeypatch.setattr(losses, "label_words", loss)


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 7])
@pytest.mark.parametrize("optimiser", ["adafactor", "adamw"])
def test_a_replica_that_fails_leaves_the_others_alone(
    step: int, optimiser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = problem("gpt2", 3)
    stack = replicas_on(words(task, 60), seeds=[0, 1, 2])
    chosen = replace(SETTINGS, optimiser=optimiser)
    healthy = search(task, stack, chosen)
    with monkeypatch.context() as patch:
        poisoned(patch, 1, step, float("nan"))
        steps = walk(patch)
        found = search(task, stack, chosen)
    assert [item.failed for item in found] == [None, step, None]
    for place in (0, 2):
        assert found[place].ids == healthy[place].ids
        assert found[place].validation == healthy[place].validation
    stopped = of_replica(steps, 1)[step - 1 :]
    assert len(set(stopped)) == 1, "the prompt stays what it was before it failed"
    assert step == 1 or len(set(of_replica(steps, 1))) > 1
    assert set(found[1].ids) <= set(stack[1].allowed.tolist())


def test_a_gradient_that_is_not_finite_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    task = problem("gpt2", 3)
    real = _Batches.gradient

    def gradient(self: Any, step: int, *rest: Any) -> tuple[torch.Tensor, torch.Tensor]:
        loss, slope = real(self, step, *rest)
        if step == 5:
            slope[0, 1, 2] = float("inf")
        return loss, slope

    monkeypatch.setattr(_Batches, "gradient", gradient)
    found = search(task, replicas_on(words(task, 60), seeds=[0, 1]), SETTINGS)
    assert [item.failed for item in found] == [5, None]


def test_a_word_without_numbers_fails_the_replicas_that_use_it() -> None:
    task = problem("gpt2", 3, seed=1)
    backbone = task.source.backbone
    allowed = words(task, 10)
    row = backbone.embeddings.detach()[allowed[4]]
    kept = row.clone()
    row.fill_(float("nan"))
    try:
        found = search(task, replicas_on(allowed, allowed[:4]), replace(SETTINGS, init="random"))
    finally:
        row.copy_(kept)
    assert [item.failed is None for item in found] == [False, True]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_prompt_and_another_another() -> None:
    task = problem("llama", 3)
    allowed = words(task, 200)
    chosen = replace(SETTINGS, init="random")
    first, again = (search(task, replicas_on(allowed, seeds=[3]), chosen)[0] for _ in range(2))
    assert (first.ids, first.step, first.curve) == (again.ids, again.step, again.curve)
    other = search(task, replicas_on(allowed, seeds=[4]), chosen)[0]
    assert other.ids != first.ids


@pytest.mark.slow
def test_only_allowed_words_are_ever_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    task = problem("roberta", 3)
    sets = [words(task, 3), words(task, 40, every=3), torch.tensor([500])]
    for variant in (SETTINGS, replace(ADAMW, init="random"), replace(SETTINGS, state="projected")):
        with monkeypatch.context() as patch:
            steps = walk(patch)
            found = search(task, replicas_on(*sets), variant)
        for place, ids in enumerate(sets):
            used = {one for prompt in of_replica(steps, place) for one in prompt}
            assert used | set(found[place].ids) <= set(ids.tolist())


def first_words(
    task: HardProblem, stack: list[HardReplica], settings: PezSettings
) -> list[list[int]]:
    allowed = [replica.allowed for replica in stack]
    projection = Projection(task.source.backbone.embeddings, allowed, settings.projection)
    found: list[list[int]] = descent.START[settings.init](
        task, stack, settings, projection
    ).tolist()
    return found


def test_class_words_are_repeated_and_projected() -> None:
    task = problem("gpt2", 5)
    settings = replace(SETTINGS, prompt_length=5)
    bad, good = task.class_ids
    with_bad = torch.tensor(sorted([bad, *words(task, 30).tolist()]))
    (found,) = first_words(task, replicas_on(with_bad), settings)
    assert found[0] == found[2] == found[4] == bad
    assert found[1] == found[3]
    table = task.source.backbone.embeddings
    near = F.cosine_similarity(table[good], table[with_bad])
    assert found[1] == int(with_bad[near.argmax()])
    with pytest.raises(InputError, match=r"init: found 'class_words' .* allowed: random"):
        search(replace(task, class_ids=()), replicas_on(with_bad), settings)


def test_random_words_depend_on_seed_and_allowed_words_alone() -> None:
    task = problem("gpt2", 5)
    settings = replace(SETTINGS, prompt_length=5, init="random")
    some, others = words(task, 30), words(task, 30, every=5)
    stack = replicas_on(some, others, seeds=[0, 1])
    found = first_words(task, stack, settings)
    for place, replica in enumerate(stack):
        assert first_words(task, [replica], settings) == [found[place]]
        assert set(found[place]) <= set(replica.allowed.tolist())
    assert len({tuple(ids) for ids in found}) == 4


@pytest.mark.slow
def test_lengths_grow_unless_they_are_clipped() -> None:
    task = problem("gpt2", 3)
    stack = replicas_on(words(task, 60))
    (free,) = search(task, stack, SETTINGS)
    (clipped,) = search(task, stack, replace(SETTINGS, norm_clip=1.5))
    assert free.curve[-1]["length"] > 2.0
    assert max(line["length"] for line in clipped.curve) <= 1.5 + 1e-5


@pytest.mark.slow
def test_a_prompt_that_has_not_changed_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    task = problem("gpt2", 3)
    read: list[int] = []
    real = Scorer.logits

    def count(self: Scorer, data: Any, prompts: Any) -> torch.Tensor:
        read.append(len(data) * len(prompts))
        return real(self, data, prompts)

    monkeypatch.setattr(Scorer, "logits", count)
    offers = spy(monkeypatch)
    chosen = replace(SETTINGS, evaluations=STEPS)
    (found,) = search(task, replicas_on(words(task, 5)), chosen)
    different = len({prompts[0] for _, prompts in offers})
    assert different < STEPS
    assert found.evaluated == sum(read) == different * 6
    assert found.evaluated + found.saved == STEPS * 6
    assert [line["swaps"] for line in found.curve].count(0) > 0


@pytest.mark.slow
def test_what_is_found_is_the_best_that_was_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    task = problem("gpt2", 3)
    offers = spy(monkeypatch)
    told: list[tuple[int, int]] = []
    settings = replace(SETTINGS, evaluations=7)
    (found,) = search(
        task,
        replicas_on(words(task, 60)),
        settings,
        lambda done, steps: told.append((done, steps)),
    )
    assert [step for step, _ in offers] == sorted(evaluation_steps(settings))
    assert (len(offers), offers[-1][0]) == (7, STEPS)
    assert told == [(step, STEPS) for step in range(1, STEPS + 1)]
    ids = torch.tensor([prompts[0] for _, prompts in offers])
    source = task.source
    rows = source.backbone.embeddings[ids]
    logits = source.backbone.split_logits(source.validation, source.label_ids, rows)
    scores = (logits.argmax(-1) == source.validation.gold).float().mean(-1)
    assert found.validation == pytest.approx(float(scores.max()))
    assert offers[sorted(evaluation_steps(settings)).index(found.step)][1] == [found.ids]
    assert found.steps == STEPS


def test_fluency_on_a_masked_model_is_refused() -> None:
    task = problem("bert", 3)
    with pytest.raises(InputError, match=r"fluency: found 0.5 on model 'bert', a masked one"):
        search(task, replicas_on(words(task, 9)), replace(SETTINGS, fluency=0.5))
