"""The objective of Wu et al. as one quadratic form per mask.

For a fixed mask M of anchors (all of them by default), the mean over sources of the cosines between
M Â_t p and M r_s is bᵀp / √(pᵀ G p) with

    G = Â_tᵀ M Â_t,    b = mean_s Â_tᵀ M r_s / |M r_s|,

so that neither the anchors nor the number of sources enter a solver's loop. Without a mask G is one
matrix and comes, as b does, from Gram matrices; with one, each prompt token has a G of its own.

Shapes: N = R·m prompt tokens, laid out as B groups of n that share a G: B = 1, n = N without masks,
B = N, n = 1 with them.
"""

from dataclasses import dataclass

import torch

from trainables.core.settings import TransferSettings
from trainables.transfer.problem import Problem


@dataclass(frozen=True)
class Objective:
    """The quadratic form of every prompt token, float64.

    Attributes:
        gram: G [B, d, d].
        wanted: b [B, n, d].
    """

    gram: torch.Tensor
    wanted: torch.Tensor

    def cosine(self, found: torch.Tensor) -> torch.Tensor:
        """Mean cosine over sources [..., R, m] of prompts [..., R, m, d]."""
        rows = found.reshape(*found.shape[:-3], *self.wanted.shape)
        square = ((rows @ self.gram) * rows).sum(-1)
        value = (rows * self.wanted).sum(-1) / square.clamp_min(1e-24).sqrt()
        return value.reshape(found.shape[:-1])

    def solve(self, gammas: tuple[float, ...]) -> torch.Tensor:
        """Ridge solutions (G + γ ḡ I)⁻¹ b, ḡ the mean eigenvalue of G, from one decomposition.

        Anchors fewer than dimensions leave G singular: directions that no anchor sees are left out
        (pseudo-inverse), so that γ = 0 gives the shortest maximiser of the cosine.

        Args:
            gammas: of at least 0.

        Returns:
            [len(gammas), B · n, d].
        """
        values, vectors = torch.linalg.eigh(self.gram)
        kept = values > values[..., -1:] * 1e-10
        unit = values.mean(-1, keepdim=True)
        parts = self.wanted @ vectors
        found = []
        for gamma in gammas:
            inverse = torch.where(kept, 1.0 / (values + gamma * unit).clamp_min(1e-300), 0.0)
            rows = (parts * inverse[:, None, :]) @ vectors.mT
            found.append(rows.flatten(0, 1))
        return torch.stack(found)


def objective(problem: Problem, settings: TransferSettings) -> Objective:
    """The quadratic form for the anchors that the settings keep."""
    if settings.top_k is None:
        return _over_all_anchors(problem)
    return _over_masks(problem, top_masks(problem, settings.top_k, str(settings.mask)))


def footprint(problem: Problem, settings: TransferSettings) -> int:
    """Numbers of an objective that every replica needs for itself."""
    _, tokens, width = problem.shape
    return tokens * (width if settings.top_k is None else width * width)


def _over_all_anchors(problem: Problem) -> Objective:
    grams, target = problem.exact_grams, problem.count
    parts = []
    for s, prompt in enumerate(problem.prompts):
        wide = prompt.double().flatten(0, 1)
        square = ((wide @ grams[s, s]) * wide).sum(-1, keepdim=True)
        parts.append((wide / square.clamp_min(1e-24).sqrt()) @ grams[s, target])
    return Objective(grams[target, target][None], torch.stack(parts).mean(0)[None])


def top_masks(problem: Problem, top_k: int, mask: str) -> torch.Tensor:
    """Which anchors each prompt token is compared on.

    Args:
        problem: what is carried.
        top_k: anchors with the largest signed similarity that a source keeps; all where there are
            fewer.
        mask: a name of :data:`MASKS`.

    Returns:
        bool [N, k].
    """
    chosen = []
    for s in MASKS[mask](problem):
        values = problem.prompts[s].double().flatten(0, 1) @ problem.spaces[s].anchors.T
        index = values.topk(min(top_k, values.shape[1]), dim=1).indices
        chosen.append(torch.zeros_like(values, dtype=torch.bool).scatter_(1, index, True))
    return torch.stack(chosen).any(0)


def _every_source(problem: Problem) -> range:
    return range(problem.count)


def _last_source(problem: Problem) -> tuple[int]:
    return (problem.last % problem.count,)


MASKS = {"union": _every_source, "ptfer_release": _last_source}
"""Per name, the sources whose largest similarities make the mask. The released code looks at the
last source alone, so that its result depends on the order of the sources."""


def _over_masks(problem: Problem, masks: torch.Tensor) -> Objective:
    anchors = [space.anchors for space in problem.spaces]
    prompts = [prompt.double().flatten(0, 1) for prompt in problem.prompts]
    gram, wanted = [], []
    for token, mask in enumerate(masks):
        seen = anchors[-1][mask]
        parts = []
        for table, prompt in zip(anchors, prompts, strict=False):
            relative = table[mask] @ prompt[token]
            parts.append((relative / relative.norm().clamp_min(1e-12)) @ seen)
        gram.append(seen.T @ seen)
        wanted.append(torch.stack(parts).mean(0))
    return Objective(torch.stack(gram), torch.stack(wanted)[:, None])
