"""The loss over the vocabulary and dropout, against the library's own models."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.trainables.soft.test_tuning import LAST_ONLY, SETTINGS, TEXTS, grams_of, source
from tests.trainables.tiny import ARCHITECTURES, beside, pristine, tiny
from trainables.backbones import Backbone, Encoded, Layout
from trainables.compute.masks import RowMasks
from trainables.compute.passes import LENGTH_STEP, PASS_TOKENS, SPARE_TOKENS
from trainables.core.weight import Weight
from trainables.scoring.losses import StackLoss
from trainables.soft.source import Source, TaskGradient
from trainables.soft.tuning import Replica, tune

WORDS = ["bad", "good"]


def data_of(backbone: Backbone, position: str = "prefix") -> Encoded:
    texts, gold = zip(*TEXTS[:4], strict=True)
    return backbone.read(list(texts), list(gold), Layout(2, position))


def library_logits(
    model: Any, backbone: Backbone, data: Encoded, prompt: torch.Tensor
) -> torch.Tensor:
    """Full logits [n, V] at the answers by the library's own forward, every row with ``prompt``."""
    table = model.get_input_embeddings().weight
    rows = []
    for row in range(len(data)):
        embeds = table[data.ids[row]].clone()
        slot = int(data.slots[row])
        rows.append(torch.cat([embeds[:slot], prompt, embeds[slot + len(prompt) :]]))
    length = data.ids.shape[1]
    mask = None
    if not backbone.family.causal and int(data.lengths.min()) < length:
        mask = (torch.arange(length) < data.lengths[:, None]).long()
    positions = (torch.arange(length) + backbone.family.first_position)[None]
    more: dict[str, Any] = {} if backbone.family.masked else {"use_cache": False}
    more |= beside(backbone, len(data)) or {"position_ids": positions}
    logits = model(inputs_embeds=torch.stack(rows), attention_mask=mask, **more).logits
    return logits[torch.arange(len(data)), data.answers]


