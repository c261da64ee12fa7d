"""The search as it was released by Wu et al. (ICLR 2024, PTfer)."""

import torch

from trainables.core.seeds import seeded
from trainables.core.settings import TransferSettings
from trainables.transfer.norms import ptfer
from trainables.transfer.objective import Objective, footprint, objective
from trainables.transfer.problem import Problem
from trainables.transfer.solver import Found, Solver

EVERY = 50
"""Steps between two candidates."""


class Adam(Solver):
    """Adam on the target vectors, from a Xavier-normal start.

    In each step the prompt's whole matrix is standardised to the scalar mean and standard deviation
    of the target's table, with gradient through it; the loss is the mean over tokens of
    1 - mean_s cos(r_t, r_s). The candidate of step t is the standardised matrix *before* update t,
    for t = 50, 100, … and the last step, as in the released loop. Without selection the last one is
    taken.

    The start depends on the seed alone. What is computed in a step is the same as with vectors of
    all anchors (see :mod:`trainables.transfer.objective`), at a cost that does not depend on them.
    """

    def solve(self, problem: Problem, settings: TransferSettings) -> Found:
        """Candidates along the search."""
        steps, rate = settings.steps or 1, settings.learning_rate or 0.0
        goal = objective(problem, settings)
        _, tokens, width = problem.shape
        variable = torch.stack([start(seed, tokens, width) for seed in problem.seeds])
        variable = variable.to(goal.wanted).requires_grad_()
        optimiser = torch.optim.Adam([variable], lr=rate)
        kept: dict[int, torch.Tensor] = {}
        for step in range(1, steps + 1):
            found = ptfer(variable, problem.lengths)
            if step % EVERY == 0 or step == steps:
                kept[step] = found.detach().clone()
            loss = search_loss(found, goal)
            optimiser.zero_grad()
            # A sum over replicas: each gets the gradient it would get alone.
            loss.sum().backward()
            optimiser.step()
        labels = tuple(float(step) for step in kept)
        return Found(torch.stack(list(kept.values())), labels, len(labels) - 1)

    def footprint(self, problem: Problem, settings: TransferSettings) -> int:
        """The quadratic form; the matrix, Adam's two moments and the graph of a step."""
        _, tokens, width = problem.shape
        return footprint(problem, settings) + 12 * tokens * width


def search_loss(found: torch.Tensor, goal: Objective) -> torch.Tensor:
    """Mean over tokens of 1 - cos: [R] from standardised prompts [R, m, d]."""
    return (1.0 - goal.cosine(found)).mean(-1)


def start(seed: int, tokens: int, width: int) -> torch.Tensor:
    """Xavier-normal matrix [m, d] of a seed, float32."""
    matrix = torch.empty(tokens, width)
    return torch.nn.init.xavier_normal_(matrix, generator=seeded("transfer", "adam", seed))
