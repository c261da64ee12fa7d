"""Activated neurons of a prompt, and their overlap between prompts (Su et al. 2022).

The model reads the prompt alone, without any text: begin tokens, prompt, answer (mask) and end
tokens; a causal model begin tokens and prompt; of a sequence-to-sequence model the decoder is
looked at. A neuron is a unit of a feed-forward layer; it is
*activated* if what enters its activation function at the answer position is above 0. With ReLU that
is Su et al.'s definition; GELU and SiLU have the sign of what enters them.

Prompts can be compared only on one model: a carried prompt and one tuned on the target itself, both
read by the target. Shapes: R prompts, m tokens, d width, F neurons of all layers together.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from trainables.backbones import Backbone, Layout

WINDOW = 3
"""Layers of a window of :func:`layer_windows`."""


def activated_neurons(model: Backbone, prompts: torch.Tensor) -> torch.Tensor:
    """Which neurons each prompt activates.

    Args:
        prompts: [R, m, d] of this model.

    Returns:
        bool [R, F], layer after layer; F = 0 where the architecture's layers are not known.
    """
    layers = activated_by_layer(model, prompts)
    return torch.cat([torch.zeros(len(prompts), 0, dtype=torch.bool), *layers], dim=1)


@torch.no_grad()
def activated_by_layer(model: Backbone, prompts: torch.Tensor) -> list[torch.Tensor]:
    """The same, a bool [R, f] for each layer; none where they are not known."""
    count = len(prompts)
    if not model.family.matrices():
        return []
    layout = Layout(prompt_length=prompts.shape[1], seam="glued")
    # Not as rows that share a beginning: each prompt is a row read as a whole.
    data = replace(model.read([""] * count, [0] * count, layout), begin=None)
    some = torch.zeros(1, dtype=torch.long, device=model.device)
    owner = torch.arange(count, device=model.device)
    with _listening(model) as heard:
        model.row_logits(data, some, prompts.to(model.device), owner)
    return [(_at_answers(layer, data.answers) > 0).cpu() for layer in heard]


def layer_windows(layers: int, size: int = WINDOW) -> list[tuple[int, int]]:
    """First and last layer, counted from 1, of windows of ``size`` layers, the lowest first.

    They lie side by side below the top, so that only the lowest may have fewer layers (Su et al.
    2022 compare windows of 3 of 24).
    """
    ends = range(layers, 0, -size)
    return [(max(1, end - size + 1), end) for end in ends][::-1]


def neuron_overlap(left: torch.Tensor, right: torch.Tensor) -> float:
    """Overlap of two sets of activated neurons, bool [F] each: the cosine of their 0/1 vectors.

    |A ∩ B| / √(|A|·|B|): 1 for equal sets, 0 for disjoint ones or where one is empty; NaN where no
    neurons are known.
    """
    if not len(left):
        return math.nan
    both = float((left & right).sum())
    scale = (float(left.sum()) * float(right.sum())) ** 0.5
    return both / scale if scale else 0.0


def _at_answers(values: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """Values [R, f] at the answers, of [R, L, f], or of [R, 1, f] where only they were read."""
    rows = values.view(len(answers), -1, values.shape[-1])
    if rows.shape[1] == 1:
        return rows[:, 0]
    return rows[torch.arange(len(answers), device=rows.device), answers]


@contextmanager
def _listening(model: Backbone) -> Iterator[list[torch.Tensor]]:
    """Within it, what enters the activation of each layer is put into the list handed out."""
    heard: list[torch.Tensor] = []

    def hear(module: nn.Module, args: Any, output: torch.Tensor) -> None:
        heard.append(output.detach())

    handles = [matrix.register_forward_hook(hear) for matrix in model.family.matrices()]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


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
