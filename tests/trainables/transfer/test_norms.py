"""Lengths of carried vectors."""

import pytest
import torch

from tests.trainables.transfer import literal
from trainables.core.settings import TransferSettings
from trainables.testing.solver_contract import random_problem
from trainables.transfer import solve, solver_named


@pytest.mark.parametrize("solver", ["closed_form", "ridge", "v2v_lin"])
def test_ptfer_is_one_affine_map_of_each_matrix(solver: str) -> None:
    problem = random_problem(2, norm="ptfer")
    settings = TransferSettings(solver=solver, norm="ptfer")
    raw = solver_named(solver).solve(problem, settings).prompts
    found = solve(problem, settings).prompts
    for candidate, matrices in zip(raw, found, strict=True):
        for before, after in zip(candidate, matrices, strict=True):
            expected = literal.standardised(before, problem.target.table)
            torch.testing.assert_close(after, expected.float())


def test_ptfer_twice_is_ptfer() -> None:
    problem = random_problem(1, norm="ptfer")
    once = problem.finish(torch.randn(problem.shape).double())
    torch.testing.assert_close(problem.finish(once), once)


def test_own_leaves_the_vectors_alone() -> None:
    problem = random_problem(2, norm="own")
    settings = TransferSettings(solver="v2v_lin", norm="own")
    raw = solver_named("v2v_lin").solve(problem, settings).prompts
    torch.testing.assert_close(solve(problem, settings).prompts, raw.float())


def test_match_and_mean() -> None:
    matched = solve(random_problem(2), TransferSettings()).prompts[0].norm(dim=-1)
    problem = random_problem(2)
    relative = [
        prompt.norm(dim=-1) / space.table.norm(dim=1).mean()
        for prompt, space in zip(problem.prompts, problem.spaces, strict=False)
    ]
    scale = problem.target.table.norm(dim=1).mean()
    expected = (relative[0] + relative[1]) / 2 * scale
    torch.testing.assert_close(matched, expected.float())
    mean = solve(random_problem(2, norm="mean"), TransferSettings()).prompts[0].norm(dim=-1)
    torch.testing.assert_close(mean, torch.full_like(mean, float(scale)))


@pytest.mark.parametrize("norm", ["match", "mean", "ptfer"])
def test_zero_and_constant_vectors_stay_finite(norm: str) -> None:
    problem = random_problem(1, norm=norm)
    for filling in (0.0, 1.0):
        assert torch.isfinite(problem.finish(torch.full(problem.shape, filling))).all()
