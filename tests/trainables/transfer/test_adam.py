"""The released search: step by step against a literal loop, and against the closed form."""

import pytest
import torch

from tests.trainables.transfer import literal
from trainables.core.settings import TransferSettings
from trainables.testing.solver_contract import random_problem, reordered
from trainables.transfer import solve, solver_named
from trainables.transfer.objective import objective
from trainables.transfer.solvers.adam import search_loss, start

MASKS = [(None, None), (40, None), (40, "ptfer_release")]


@pytest.mark.slow
@pytest.mark.parametrize("sources", [1, 2, 3])
@pytest.mark.parametrize(("top_k", "mask"), MASKS)
def test_each_candidate_against_the_literal_loop(
    sources: int, top_k: int | None, mask: str | None
) -> None:
    problem = random_problem(sources, seed=sources)
    settings = TransferSettings(solver="adam", steps=120, top_k=top_k, mask=mask)
    found = solver_named("adam").solve(problem, settings)
    assert found.labels == (50.0, 100.0, 120.0)
    assert found.own == 2
    starts = [start(seed, *problem.shape[1:]) for seed in problem.seeds]
    kept = literal.masks(problem, top_k, mask or "union")
    paths = literal.search(problem, starts, kept, 120, 5e-3)
    for step, prompts in zip(found.labels, found.prompts, strict=True):
        expected = torch.stack([path[int(step)] for path in paths])
        torch.testing.assert_close(prompts, expected, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize(("top_k", "mask"), MASKS)
def test_loss_is_the_mean_of_one_minus_cosine(top_k: int | None, mask: str | None) -> None:
    problem = random_problem(3)
    settings = TransferSettings(solver="adam", top_k=top_k, mask=mask)
    anywhere = torch.randn(problem.shape, generator=torch.Generator().manual_seed(1)).double()
    kept = literal.masks(problem, top_k, mask or "union")
    expected = (1 - literal.cosine(anywhere, problem, kept)).mean(-1)
    torch.testing.assert_close(search_loss(anywhere, objective(problem, settings)), expected)


def test_start_is_xavier_normal() -> None:
    matrices = torch.stack([start(seed, 10, 40) for seed in range(50)])
    assert float(matrices.std()) == pytest.approx((2 / 50) ** 0.5, rel=0.02)
    assert abs(float(matrices.mean())) < 0.005


def test_candidates_have_the_tables_moments() -> None:
    problem = random_problem(2, norm="ptfer")
    found = solve(problem, TransferSettings(solver="adam", steps=60, norm="ptfer"))
    table = problem.target.table
    assert found.labels == (50.0, 60.0)
    for matrix in found.prompts.flatten(0, 1):
        assert float(matrix.mean()) == pytest.approx(float(table.mean()), abs=1e-5)
        assert float(matrix.std()) == pytest.approx(float(table.std()), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("sources", [1, 2, 3])
@pytest.mark.parametrize(("top_k", "mask"), MASKS)
def test_closed_form_is_at_least_as_near_as_2000_steps(
    sources: int, top_k: int | None, mask: str | None
) -> None:
    problem = random_problem(sources, seed=10 + sources)
    kept = literal.masks(problem, top_k, mask or "union")
    shared = {"top_k": top_k, "mask": mask}
    closed = solve(problem, TransferSettings(**shared))
    searched = solve(problem, TransferSettings(solver="adam", **shared))
    best = literal.cosine(closed.prompts[0], problem, kept)
    for prompts in searched.prompts:
        assert (best >= literal.cosine(prompts, problem, kept) - 1e-4).all()
    last = literal.cosine(searched.prompts[searched.own], problem, kept)
    assert float(last.mean()) > 0.3, "the search must have found something"
    assert float(best.mean() - last.mean()) < 0.05


@pytest.mark.slow
def test_mask_of_the_released_code_is_the_last_sources() -> None:
    """By definition the order matters there, and the order it was given counts, not the keys'."""
    problem = random_problem(2)
    settings = TransferSettings(solver="adam", steps=60, top_k=20, mask="ptfer_release")
    turned = reordered(problem, (1, 0))
    first, second = solve(problem, settings).prompts, solve(turned, settings).prompts
    assert float((first - second).abs().max()) > 1e-3
    kept = literal.masks(turned, 20, "ptfer_release")
    starts = [start(seed, *problem.shape[1:]) for seed in problem.seeds]
    expected = literal.search(turned, starts, kept, 60, 5e-3)
    for found, path in zip(second[-1], expected, strict=True):
        cosine = torch.cosine_similarity(found.double(), path[60], dim=-1)
        torch.testing.assert_close(cosine, torch.ones_like(cosine))
