"""A prompt as a combination of words (Recycling: ``lin-comb``)."""

import torch

from trainables.core.settings import TransferSettings
from trainables.transfer.problem import Problem
from trainables.transfer.solver import Found, Solver
from trainables.transfer.solvers.v2v_lin import least_squares


class LinComb(Solver):
    """p_t = c E_t with the coefficients c of p_s ≈ c E_s over the common words.

    Lester et al. 2022, see :mod:`trainables.transfer.solvers.v2v_lin`. There are more words than
    dimensions, so that infinitely many c fit; the shortest is taken, as in the published code. That
    makes c = p_s E_s⁺ and p_t = p_s E_s⁺ E_t, in exact arithmetic the very prompt of ``v2v_lin``:
    the two rows of a table differ by rounding only. With several sources the results are averaged.
    """

    def solve(self, problem: Problem, settings: TransferSettings) -> Found:
        """One candidate."""
        del settings
        target = problem.target.words
        found = []
        for prompt, space in zip(problem.prompts, problem.spaces, strict=False):
            coefficients = least_squares(space.words.T, prompt.double().flatten(0, 1).T)
            found.append((coefficients.T @ target).view(problem.shape))
        return Found(torch.stack(found).mean(0)[None])

    def footprint(self, problem: Problem, settings: TransferSettings) -> int:
        """Coefficients of every common word."""
        del settings
        return 2 * problem.shape[1] * len(problem.target.words)
