"""Tuned prompts compared as vectors of one model. Shapes: m prompt tokens, d embedding width."""

import torch

from trainables.backbones import Backbone


def prompt_norm(prompt: torch.Tensor, model: Backbone) -> float:
    """Mean length of a prompt's vectors [m, d] over the mean length of the model's embeddings."""
    return float(prompt.double().norm(dim=-1).mean()) / model.scale


def prompt_cosine(left: torch.Tensor, right: torch.Tensor) -> float:
    """Mean cosine of all pairs of tokens of two prompts [m_a, d] and [m_b, d] (Su et al. 2022).

    Their "cosine similarity, average over tokens": every token with every token, as prompts have no
    token that stands for the same thing in both. Defined on one model only.
    """
    one, two = (torch.nn.functional.normalize(side.double(), dim=-1) for side in (left, right))
    return float((one @ two.T).mean())
