"""What two backbones have in common, by their vocabularies and word embeddings alone.

Shapes: k words that both have, d_a and d_b embedding widths.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from trainables.backbones import Backbone
from trainables.hard.agreed import model_agreement
from trainables.words.agreement import Comparison
from trainables.words.vocabulary import common_vocabulary

NEIGHBOURS = 10
"""K of the neighbour agreement: literally so many nearest words, however many there are."""


def linear_cka(left: torch.Tensor, right: torch.Tensor) -> float:
    """Linear centred kernel alignment of two embeddings of the same words (Kornblith et al. 2019).

    ||Yᵀ X||²_F / (||Xᵀ X||_F · ||Yᵀ Y||_F) with column means taken away: 1 where one is a rotation
    and scaling of the other. Biased upwards where k is not well above d_a and d_b.

    Args:
        left: [k, d_a].
        right: [k, d_b], row i the same word as row i of ``left``.

    Returns:
        0 to 1; 0 where one side does not vary.
    """
    x, y = (side.double() - side.double().mean(0) for side in (left, right))
    scale = (x.T @ x).norm() * (y.T @ y).norm()
    return float((y.T @ x).norm() ** 2 / scale) if scale > 0 else 0.0


def vocabulary_overlap(left: Backbone, right: Backbone) -> float:
    """Jaccard overlap of the words that are one token: shared words over words of either."""
    one, two = set(left.words), set(right.words)
    return len(one & two) / max(1, len(one | two))


def common_embeddings(models: Sequence[Backbone]) -> list[torch.Tensor]:
    """Per model, the embeddings [k, d] of the words that all of them have, in one order."""
    shared = common_vocabulary(models)
    return [
        model.embeddings[torch.tensor(ids, dtype=torch.long, device=model.device)].cpu()
        for model, ids in zip(models, shared.ids, strict=True)
    ]


def mean_agreement(
    left: Backbone, right: Backbone, folder: Path | None = None, k: int = NEIGHBOURS
) -> float:
    """Neighbour agreement of two models, J_u of paper B (equation 7), mean over common words.

    Args:
        folder: see :func:`trainables.hard.agreed.model_agreement`.
        k: neighbours a word.

    Raises:
        InputError: they share too few words for K neighbours.
    """
    found = model_agreement([left, right], [k], Comparison(k_scale="literal"), folder)[k]
    return float(found.scores.mean())


def parameters(model: Backbone) -> int:
    """Number of parameters, head included; shared ones count once."""
    return sum(weight.numel() for weight in model.family.model.parameters())
