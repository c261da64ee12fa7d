"""Slow readings of the equations, over all k anchors and one source and token at a time."""

import torch

from trainables.transfer import Problem
from trainables.words.relative import relative_representation


def masks(problem: Problem, top_k: int | None, mask: str) -> torch.Tensor:
    """float64 [R, m, k]: 1 for the anchors a token is compared on."""
    replicas, tokens, _ = problem.shape
    count = len(problem.target.anchors)
    kept = torch.zeros(replicas, tokens, count).double()
    if top_k is None:
        return kept + 1
    sources = range(problem.count) if mask == "union" else [problem.last % problem.count]
    for r in range(replicas):
        for t in range(tokens):
            for s in sources:
                values = relative_representation(
                    problem.prompts[s][r, t].double(), problem.spaces[s].anchors
                )
                ranked = sorted(zip(values.tolist(), range(count), strict=True), reverse=True)
                for _, index in ranked[:top_k]:
                    kept[r, t, index] = 1
    return kept


def cosine(found: torch.Tensor, problem: Problem, kept: torch.Tensor) -> torch.Tensor:
    """Mean over sources of the cosine between masked relative representations, [R, m]."""
    mine = relative_representation(found.double(), problem.target.anchors) * kept
    parts = []
    for prompt, space in zip(problem.prompts, problem.spaces, strict=False):
        wanted = relative_representation(prompt.double(), space.anchors) * kept
        parts.append(torch.cosine_similarity(mine, wanted, dim=-1))
    return torch.stack(parts).mean(0)


def standardised(matrix: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """One prompt's matrix [m, d] with the scalar mean and deviation of a table."""
    return (matrix - matrix.mean()) / matrix.std() * table.std() + table.mean()


def search(
    problem: Problem, starts: list[torch.Tensor], kept: torch.Tensor, steps: int, rate: float
) -> list[dict[int, torch.Tensor]]:
    """The released loop, a replica at a time: per replica, the candidate before every update."""
    table = problem.target.table.double()
    paths = []
    for r, begin in enumerate(starts):
        variable = begin.double().clone().requires_grad_()
        optimiser = torch.optim.Adam([variable], lr=rate)
        path = {}
        for step in range(1, steps + 1):
            found = standardised(variable, table)
            path[step] = found.detach().clone()
            mine = relative_representation(found, problem.target.anchors) * kept[r]
            loss = torch.zeros(()).double()
            for prompt, space in zip(problem.prompts, problem.spaces, strict=False):
                wanted = relative_representation(prompt[r].double(), space.anchors) * kept[r]
                cos = torch.nn.CosineEmbeddingLoss()
                loss = loss + cos(mine, wanted, torch.ones(len(mine))) / problem.count
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        paths.append(path)
    return paths
