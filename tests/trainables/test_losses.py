"""The loss over the vocabulary and dropout, against the library's own models."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.trainables.test_soft import LAST_ONLY, SETTINGS, TEXTS, grams_of, source
from tests.trainables.tiny import ARCHITECTURES, pristine, tiny
from trainables.backbones import Backbone, Encoded, Layout
from trainables.losses import StackLoss
from trainables.passes import PASS_TOKENS
from trainables.soft import Replica, tune

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
    if backbone.family.masked and int(data.lengths.min()) < length:
        mask = (torch.arange(length) < data.lengths[:, None]).long()
    positions = (torch.arange(length) + backbone.family.first_position)[None]
    more = {} if backbone.family.masked else {"use_cache": False}
    logits = model(
        inputs_embeds=torch.stack(rows), attention_mask=mask, position_ids=positions, **more
    ).logits
    return logits[torch.arange(len(data)), data.answers]


@pytest.mark.parametrize("position", ["prefix", "suffix"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_vocabulary_loss_is_cross_entropy_over_the_full_logits(name: str, position: str) -> None:
    backbone = tiny(name)
    data, labels = data_of(backbone, position), backbone.labels(WORDS, "t")
    torch.manual_seed(1)
    prompts = torch.randn(2, 2, backbone.width)
    owner = torch.arange(2).repeat_interleave(len(data))
    loss = StackLoss("vocabulary", False, [0, 1], [0.0, 0.0])
    with torch.no_grad():
        got = loss(backbone, data.repeat(2), labels, prompts, owner).view(2, -1)
        for replica in range(2):
            logits = library_logits(pristine(name), backbone, data, prompts[replica])
            # Rows of the table that belong to no token are no words.
            usable = logits[:, : len(backbone.tokenizer)]
            assert usable.shape[1] < logits.shape[1]
            for row in range(len(data)):
                word = labels[data.gold[row]]
                expected = usable[row].exp().sum().log() - usable[row, word]
                torch.testing.assert_close(got[replica, row], expected, atol=2e-4, rtol=1e-4)
        over_labels = StackLoss("label_words", False, [0, 1], [0.0, 0.0])
        fewer = over_labels(backbone, data.repeat(2), labels, prompts, owner).view(2, -1)
    assert (got > fewer + 0.5).all(), "the vocabulary takes probability from the label words"


def droppy(name: str) -> Backbone:
    """A backbone of its own, dropping out with 0.1 at least in attention."""
    backbone = copy.deepcopy(tiny(name))
    for module in backbone.family.model.modules():
        # LLaMA's only dropout is that of attention, 0 by default.
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.1
    return backbone


@pytest.mark.parametrize("position", ["prefix", "infix"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_dropout_is_that_of_the_library(name: str, position: str) -> None:
    """Same random numbers, same layers: the same logits as the unmodified model in train mode."""
    backbone = droppy(name)
    model = copy.deepcopy(pristine(name))
    for mine, theirs in zip(_droppers(backbone.family.model), _droppers(model), strict=True):
        theirs.attention_dropout = mine.attention_dropout
    data, labels = data_of(backbone, position), backbone.labels(WORDS, "t")
    prompt = torch.randn(1, 2, backbone.width, generator=torch.Generator().manual_seed(0))
    owner = torch.zeros(len(data), dtype=torch.long)
    with torch.no_grad():
        with backbone.dropout():
            torch.manual_seed(5)
            got = backbone.row_logits(data, labels, prompt, owner)
        model.train()
        torch.manual_seed(5)
        expected = library_logits(model, backbone, data, prompt[0])[:, labels]
        calm = backbone.row_logits(data, labels, prompt, owner)
    torch.testing.assert_close(got, expected, atol=2e-4, rtol=1e-4)
    assert (got - calm).abs().max() > 1e-3, "dropout must show"


def _droppers(model: Any) -> list[Any]:
    return [m for m in model.modules() if isinstance(getattr(m, "attention_dropout", None), float)]


def gradient(backbone: Backbone, seed: int, step: int) -> torch.Tensor:
    data, labels = data_of(backbone), backbone.labels(WORDS, "t")
    start = torch.randn(1, 2, backbone.width, generator=torch.Generator().manual_seed(0))
    prompt = start.requires_grad_()
    loss = StackLoss("label_words", True, [seed], [0.0])
    (part,) = loss.passes(data.lengths, 10_000, 10_000)
    assert part.rows.tolist() == torch.argsort(data.lengths, descending=True, stable=True).tolist()
    data = data.take(part.rows)
    owner = torch.zeros(len(data), dtype=torch.long)
    loss(backbone, data, labels, prompt, owner, part.masks, ("k", step)).sum().backward()
    assert prompt.grad is not None
    return prompt.grad


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_masks_depend_on_seed_and_step_and_touch_no_weight(name: str) -> None:
    backbone = droppy(name)
    model = backbone.family.model
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    one = gradient(backbone, 0, 1)
    assert torch.equal(one, gradient(backbone, 0, 1))
    assert not torch.allclose(one, gradient(backbone, 1, 1), rtol=1e-3)
    assert not torch.allclose(one, gradient(backbone, 0, 2), rtol=1e-3)
    assert torch.equal(torch.get_rng_state(), state), "others' random numbers stay theirs"
    assert not model.training
    assert not any(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["bert", "mpnet", "gpt2"])
def test_evaluation_knows_no_dropout(name: str) -> None:
    backbone = droppy(name)
    data, labels = data_of(backbone), backbone.labels(WORDS, "t")
    prompts = torch.randn(2, 2, backbone.width)
    before = backbone.split_logits(data, labels, prompts)
    gradient(backbone, 0, 1)
    assert torch.equal(backbone.split_logits(data, labels, prompts), before)
    item = replace(source(name), backbone=backbone)
    tuned = tune([item], [Replica(0, 0.0)], replace(SETTINGS, dropout=True), {}, "accuracy")
    kept = backbone.split_logits(item.validation, item.label_ids, tuned.prompts[0])
    torch.testing.assert_close(kept, tuned.validation[0], atol=1e-5, rtol=1e-5)


def test_each_row_is_in_one_pass() -> None:
    lengths = torch.tensor([5, 9, 4, 9, 5, 4, 30, 4])
    calm = StackLoss("label_words", False, [1, 0, 1, 0], [0.0, 0.0, 0.5, 0.5])
    passes = list(calm.passes(lengths, 20, 4))
    assert [part.rows.tolist() for part in passes] == [[6], [1, 3], [0, 4, 2, 5], [7]]
    assert {part.masks for part in passes} == {None}
    dropping = StackLoss("label_words", True, [1, 0, 1, 0], [0.0, 0.0, 0.5, 0.5])
    passes = list(dropping.passes(torch.tensor([5, 30, 4, 9, 5, 30, 4, 9]), 40, 4, step=7))
    assert [part.rows.tolist() for part in passes] == [[1], [3, 0], [2], [5], [7, 4], [6]]
    assert [part.masks for part in passes] == [(7, 0, 1, part) for part in (0, 1, 2)] * 2


DROPPING = replace(LAST_ONLY, dropout=True)


@pytest.mark.parametrize("budget", [24, 10_000])
def test_weights_of_one_seed_meet_the_same_masks(
    budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """λ that differ by nothing worth speaking of end alike only if their masks are the same."""
    monkeypatch.setitem(PASS_TOKENS, "cpu", budget)
    sources = [source("bert"), source("gpt2")]
    grams, _ = grams_of(sources)
    stack = [Replica(seed, weight) for weight in (0.0, 1e-7) for seed in (1, 0)]
    tuned = tune(sources, stack, DROPPING, grams, "accuracy")
    for prompts in tuned.prompts:
        for seed in range(2):
            torch.testing.assert_close(prompts[seed], prompts[2 + seed], atol=1e-3, rtol=1e-2)
        assert not torch.allclose(prompts[0], prompts[1], atol=1e-2)
    # The baseline of the pair is tuned elsewhere, on each source alone, with the same masks.
    for place, item in enumerate(sources):
        alone = tune([item], [Replica(0, 0.0), Replica(1, 0.0)], DROPPING, {}, "accuracy")
        for seed, mine in ((0, 1), (1, 0)):
            torch.testing.assert_close(
                alone.prompts[0][seed], tuned.prompts[place][mine], atol=1e-3, rtol=1e-2
            )
    calm = tune(sources, stack, LAST_ONLY, grams, "accuracy")
    assert not torch.allclose(calm.prompts[0], tuned.prompts[0], atol=1e-2)


def test_a_stack_with_dropout_can_be_had_again_bit_by_bit() -> None:
    sources = [source("roberta"), source("opt")]
    grams, _ = grams_of(sources)
    stack = [Replica(0, 0.3), Replica(1, 0.3), Replica(0, None)]
    one = tune(sources, stack, DROPPING, grams, "accuracy")
    torch.rand(7)
    two = tune(sources, stack, DROPPING, grams, "accuracy")
    for first, second in zip(one.prompts, two.prompts, strict=True):
        assert torch.equal(first, second)
