"""Joint tuning: literal objective, stacked = alone, λ = 0 = independent, common checkpoint."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.trainables.tiny import tiny
from trainables.backbones import Backbone, Layout
from trainables.compute.optim import linear_schedule
from trainables.compute.passes import PASS_TOKENS
from trainables.core.registries import LOSSES
from trainables.core.seeds import initial_prompt
from trainables.core.settings import SoftSettings
from trainables.core.weight import Weight
from trainables.scoring.losses import StackLoss
from trainables.soft.source import TaskGradient
from trainables.soft.tuning import (
    Replica,
    Source,
    annealing,
    batch_order,
    loss_weights,
    objective,
    tune,
)
from trainables.words.relative import (
    Grams,
    alignment_loss,
    gram_matrices,
    normalised_anchors,
    relative_representation,
)
from trainables.words.vocabulary import common_vocabulary

SETTINGS = SoftSettings(
    prompt_length=2, steps=6, batch_size=3, learning_rate=0.05, init_std=0.5, evaluations=2
)
TEXTS = [
    ("the film was good", 1),
    ("a bad and boring story", 0),
    ("we liked it very much", 1),
    ("what a waste of time , really", 0),
    ("fine music and a good plot", 1),
    ("never again", 0),
    ("i would see it twice", 1),
]


def source(name: str, layout: Layout | None = None) -> Source:
    backbone = tiny(name)
    layout = layout or Layout(SETTINGS.prompt_length)
    data = backbone.read([text for text, _ in TEXTS], [label for _, label in TEXTS], layout)
    index = torch.arange(len(TEXTS))
    labels = backbone.labels(["bad", "good"], "t")
    return Source(backbone, name, labels, data.take(index), data.take(index[:5]))


def grams_of(sources: list[Source]) -> tuple[Grams, list[torch.Tensor]]:
    models = [item.backbone for item in sources]
    anchors = normalised_anchors(models, common_vocabulary(models))
    return gram_matrices(anchors), anchors


def literal_run(
    sources: list[Source], replica: Replica, settings: SoftSettings, anchors: list[torch.Tensor]
) -> list[torch.Tensor]:
    """One replica, read from the equations: torch's AdamW, k-dimensional r, one row at a time."""
    prompts = [
        initial_prompt(
            settings.prompt_length, item.backbone.width, settings.init_std, replica.seed, item.key
        ).requires_grad_()
        for item in sources
    ]
    optimiser = torch.optim.AdamW(prompts, weight_decay=0.0)
    order = batch_order(len(sources[0].train), settings, replica.seed)
    for t in range(1, settings.steps + 1):
        per_model = []
        for item, prompt in zip(sources, prompts, strict=True):
            losses = []
            for row in order[t - 1].tolist():
                one = item.train.take(torch.tensor([row]))
                logits = item.backbone.label_logits(prompt[None], one, item.label_ids)[0, 0]
                losses.append(-torch.log_softmax(logits, -1)[int(one.gold[0])])
            per_model.append(torch.stack(losses).mean())
        l_pt = torch.stack(per_model).mean()
        l_ra = torch.zeros(())
        if len(sources) == 2:
            tokens = [
                1
                - torch.cosine_similarity(
                    relative_representation(prompts[0][i], anchors[0].float()),
                    relative_representation(prompts[1][i], anchors[1].float()),
                    dim=0,
                )
                for i in range(settings.prompt_length)
            ]
            l_ra = torch.stack(tokens).mean()
        weight = replica.weight.value
        if weight is None:
            eta = 0.5 * (1 - math.cos(math.pi * t / settings.steps))
            loss = l_pt + eta * l_ra
        else:
            loss = (1 - weight) * l_pt + weight * l_ra
        optimiser.zero_grad()
        loss.backward()
        if settings.clip_gradient is not None:
            torch.nn.utils.clip_grad_norm_(prompts, settings.clip_gradient)
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * linear_schedule(
                t - 1, settings.steps, settings.warmup
            )
        optimiser.step()
    return [prompt.detach() for prompt in prompts]


