"""A linear map between the vocabularies of two models (Recycling: ``v2v-lin``)."""

import torch

from trainables.core.settings import TransferSettings
from trainables.transfer.problem import Problem
from trainables.transfer.solver import Found, Solver


class V2vLin(Solver):
    """p_t = p_s X, with X the least-squares solution of E_s X ≈ E_t over the common words.

    Lester et al., "Reducing Retraining by Recycling Parameter-Efficient Prompts" (2022). E are
    embedding rows as they are, not of unit length. The published map is fitted to 4,000 English
    words behind the 1,000 most frequent ones; here to all words that are single tokens of all the
    models. With several sources the images of their prompts are averaged. The published lengths are
    those of ``norm: own``.
    """

    def solve(self, problem: Problem, settings: TransferSettings) -> Found:
        """One candidate."""
        del settings
        images = [
            prompt.double() @ least_squares(space.words, problem.target.words)
            for prompt, space in zip(problem.prompts, problem.spaces, strict=False)
        ]
        return Found(torch.stack(images).mean(0)[None])


def least_squares(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Shortest X [a, b] with least |left X - right|, for left [k, a] and right [k, b]."""
    # Singular values in place of torch.linalg.lstsq, which takes no matrix of lower rank on a GPU.
    outer, values, inner = torch.linalg.svd(left, full_matrices=False)
    kept = values > values[0] * 1e-10
    inverse = torch.where(kept, 1.0 / values.clamp_min(1e-300), 0.0)
    solution: torch.Tensor = inner.T @ (inverse[:, None] * (outer.T @ right))
    return solution