@pytest.mark.parametrize("position", ["prefix", "suffix"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_vocabulary_loss_is_cross_entropy_over_the_full_logits(name: str, position: str) -> None:
    backbone = tiny(name)
    data, labels = data_of(backbone, position), backbone.labels(WORDS, "t")
    torch.manual_seed(1)
    prompts = torch.randn(2, 2, backbone.width)
    owner = torch.arange(2).repeat_interleave(len(data))
    loss = StackLoss("vocabulary", False, [0, 1])
    with torch.no_grad():
        keys = torch.zeros_like(owner)
        got = loss(backbone, data.repeat(2), labels, prompts, owner, keys).view(2, -1)
        for replica in range(2):
            logits = library_logits(pristine(name), backbone, data, prompts[replica])
            # Rows of the table that belong to no token are no words.
            usable = logits[:, : len(backbone.tokenizer)]
            assert usable.shape[1] < logits.shape[1]
            for row in range(len(data)):
                word = labels[data.gold[row]]
                expected = usable[row].exp().sum().log() - usable[row, word]
                torch.testing.assert_close(got[replica, row], expected, atol=2e-4, rtol=1e-4)
        over_labels = StackLoss("label_words", False, [0, 1])
        fewer = over_labels(backbone, data.repeat(2), labels, prompts, owner, keys).view(2, -1)
    assert (got > fewer + 0.5).all(), "the vocabulary takes probability from the label words"


def droppy(name: str) -> Backbone:
    """A backbone of its own, dropping out with 0.1 at least in attention."""
    backbone = copy.deepcopy(tiny(name))
    for module in backbone.family.model.modules():
        # LLaMA's only dropout is that of attention, 0 by default.
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.1
    return backbone


@pytest.mark.slow
@pytest.mark.parametrize("position", ["prefix", "infix"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_dropout_is_that_of_the_library(name: str, attention: str, position: str) -> None:
    """Same masks, same layers: the same logits as the unmodified model in train mode.

    With the library's attention written out (eager) it is its own dropout that meets the masks.
    A model that is read literally meets the same ones.
    """
    backbone = droppy(name)
    model = copy.deepcopy(pristine(name))
    if name != "mpnet":  # it has one way only
        model.set_attn_implementation(attention)
    for mine, theirs in zip(_droppers(backbone.family.model), _droppers(model), strict=True):
        theirs.attention_dropout = mine.attention_dropout
    data, labels = data_of(backbone, position), backbone.labels(WORDS, "t")
    prompt = torch.randn(1, 2, backbone.width, generator=torch.Generator().manual_seed(0))
    owner, keys = torch.zeros(len(data), dtype=torch.long), 1 << torch.arange(len(data))
    with torch.no_grad():
        calm = backbone.row_logits(data, labels, prompt, owner)
        model.train()
        with RowMasks(keys):
            expected = library_logits(model, backbone, data, prompt[0])[:, labels]
        for backbone.literal in (False, True):
            with backbone.dropout(keys):
                got = backbone.row_logits(data, labels, prompt, owner)
            torch.testing.assert_close(got, expected, atol=2e-4, rtol=1e-4)
    assert (got - calm).abs().max() > 1e-3, "dropout must show"


def _droppers(model: Any) -> list[Any]:
    return [m for m in model.modules() if isinstance(getattr(m, "attention_dropout", None), float)]


def dropping(name: str) -> Source:
    """A source whose model drops out, if only in attention."""
    return replace(source(name), backbone=droppy(name))


def gradient(
    item: Source, seeds: list[int], rows: torch.Tensor, prompts: torch.Tensor, step: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses and gradient of one step with dropout."""
    loss = StackLoss("label_words", True, seeds)
    return TaskGradient(item, loss)(prompts, rows, torch.ones(len(seeds)), step)


def some(item: Source, replicas: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts, and three examples of each."""
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randn(replicas, 2, item.backbone.width, generator=generator)
    return prompts, torch.tensor([0, 3, 1, 5, 6, 3, 2, 2, 4, 1, 0, 5])[: 3 * replicas]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_masks_depend_on_seed_and_step_and_touch_no_weight(name: str) -> None:
    item = dropping(name)
    model = item.backbone.family.model
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    prompts, rows = some(item, 1)
    one = gradient(item, [0], rows, prompts)[1]
    assert torch.equal(one, gradient(item, [0], rows, prompts)[1])
    assert not torch.allclose(one, gradient(item, [1], rows, prompts)[1], rtol=1e-3)
    assert not torch.allclose(one, gradient(item, [0], rows, prompts, step=2)[1], rtol=1e-3)
    other = replace(item, key="another model")
    assert not torch.allclose(one, gradient(other, [0], rows, prompts)[1], rtol=1e-3)
    assert torch.equal(torch.get_rng_state(), state), "others' random numbers stay theirs"
    assert not model.training
    assert not any(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_replica_gets_what_it_would_get_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside whatever seeds, in whatever passes, padded to whatever length."""
    item = dropping(name)
    prompts, rows = some(item, 4)
    seeds = [1, 0, 1, 7]
    alone = [
        gradient(item, [seed], own, prompt[None])
        for seed, own, prompt in zip(seeds, rows.split(3), prompts, strict=True)
    ]
    losses, slopes = (torch.cat(found) for found in zip(*alone, strict=True))
    assert slopes.abs().max() > 1e-3
    for budget, spare, step in ((2048, 128, 1), (1, 0, 1), (40, 10, 1), (2048, 2048, 8)):
        monkeypatch.setitem(PASS_TOKENS, "cpu", budget)
        monkeypatch.setitem(SPARE_TOKENS, "cpu", spare)
        monkeypatch.setitem(LENGTH_STEP, "cpu", step)
        found = gradient(item, seeds, rows, prompts)
        torch.testing.assert_close(found[0], losses, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found[1], slopes, atol=2e-5, rtol=1e-3)


def test_passes_with_dropout_are_those_without() -> None:
    """Rows of all seeds and weights share them."""
    item = dropping("bert")
    prompts, rows = some(item, 4)
    read: list[int] = []
    real = item.backbone.row_logits

    def row_logits(batch: Encoded, *args: Any) -> torch.Tensor:
        read.append(len(batch))
        return real(batch, *args)

    item.backbone.row_logits = row_logits  # type: ignore[method-assign]
    for dropout in (False, True):
        loss = StackLoss("label_words", dropout, [0, 0, 1, 2])
        TaskGradient(item, loss)(prompts, rows, torch.ones(4), 1)
    assert read == [12, 12]


@pytest.mark.parametrize("name", ["bert", "mpnet", "gpt2"])
def test_evaluation_knows_no_dropout(name: str) -> None:
    item = dropping(name)
    backbone, data = item.backbone, data_of(item.backbone)
    labels = backbone.labels(WORDS, "t")
    prompts = torch.randn(2, 2, backbone.width)
    before = backbone.split_logits(data, labels, prompts)
    gradient(item, [0], torch.arange(3), prompts[:1])
    assert torch.equal(backbone.split_logits(data, labels, prompts), before)
    tuned = tune(
        [item], [Replica(0, Weight.of(0.0))], replace(SETTINGS, dropout=True), {}, "accuracy"
    )
    kept = backbone.split_logits(item.validation, item.label_ids, tuned.prompts[0])
    torch.testing.assert_close(kept, tuned.validation[0], atol=1e-5, rtol=1e-5)


DROPPING = replace(LAST_ONLY, dropout=True)


@pytest.mark.slow
@pytest.mark.parametrize("budget", [24, 10_000])
def test_weights_of_one_seed_meet_the_same_masks(
    budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """λ that differ by nothing worth speaking of end alike only if their masks are the same."""
    monkeypatch.setitem(PASS_TOKENS, "cpu", budget)
    sources = [source("bert"), source("gpt2")]
    grams, _ = grams_of(sources)
    stack = [Replica(seed, Weight.of(weight)) for weight in (0.0, 1e-7) for seed in (1, 0)]
    tuned = tune(sources, stack, DROPPING, grams, "accuracy")
    for prompts in tuned.prompts:
        for seed in range(2):
            torch.testing.assert_close(prompts[seed], prompts[2 + seed], atol=1e-3, rtol=1e-2)
        assert not torch.allclose(prompts[0], prompts[1], atol=1e-2)
    # The baseline of the pair is tuned elsewhere, by itself on each source, with the same masks.
    for place, item in enumerate(sources):
        for mine, seed in enumerate((1, 0)):
            alone = tune([item], [Replica(seed, Weight.of(0.0))], DROPPING, {}, "accuracy")
            torch.testing.assert_close(
                alone.prompts[0][0], tuned.prompts[place][mine], atol=1e-3, rtol=1e-2
            )
    calm = tune(sources, stack, LAST_ONLY, grams, "accuracy")
    assert not torch.allclose(calm.prompts[0], tuned.prompts[0], atol=1e-2)


def test_a_stack_with_dropout_can_be_had_again_bit_by_bit() -> None:
    sources = [source("roberta"), source("opt")]
    grams, _ = grams_of(sources)
    stack = [
        Replica(0, Weight.of(0.3)),
        Replica(1, Weight.of(0.3)),
        Replica(0, Weight.of("annealing")),
    ]
    one = tune(sources, stack, DROPPING, grams, "accuracy")
    torch.rand(7)
    two = tune(sources, stack, DROPPING, grams, "accuracy")
    for first, second in zip(one.prompts, two.prompts, strict=True):
        assert torch.equal(first, second)
