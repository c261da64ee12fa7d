"""Gram forms against literal readings of paper A's equations 3 to 5."""

import itertools

import pytest
import torch

from tests.trainables.tiny import tiny
from trainables.words.relative import (
    alignment_loss,
    gram_matrices,
    normalised_anchors,
    relative_representation,
)
from trainables.words.vocabulary import common_vocabulary


def cosine(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return (left * right).sum() / (left.pow(2).sum().sqrt() * right.pow(2).sum().sqrt())


def literal_alignment(prompts: list[torch.Tensor], anchors: list[torch.Tensor]) -> torch.Tensor:
    """Equation 5 with equation 4 inside, loop by loop, over k-vectors."""
    count, tokens = len(prompts), prompts[0].shape[0]
    total = torch.zeros((), dtype=torch.float64)
    for j in range(count):
        for other in range(j + 1, count):
            inner = torch.zeros((), dtype=torch.float64)
            for i in range(tokens):
                r_j = torch.stack([cosine(prompts[j][i], a) for a in anchors[j]])
                r_o = torch.stack([cosine(prompts[other][i], a) for a in anchors[other]])
                inner = inner + (1 - cosine(r_j, r_o))
            total = total + inner / tokens
    return 2.0 / (count * (count - 1)) * total


@pytest.mark.parametrize("count", [2, 3, 4])
def test_gram_loss_is_equation_5(count: int) -> None:
    torch.manual_seed(count)
    widths = [5, 7, 4, 6][:count]
    anchors = [torch.randn(23, width, dtype=torch.float64) for width in widths]
    prompts = [torch.randn(3, width, dtype=torch.float64, requires_grad=True) for width in widths]
    unit = [torch.nn.functional.normalize(anchor, dim=1) for anchor in anchors]
    fast = alignment_loss(prompts, gram_matrices(unit, torch.float64))
    slow = literal_alignment(prompts, anchors)
    torch.testing.assert_close(fast, slow, atol=1e-12, rtol=1e-12)
    fast_grads = torch.autograd.grad(fast, prompts)
    slow_grads = torch.autograd.grad(slow, prompts)
    for got, expected in zip(fast_grads, slow_grads, strict=True):
        torch.testing.assert_close(got, expected, atol=1e-12, rtol=1e-9)
        assert expected.abs().max() > 1e-4


def test_replicas_do_not_meet_and_one_source_has_no_loss() -> None:
    torch.manual_seed(0)
    unit = [torch.nn.functional.normalize(torch.randn(30, d).double(), dim=1) for d in (4, 6)]
    grams = gram_matrices(unit)
    stack = [torch.randn(5, 2, 4), torch.randn(5, 2, 6)]
    whole = alignment_loss(stack, grams)
    assert whole.shape == (5,)
    for replica in range(5):
        alone = alignment_loss([prompt[replica] for prompt in stack], grams)
        torch.testing.assert_close(whole[replica], alone)
    assert alignment_loss([stack[0]], grams).tolist() == [0.0] * 5


def test_loss_is_zero_between_equal_geometries_and_blind_to_scale() -> None:
    torch.manual_seed(0)
    anchors = torch.randn(40, 6).double()
    rotation = torch.linalg.qr(torch.randn(6, 6).double()).Q
    unit = [torch.nn.functional.normalize(x, dim=1) for x in (anchors, anchors @ rotation)]
    prompt = torch.randn(3, 6).double()
    grams = gram_matrices(unit, torch.float64)
    assert float(alignment_loss([prompt, 7.0 * prompt @ rotation], grams)) < 1e-12
    assert float(alignment_loss([prompt, torch.randn(3, 6).double()], grams)) > 1e-3


def test_relative_representation_is_equation_4() -> None:
    torch.manual_seed(0)
    prompt, anchors = torch.randn(4), torch.randn(9, 4)
    expected = torch.stack([cosine(prompt, anchor) for anchor in anchors])
    torch.testing.assert_close(relative_representation(prompt, anchors), expected)


@pytest.mark.parametrize("pair", itertools.combinations(["bert", "gpt2", "llama"], 2))
def test_common_vocabulary_is_equation_3(pair: tuple[str, str]) -> None:
    models = [tiny(name) for name in pair]
    shared = common_vocabulary(models)
    assert len(shared) > 1000
    assert list(shared.words) == sorted(set(shared.words))
    for model, ids in zip(models, shared.ids, strict=True):
        assert len(set(ids)) == len(ids)
        assert not set(ids) & set(model.tokenizer.all_special_ids)
        for word, number in list(zip(shared.words, ids, strict=True))[::97]:
            assert model.tokens(model.lead + word) == [number]
    for word in ("film", "government", "good"):
        assert word in shared.words
    turned = common_vocabulary(models[::-1])
    assert turned.words == shared.words
    assert turned.ids == shared.ids[::-1]
    anchors = normalised_anchors(models, shared)
    for anchor, model in zip(anchors, models, strict=True):
        assert anchor.shape == (len(shared), model.width)
        torch.testing.assert_close(anchor.norm(dim=1), torch.ones(len(shared)).double())
