"""The maximiser of the mean cosine itself, found in one solve."""

from trainables.core.settings import TransferSettings
from trainables.transfer.objective import footprint, objective
from trainables.transfer.problem import Problem
from trainables.transfer.solver import Found, Solver


class ClosedForm(Solver):
    """What the search of Wu et al. (ICLR 2024) converges to.

    For a fixed mask, max_p mean_s cos(Â_t p, r_s) is a least-squares direction,
    p ∝ (Â_tᵀ Â_t)⁻¹ Â_tᵀ Σ_s r_s / |r_s|: one decomposition for all prompts.
    """

    def solve(self, problem: Problem, settings: TransferSettings) -> Found:
        """One candidate."""
        return Found(objective(problem, settings).solve((0.0,)).view(1, *problem.shape))

    def footprint(self, problem: Problem, settings: TransferSettings) -> int:
        """The quadratic form and its eigenvectors."""
        return 2 * footprint(problem, settings)
