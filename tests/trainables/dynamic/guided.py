"""Guided rows of tiny models, and matrices of vectors and heads made up for them."""

from dataclasses import replace

import torch

from tests.trainables.tiny import tiny
from trainables.backbones import Backbone, Encoded, Layout
from trainables.dynamic.guide import PARTS, Guide
from trainables.scoring.unprompted import mean_states

TEXTS = ["the film was good", "a bad and boring story", "never again", "we liked it very much"]
LENGTH = 3


def guide_of(
    backbone: Backbone, parts: tuple[str, ...] = PARTS, by_text: bool = True, pool: int = 2
) -> Guide:
    """A guide of prompts of 3 vectors."""
    many = pool if "representation" in parts else 1
    family = backbone.family
    return Guide(parts, by_text, LENGTH, many, family.width, family.state_width)


def rows_of(backbone: Backbone, guide: Guide, texts: list[str] = TEXTS) -> Encoded:
    """Texts as rows that the guide decides about, with their states."""
    gold = [place % 2 for place in range(len(texts))]
    data = backbone.read(texts, gold, Layout(guide.length, guide=guide))
    assert data.guided is not None
    states = mean_states(backbone, backbone.read(texts, gold, Layout()))
    return replace(data, guided=replace(data.guided, states=states if guide.reads else None))


def static_rows(
    backbone: Backbone, length: int, position: str, texts: list[str] = TEXTS
) -> Encoded:
    """The same texts as rows of a static prompt."""
    gold = [place % 2 for place in range(len(texts))]
    return backbone.read(texts, gold, Layout(length, position))


def matrices(guide: Guide, count: int, seed: int = 0, spread: float = 1.0) -> torch.Tensor:
    """Random matrices [count, M, d]."""
    draw = torch.Generator().manual_seed(seed)
    pool = torch.randn(count, guide.vectors, guide.width, generator=draw)
    heads = []
    for head in guide.blank():  # texts' states are alike: weights are large for all that
        scale = spread * (20.0 if head.dim() == 2 else 1.0)
        heads.append(scale * torch.randn(count, *head.shape, generator=draw))
    return guide.packed(pool, heads)


def chosen_everywhere(
    backbone: Backbone, parts: tuple[str, ...], **choices: int
) -> tuple[Guide, torch.Tensor]:
    """A guide of the task, and a matrix whose heads choose as told."""
    guide = guide_of(backbone, parts, by_text=False)
    pool = torch.randn(1, guide.vectors, guide.width, generator=torch.Generator().manual_seed(1))
    heads = []
    for part in parts:
        bias = torch.zeros(1, guide.choices(part))
        bias[0, choices[part]] = 5.0
        heads.append(bias)
    return guide, guide.packed(pool, heads)


def labels_of(backbone: Backbone) -> torch.Tensor:
    found = backbone.labels(["bad", "good"], "t")
    assert isinstance(found, torch.Tensor)
    return found


__all__ = ["LENGTH", "TEXTS", "chosen_everywhere", "guide_of", "labels_of", "matrices", "rows_of",
           "static_rows", "tiny"]  # fmt: skip