LAST_ONLY = replace(SETTINGS, evaluations=1)
"""One evaluation, at the end: what is returned is the last step."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weight", "clip"), [(0.0, None), (0.4, None), (1.0, None), ("annealing", None), (0.4, 0.02)]
)
def test_training_is_a_literal_reading_of_equations_4_to_9(
    weight: float | str, clip: float | None
) -> None:
    settings = replace(LAST_ONLY, clip_gradient=clip)
    sources = [source("bert"), source("gpt2")]
    grams, anchors = grams_of(sources)
    replica = Replica(3, Weight.of(weight))
    got = tune(sources, [replica], settings, grams, "accuracy")
    expected = literal_run(sources, replica, settings, anchors)
    for mine, theirs in zip(got.prompts, expected, strict=True):
        torch.testing.assert_close(mine[0], theirs, atol=2e-4, rtol=2e-3)
    start = initial_prompt(2, 16, SETTINGS.init_std, 3, "bert")
    assert (got.prompts[0][0] - start).abs().max() > 0.05, "training must move the prompt"


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", ["adamw", "adafactor_whole"])
@pytest.mark.parametrize("budget", [24, 10_000])
def test_stacked_equals_alone(budget: int, optimiser: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(SETTINGS, optimiser=optimiser, schedule="constant")
    monkeypatch.setitem(PASS_TOKENS, "cpu", budget)
    sources = [source("roberta"), source("llama")]
    grams, _ = grams_of(sources)
    replicas = [
        Replica(seed, Weight.of(weight)) for seed in (0, 1) for weight in (0.0, 0.5, "annealing")
    ]
    together = tune(sources, replicas, settings, grams, "accuracy")
    for index, replica in enumerate(replicas):
        alone = tune(sources, [replica], settings, grams, "accuracy")
        assert alone.best_step[0] == together.best_step[index]
        assert alone.alignment[0] == pytest.approx(together.alignment[index], abs=1e-4)
        for one, many in zip(alone.prompts, together.prompts, strict=True):
            torch.testing.assert_close(one[0], many[index], atol=2e-4, rtol=2e-3)
    assert not torch.allclose(together.prompts[0][0], together.prompts[0][1], atol=1e-2)


def test_weight_zero_is_independent_tuning() -> None:
    sources = [source("bert"), source("opt")]
    grams, _ = grams_of(sources)
    joint = tune(sources, [Replica(0, Weight.of(0.0))], LAST_ONLY, grams, "accuracy")
    for place, item in enumerate(sources):
        alone = tune([item], [Replica(0, Weight.of(0.0))], LAST_ONLY, {}, "accuracy")
        torch.testing.assert_close(alone.prompts[0], joint.prompts[place], atol=1e-3, rtol=1e-2)


@pytest.mark.slow
def test_three_sources_train_together() -> None:
    sources = [source("bert"), source("gpt2"), source("opt-projected")]
    grams, _ = grams_of(sources)
    longer = replace(SETTINGS, steps=60, evaluations=1, learning_rate=0.2)
    pulled = tune(
        sources, [Replica(0, Weight.of(0.0)), Replica(0, Weight.of(1.0))], longer, grams, "accuracy"
    )
    assert [prompt.shape for prompt in pulled.prompts] == [(2, 2, 16), (2, 2, 16), (2, 2, 12)]
    # Random tables of 4,000 anchors share no geometry: little can be aligned, but it must fall.
    assert pulled.alignment[1] < pulled.alignment[0] - 0.05


def test_annealing_runs_from_zero_to_one() -> None:
    assert annealing(0, 10) == 0.0
    assert annealing(10, 10) == pytest.approx(1.0)
    assert annealing(5, 10) == pytest.approx(0.5)
    values = [annealing(t, 40) for t in range(41)]
    assert values == sorted(values)


def test_the_losses_are_weighed_as_in_equations_7_and_8() -> None:
    task, aligned = torch.tensor([2.0, 2.0, 2.0]), torch.tensor([0.5, 0.5, 0.5])
    replicas = [
        Replica(0, Weight.of(0.0)),
        Replica(0, Weight.of(0.3)),
        Replica(0, Weight.of("annealing")),
    ]
    keep, pull = loss_weights(replicas, step=5, steps=20)
    eta = 0.5 * (1 - math.cos(math.pi * 5 / 20))
    expected = torch.tensor([2.0, 0.7 * 2 + 0.3 * 0.5, 2 + eta * 0.5])
    torch.testing.assert_close(keep * task + pull * aligned, expected)


@pytest.mark.parametrize("tokens", [2048, 30])
@pytest.mark.parametrize("loss", ["label_words", "vocabulary"])
def test_the_gradient_does_not_depend_on_the_passes(
    loss: str, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against autograd through all rows of all replicas at once."""
    monkeypatch.setitem(PASS_TOKENS, "cpu", tokens)
    sources = [source("mpnet"), source("gpt2")]
    grams, _ = grams_of(sources)
    replicas = [
        Replica(0, Weight.of(0.0)),
        Replica(1, Weight.of(0.4)),
        Replica(0, Weight.of("annealing")),
    ]
    torch.manual_seed(0)
    prompts = [torch.randn(3, 2, 16, requires_grad=True) for _ in sources]
    rows, owner = torch.tensor([0, 3, 1, 5, 6, 3, 2, 2, 4]), torch.arange(3).repeat_interleave(3)
    task = torch.zeros(3)
    for item, prompt in zip(sources, prompts, strict=True):
        batch = item.train.take(rows)
        each = LOSSES[loss](item.backbone, batch, item.label_ids, prompt, owner)
        task = task + each.view(3, 3).mean(1) / 2
    eta = annealing(5, 20)
    aligned = alignment_loss(prompts, grams)
    expected = torch.stack([task[0], 0.6 * task[1] + 0.4 * aligned[1], task[2] + eta * aligned[2]])
    slopes = torch.autograd.grad(expected.sum(), prompts)
    stack_loss = StackLoss(loss, False, [0, 1, 0])
    weights = loss_weights(replicas, 5, 20)
    gradients = [TaskGradient(item, stack_loss) for item in sources]
    got = objective(gradients, prompts, rows, grams, weights, 5)
    torch.testing.assert_close(got, expected.detach(), atol=1e-5, rtol=1e-4)
    for prompt, slope in zip(prompts, slopes, strict=True):
        assert prompt.grad is not None
        torch.testing.assert_close(prompt.grad, slope, atol=1e-5, rtol=1e-3)
        assert slope.abs().max() > 1e-3


