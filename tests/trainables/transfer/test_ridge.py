"""Ridge solutions against literal solves."""

import pytest
import torch

from tests.trainables.transfer import literal
from trainables.core.settings import TransferSettings
from trainables.testing.solver_contract import random_problem
from trainables.transfer import Problem, solve, solver_named
from trainables.words.relative import relative_representation

GAMMAS = (0.0, 1e-3, 0.05, 1.0, 30.0)


def literal_ridge(problem: Problem, gamma: float, kept: torch.Tensor) -> torch.Tensor:
    """(ÂᵀÂ + γ ḡ I)⁻¹ Âᵀ mean_s r_s / |r_s| on the kept anchors, a token at a time."""
    found = torch.empty(problem.shape).double()
    for r in range(problem.shape[0]):
        for t in range(problem.shape[1]):
            rows = problem.target.anchors[kept[r, t] > 0]
            aim = torch.zeros(len(rows)).double()
            for prompt, space in zip(problem.prompts, problem.spaces, strict=False):
                values = relative_representation(prompt[r, t].double(), space.anchors)
                values = values[kept[r, t] > 0]
                aim += values / values.norm() / problem.count
            gram = rows.T @ rows
            unit = torch.linalg.eigvalsh(gram).mean()
            penalty = gamma * unit * torch.eye(len(gram)).double()
            found[r, t] = torch.linalg.solve(gram + penalty, rows.T @ aim)
    return found


@pytest.mark.parametrize("sources", [1, 2, 3])
@pytest.mark.parametrize(("top_k", "mask"), [(None, None), (30, None), (30, "ptfer_release")])
def test_each_gamma_against_a_literal_solve(
    sources: int, top_k: int | None, mask: str | None
) -> None:
    problem = random_problem(sources, seed=sources)
    settings = TransferSettings(solver="ridge", gammas=GAMMAS, top_k=top_k, mask=mask)
    found = solver_named("ridge").solve(problem, settings)
    assert found.labels == GAMMAS
    kept = literal.masks(problem, top_k, mask or "union")
    for gamma, prompts in zip(GAMMAS, found.prompts, strict=True):
        torch.testing.assert_close(prompts, literal_ridge(problem, gamma, kept))


@pytest.mark.parametrize("top_k", [None, 30])
def test_gamma_towards_0_is_the_closed_form(top_k: int | None) -> None:
    problem = random_problem(2)
    path = solve(problem, TransferSettings(solver="ridge", gammas=(1e-9, 0.0), top_k=top_k))
    closed = solve(problem, TransferSettings(top_k=top_k))
    assert path.labels == (0.0, 1e-9)
    for prompts in path.prompts:
        torch.testing.assert_close(prompts, closed.prompts[0], atol=1e-6, rtol=1e-5)


def test_similarity_falls_with_gamma_and_the_solver_takes_the_smallest() -> None:
    problem = random_problem(2)
    path = solve(problem, TransferSettings(solver="ridge", gammas=(1.0, 0.01, 100.0, 0.1)))
    assert path.labels == (0.01, 0.1, 1.0, 100.0)
    assert path.own == 0
    means = path.similarity.mean((1, 2)).tolist()
    assert means == sorted(means, reverse=True)
    assert means[0] - means[-1] > 0.01
    kept = literal.masks(problem, None, "union")
    for prompts, values in zip(path.prompts, path.similarity, strict=True):
        torch.testing.assert_close(
            literal.cosine(prompts, problem, kept).float(), values, atol=1e-5, rtol=1e-5
        )


def test_fewer_anchors_than_dimensions_stay_finite() -> None:
    problem = random_problem(2, anchors=5)
    path = solve(problem, TransferSettings(solver="ridge"))
    assert torch.isfinite(path.prompts).all()
    assert float(path.similarity[0].min()) > 0.2


def test_more_anchors_asked_for_than_there_are() -> None:
    problem = random_problem(2)
    every = solve(problem, TransferSettings(solver="ridge", top_k=8192))
    without = solve(problem, TransferSettings(solver="ridge"))
    torch.testing.assert_close(every.prompts, without.prompts, atol=1e-5, rtol=1e-5)
