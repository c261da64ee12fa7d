"""Losses and gradients pass by pass: what each row by itself would give."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.trainables.soft.test_tuning import source
from tests.trainables.tiny import ARCHITECTURES
from trainables.backbones import Backbone
from trainables.scoring.gradient import GROUP_SHARE, PassGradient
from trainables.scoring.losses import rows_behind
from trainables.soft.source import Source

PROMPTS, LENGTH = 5, 2


def literal(
    item: Source, prompts: torch.Tensor, rows: torch.Tensor, shares: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """One row after another, each with its prompt among its embeddings."""
    point = prompts.detach().requires_grad_()
    size, losses = len(rows) // len(prompts), []
    for place, row in enumerate(rows.tolist()):
        one = item.train.take(torch.tensor([row]))
        own = point[place // size][None]
        states = item.backbone._states(one, own)
        losses.append(F.cross_entropy(item.backbone.head_logits(states, item.label_ids), one.gold))
    each = torch.stack(losses)
    return each.detach(), torch.autograd.grad((each * shares).sum(), point)[0]


@pytest.mark.slow
@pytest.mark.parametrize("budget", [1, 30, 150, 10_000])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_passes_and_groups_change_nothing(name: str, budget: int) -> None:
    item = source(name)
    generator = torch.Generator().manual_seed(3)
    prompts = torch.randn(PROMPTS, LENGTH, item.backbone.width, generator=generator)
    rows = torch.randint(len(item.train), (PROMPTS * 3,), generator=generator)
    shares = torch.rand(len(rows), generator=generator)
    expected, slope = literal(item, prompts, rows, shares)
    passes = PassGradient(item.backbone, item.train, rows_behind(item.backbone, item.label_ids))
    losses, gradient = passes(prompts, rows, shares, budget)
    torch.testing.assert_close(losses, expected, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(gradient, slope, atol=2e-5, rtol=1e-3)
    assert slope.abs().max() > 1e-3


@pytest.mark.parametrize("budget", [60, 10_000])
def test_a_causal_model_reads_prompts_once_for_all_passes(
    budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = source("gpt2")
    read: list[int] = []
    real: Any = Backbone.remember

    def remember(model: Backbone, data: Any, prompts: torch.Tensor) -> Any:
        read.append(len(prompts))
        return real(model, data, prompts)

    monkeypatch.setattr(Backbone, "remember", remember)
    passes = PassGradient(item.backbone, item.train, rows_behind(item.backbone, item.label_ids))
    prompts = torch.zeros(PROMPTS, LENGTH, item.backbone.width)
    passes(prompts, torch.arange(PROMPTS * 3) % len(item.train), torch.ones(PROMPTS * 3), budget)
    together = GROUP_SHARE * budget / (LENGTH + (item.train.begin or 0))
    groups = math.ceil(PROMPTS / int(together))
    assert len(read) == 2 * groups, "forth and back"
    assert sum(read) == 2 * PROMPTS
    masked = source("bert")
    passes = PassGradient(
        masked.backbone, masked.train, rows_behind(masked.backbone, masked.label_ids)
    )
    passes(torch.zeros(1, LENGTH, masked.backbone.width), torch.arange(3), torch.ones(3), budget)
    assert sum(read) == 2 * PROMPTS