def test_checkpoint_is_the_best_common_step() -> None:
    sources = [source("bert"), source("gpt2")]
    grams, _ = grams_of(sources)
    settings = replace(SETTINGS, steps=12, evaluations=12, learning_rate=0.3)
    replicas = [Replica(seed, Weight.of(0.2)) for seed in range(3)]
    tuned = tune(sources, replicas, settings, grams, "accuracy")
    for index in range(3):
        scored = [
            (round(entry["validation"][index], 6), -entry["loss"][index], entry["step"])  # type: ignore[index]
            for entry in tuned.curve
        ]
        best = max(scored, key=lambda item: item[:2])
        assert tuned.best_step[index] == best[2]
    assert len(set(tuned.best_step)) > 1 or tuned.best_step[0] != 12


def test_seeds_and_models_start_apart_partners_do_not_matter() -> None:
    one = initial_prompt(3, 8, 0.02, 0, "bert")
    assert torch.equal(one, initial_prompt(3, 8, 0.02, 0, "bert"))
    assert not torch.equal(one, initial_prompt(3, 8, 0.02, 1, "bert"))
    assert not torch.equal(one, initial_prompt(3, 8, 0.02, 0, "gpt2"))
    large = initial_prompt(200, 200, 0.02, 0, "x")
    assert float(large.std()) == pytest.approx(0.02, rel=0.02)


def test_batches_are_whole_shuffled_passes() -> None:
    settings = replace(SETTINGS, steps=10, batch_size=4)
    order = batch_order(20, settings, 0).flatten()
    assert sorted(order[:20].tolist()) == sorted(order[20:40].tolist()) == list(range(20))
    assert order[:20].tolist() != order[20:40].tolist()
    assert not torch.equal(order, batch_order(20, settings, 1).flatten())


def test_epochs_become_steps_rounded_up() -> None:
    sources = [source("bert")]
    settings = replace(SETTINGS, steps=None, epochs=2, evaluations=50)
    steps: list[tuple[int, int]] = []
    tuned = tune(
        sources,
        [Replica(0, Weight.of(0.0))],
        settings,
        {},
        "accuracy",
        lambda *now: steps.append(now),
    )
    assert len(sources[0].train) == 7
    assert tuned.steps == 6 == settings.steps_for(7), "7 rows in threes: 3 steps an epoch"
    assert steps == [(step, 6) for step in range(1, 7)]
    assert [entry["step"] for entry in tuned.curve] == list(range(1, 7)), "never more than steps"
    same = tune(
        sources, [Replica(0, Weight.of(0.0))], replace(SETTINGS, evaluations=6), {}, "accuracy"
    )
    assert torch.equal(same.prompts[0], tuned.prompts[0])
    assert len(batch_order(7, settings, 0)) == 6


