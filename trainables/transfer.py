"""Transfer of soft prompts to a model without its gradients (Wu et al. 2024), in closed form.

The published search looks, with 2,000 steps of Adam, for the target prompt p whose relative
representation is nearest in cosine to those of the sources: max_p mean_s cos(Â_t p, r_s). For fixed
r_s that is a least-squares direction, p ∝ (Â_tᵀ Â_t)⁻¹ Â_tᵀ Σ_s r_s / |r_s|, found in one solve for
all prompts at once. Through Gram matrices no vector of length k is ever formed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from trainables.relative import Grams, relative_cosine


@dataclass(frozen=True)
class Transferred:
    """Result of a transfer.

    Attributes:
        prompt: [..., m, d_t], float32.
        similarity: [..., m]: achieved cosine of relative representations, mean over sources.
    """

    prompt: torch.Tensor
    similarity: torch.Tensor


def _match(prompts: Sequence[torch.Tensor], scales: Sequence[float], scale: float) -> torch.Tensor:
    relative = torch.stack(
        [prompt.norm(dim=-1) / s for prompt, s in zip(prompts, scales, strict=True)]
    )
    return relative.mean(0) * scale


def _mean(prompts: Sequence[torch.Tensor], scales: Sequence[float], scale: float) -> torch.Tensor:
    del scales
    return torch.full_like(prompts[0][..., 0], scale)


NORMS: dict[str, Callable[[Sequence[torch.Tensor], Sequence[float], float], torch.Tensor]] = {
    "match": _match,
    "mean": _mean,
}
"""Length of each carried vector [..., m] from source prompts, source scales and target scale."""


def transfer(
    prompts: Sequence[torch.Tensor],
    grams: Grams,
    source_scales: Sequence[float],
    target_scale: float,
    norm: str = "match",
) -> Transferred:
    """Carry the prompts of S sources to one target.

    Args:
        prompts: per source, [..., m, d_s]; the same leading shape for all.
        grams: Gram matrices over the models (sources in order, then the target).
        source_scales: mean length of each source's embedding rows.
        target_scale: the same of the target.
        norm: how long the vectors become (:data:`NORMS`); the cosine objective cannot tell.

    Returns:
        The prompt and its similarity; independent of the order of the sources.

    Raises:
        ValueError: no source, or an unknown ``norm``.
    """
    if not prompts:
        raise ValueError("transfer needs at least one source prompt")
    if norm not in NORMS:
        raise ValueError(f"norm: found {norm!r}; allowed: {', '.join(NORMS)}")
    target = len(prompts)
    exact = {key: value.double() for key, value in grams.items()}
    wide = [prompt.double() for prompt in prompts]
    wanted = wide[0].new_zeros(*wide[0].shape[:-1], exact[target, target].shape[0])
    for s, prompt in enumerate(wide):
        length = ((prompt @ exact[s, s]) * prompt).sum(-1, keepdim=True).clamp_min(1e-24).sqrt()
        wanted = wanted + (prompt / length) @ exact[s, target]
    flat = wanted.reshape(-1, wanted.shape[-1])
    direction = _solve(exact[target, target], flat).reshape(wanted.shape)
    lengths = NORMS[norm](wide, source_scales, target_scale)
    found = torch.nn.functional.normalize(direction, dim=-1) * lengths[..., None]
    similarity = torch.stack(
        [relative_cosine(prompt, found, exact, s, target) for s, prompt in enumerate(wide)]
    ).mean(0)
    return Transferred(found.float(), similarity.float())


def _solve(gram: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Least-squares solutions of gram · x = row for every row [n, d].

    Anchors fewer than dimensions leave the Gram matrix singular: the pseudo-inverse then gives the
    shortest solution, with no part in directions that no anchor sees.
    """
    values, vectors = torch.linalg.eigh(gram)
    kept = values > values[-1] * 1e-10
    inverse = torch.where(kept, 1.0 / values.clamp_min(1e-300), torch.zeros_like(values))
    solution: torch.Tensor = ((rows @ vectors) * inverse) @ vectors.T
    return solution
