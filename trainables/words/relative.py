"""Relative representations and the alignment loss (paper A, equations 4 and 5).

Shapes: k anchors, d_a / d_b embedding widths, m prompt tokens, any leading batch dimensions.

The loss only needs inner products of relative representations. With row-normalised anchors Â_a,
r_a(p)·r_b(q) = p̂ᵀ (Â_aᵀ Â_b) q̂, so one matrix G_ab = Â_aᵀ Â_b [d_a, d_b] per pair of models stands
for all k anchors: exact, at a cost that does not depend on k.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch

from trainables.words.vocabulary import CommonVocabulary

Grams = Mapping[tuple[int, int], torch.Tensor]
"""G_ab for every ordered pair (a, b) of model indices, float32 [d_a, d_b]."""


class Embedded(Protocol):
    """What is asked of a model here; a backbone has it."""

    embeddings: torch.Tensor


def normalised_anchors(models: Sequence[Embedded], shared: CommonVocabulary) -> list[torch.Tensor]:
    """Anchors Â of every model: embedding rows of the common words, unit length, float64 [k, d]."""
    anchors = []
    for model, ids in zip(models, shared.ids, strict=True):
        rows = model.embeddings[torch.tensor(ids, device=model.embeddings.device)].double()
        anchors.append(torch.nn.functional.normalize(rows, dim=1))
    return anchors


def relative_representation(prompt: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    """Equation 4: cosines of a prompt with every anchor.

    Args:
        prompt: [..., d].
        anchors: [k, d], any length.

    Returns:
        [..., k].
    """
    unit = torch.nn.functional.normalize(prompt, dim=-1)
    return unit @ torch.nn.functional.normalize(anchors, dim=1).T


def gram_matrices(
    anchors: Sequence[torch.Tensor], dtype: torch.dtype = torch.float32
) -> dict[tuple[int, int], torch.Tensor]:
    """G_ab = Â_aᵀ Â_b of all ordered pairs, from unit-length anchors [k, d_a]."""
    return {
        (a, b): (anchors[a].T @ anchors[b]).to(dtype)
        for a in range(len(anchors))
        for b in range(len(anchors))
    }


def relative_cosine(
    left: torch.Tensor, right: torch.Tensor, grams: Grams, a: int, b: int
) -> torch.Tensor:
    """Cosine between the relative representations of two prompts.

    Args:
        left: [..., m, d_a], prompt of model ``a``.
        right: [..., m, d_b], prompt of model ``b``.
        grams: of :func:`gram_matrices`.
        a: index of the left model.
        b: index of the right model.

    Returns:
        [..., m], one cosine per prompt token. Scale-free in both prompts.
    """
    cross = ((left @ grams[a, b]) * right).sum(-1)
    left_norm = ((left @ grams[a, a]) * left).sum(-1)
    right_norm = ((right @ grams[b, b]) * right).sum(-1)
    # Squared norms may round below zero for a zero prompt.
    return cross / (left_norm.clamp_min(1e-12) * right_norm.clamp_min(1e-12)).sqrt()


def alignment_loss(prompts: Sequence[torch.Tensor], grams: Grams) -> torch.Tensor:
    """Equation 5: mean over model pairs and prompt tokens of 1 - cos(r_j, r_j').

    Args:
        prompts: per model, [..., m, d_j].
        grams: of :func:`gram_matrices` over the same models in the same order.

    Returns:
        [...]: one value per leading index (replica); zeros for a single model.
    """
    total = prompts[0].new_zeros(prompts[0].shape[:-2])
    pairs = [(j, k) for j in range(len(prompts)) for k in range(j + 1, len(prompts))]
    for j, k in pairs:
        total = total + (1.0 - relative_cosine(prompts[j], prompts[k], grams, j, k)).mean(-1)
    return total / max(1, len(pairs))