@pytest.mark.slow
def test_the_last_checkpoint_is_the_last_step() -> None:
    sources = [source("bert"), source("gpt2")]
    grams, _ = grams_of(sources)
    settings = replace(SETTINGS, steps=12, evaluations=12, learning_rate=0.3)
    stack = [Replica(seed, Weight.of(0.2)) for seed in range(3)]
    best = tune(sources, stack, settings, grams, "accuracy")
    last = tune(sources, stack, replace(settings, checkpoint="last"), grams, "accuracy")
    once = tune(sources, stack, replace(settings, evaluations=1), grams, "accuracy")
    assert last.best_step == [12, 12, 12] != best.best_step
    for place in range(2):
        assert torch.equal(last.prompts[place], once.prompts[place])
        assert torch.equal(last.validation[place], once.validation[place])
    assert last.alignment == once.alignment


def test_weight_decay_shortens_prompts() -> None:
    item = source("bert")
    plain, decayed = (
        tune(
            [item],
            [Replica(0, Weight.of(0.0))],
            replace(LAST_ONLY, weight_decay=decay),
            {},
            "accuracy",
        )
        for decay in (0.0, 5.0)
    )
    assert decayed.prompts[0].norm() < 0.9 * plain.prompts[0].norm()


def test_prompts_start_where_they_are_told_to() -> None:
    item = source("gpt2")
    frozen = replace(LAST_ONLY, learning_rate=1e-12, init="label_words")
    tuned = tune(
        [item], [Replica(0, Weight.of(0.0)), Replica(1, Weight.of(0.0))], frozen, {}, "accuracy"
    )
    for prompt in tuned.prompts[0]:
        torch.testing.assert_close(prompt, item.backbone.embeddings[item.label_ids])


NEW = {"dropout": True, "loss": "vocabulary", "checkpoint": "last", "weight_decay": 0.1}


@pytest.mark.slow
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("checkpoint", ["best", "last"])
def test_a_checkpoint_that_cannot_be_read_is_never_kept(
    checkpoint: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training losses may be as finite as they like: it would have the score of class 0."""
    sources = [source("bert"), source("gpt2")]
    grams, _ = grams_of(sources)
    settings = replace(SETTINGS, evaluations=2, checkpoint=checkpoint)
    stack = [Replica(0, Weight.of(0.5)), Replica(1, Weight.of(0.5))]
    sound = tune(sources, stack, settings, grams, "accuracy")
    real, calls = Backbone.split_logits, []

    def split_logits(backbone: Backbone, *args: Any) -> torch.Tensor:
        logits = real(backbone, *args)
        calls.append(backbone.alias)
        if len(calls) == 4:  # the second source at the second evaluation
            logits[1, 0, 0] = value
        return logits

    monkeypatch.setattr(Backbone, "split_logits", split_logits)
    told: list[dict[int, list[float]]] = []

    def rungs(step: int, values: dict[int, list[float]]) -> set[int]:
        told.append(values)
        return set()

    found = tune(sources, stack, settings, grams, "accuracy", rungs=rungs)
    assert found.unread == {1: (1, settings.steps)}
    assert (sound.unread, found.failed) == ({}, {})
    assert found.best_step[0] == sound.best_step[0]
    assert found.best_step[1] != settings.steps
    for place in range(2):
        assert torch.equal(found.prompts[place][0], sound.prompts[place][0])
    assert all(math.isfinite(item) for values in told for row in values.values() for item in row)


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, NEW, {"init": "uniform"}], ids=["plain", "new", "uniform"])
def test_a_broken_replica_leaves_the_others_alone(more: dict[str, Any]) -> None:
    sources = [source("bert"), source("gpt2")]
    grams, _ = grams_of(sources)
    broken = replace(SETTINGS, evaluations=1, **more)
    healthy = tune(sources, [Replica(0, Weight.of(0.5))], broken, grams, "accuracy")
    both = tune(
        sources,
        [Replica(0, Weight.of(0.5)), Replica(0, Weight(math.nan, "constant"))],
        broken,
        grams,
        "accuracy",
    )
    assert both.failed == {1: 1}
    assert healthy.failed == {}
    torch.testing.assert_close(both.prompts[0][0], healthy.prompts[0][0], atol=2e-4, rtol=2e-3)
