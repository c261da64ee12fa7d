"""The closed form with a penalty on directions that the anchors hardly see."""

from trainables.core.settings import TransferSettings
from trainables.transfer.objective import footprint, objective
from trainables.transfer.problem import Problem
from trainables.transfer.solver import Found, Solver


class Ridge(Solver):
    """p(γ) = (Â_tᵀ Â_t + γ ḡ I)⁻¹ Â_tᵀ Σ_s r_s / |r_s| over a grid of γ.

    ḡ is the mean eigenvalue of Â_tᵀ Â_t, so that one grid suits every model. The path from γ = 0
    (the closed form) to large γ (p ∝ Âᵀ r) stands for the path of the published search, from which
    validation picks; all of it comes from one eigendecomposition. Without selection the smallest γ
    is taken: it is the best by the objective.
    """

    def solve(self, problem: Problem, settings: TransferSettings) -> Found:
        """One candidate per γ, in ascending order."""
        gammas = tuple(sorted(settings.gammas or (0.0,)))
        found = objective(problem, settings).solve(gammas)
        return Found(found.view(len(gammas), *problem.shape), gammas)

    def footprint(self, problem: Problem, settings: TransferSettings) -> int:
        """The quadratic form and its eigenvectors."""
        return 2 * footprint(problem, settings)
