"""The search of Wu et al. (2024) for a target prompt: Adam on the similarity to the sources.

A literal reading of the published procedure: a random prompt, and in each of 2,000 steps the
cosines with every anchor (equation 4) and their cosine with the sources'.

Shapes: S sources, m prompt tokens, k anchors, d target width.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from trainables.words.relative import relative_representation

STEPS = 2000
RATE = 5e-3


def adam_search(
    wanted: Sequence[torch.Tensor], anchors: torch.Tensor, steps: int = STEPS, seed: int = 0
) -> torch.Tensor:
    """A target prompt [m, d].

    Args:
        wanted: per source, relative representations [m, k] of its prompt.
        anchors: the target's, [k, d].
        steps: of Adam.
        seed: of the start.
    """
    torch.manual_seed(seed)
    variable = torch.empty(wanted[0].shape[0], anchors.shape[1])
    torch.nn.init.xavier_normal_(variable).requires_grad_()
    optimiser = torch.optim.Adam([variable], lr=RATE)
    for _ in range(steps):
        mine = F.normalize(variable, dim=-1) @ anchors.T
        loss = torch.stack([1 - torch.cosine_similarity(mine, r, dim=-1) for r in wanted]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return variable.detach()


def similarity(found: torch.Tensor, wanted: Sequence[torch.Tensor], anchors: torch.Tensor) -> float:
    """Mean cosine over sources and tokens of prompts [..., m, d] with what was wanted."""
    mine = relative_representation(found, anchors)
    parts = [torch.cosine_similarity(mine, r, dim=-1).mean() for r in wanted]
    return float(torch.stack(parts).mean())
