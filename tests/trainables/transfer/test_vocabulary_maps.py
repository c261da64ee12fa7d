"""Maps between vocabularies (Recycling) against literal readings."""

import pytest
import torch

from trainables.core.settings import TransferSettings
from trainables.testing.solver_contract import random_problem
from trainables.transfer import Problem, Space, solve, solver_named
from trainables.transfer.solvers import v2v_nn
from trainables.transfer.solvers.v2v_lin import least_squares


def found_by(solver: str, problem: Problem) -> torch.Tensor:
    return solver_named(solver).solve(problem, TransferSettings(solver=solver)).prompts[0]


def test_v2v_lin_against_lstsq() -> None:
    for sources in (1, 2, 3):
        problem = random_problem(sources)
        expected = torch.zeros(problem.shape).double()
        for prompt, space in zip(problem.prompts, problem.spaces, strict=False):
            fit = torch.linalg.lstsq(space.words, problem.target.words)
            expected += prompt.double() @ fit.solution / sources
        torch.testing.assert_close(found_by("v2v_lin", problem), expected)


def test_lin_comb_against_lstsq() -> None:
    """Coefficients of every token by themselves, then the same on the target's words."""
    for sources in (1, 2, 3):
        problem = random_problem(sources)
        expected = torch.zeros(problem.shape).double()
        for prompt, space in zip(problem.prompts, problem.spaces, strict=False):
            for r in range(problem.shape[0]):
                for t in range(problem.shape[1]):
                    wide = prompt[r, t].double()
                    fit = torch.linalg.lstsq(space.words.T, wide[:, None], driver="gelsd")
                    coefficients = fit.solution[:, 0]
                    torch.testing.assert_close(coefficients @ space.words, wide)
                    expected[r, t] += coefficients @ problem.target.words / sources
        torch.testing.assert_close(found_by("lin_comb", problem), expected)


def test_lin_comb_and_v2v_lin_are_one_map() -> None:
    for anchors in (120, 5):
        problem = random_problem(2, anchors=anchors)
        torch.testing.assert_close(found_by("lin_comb", problem), found_by("v2v_lin", problem))


def test_least_squares_of_deficient_rank_is_the_shortest() -> None:
    left = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).double()
    left = torch.cat([left, left[:, :2].sum(1, keepdim=True)], dim=1)
    right = torch.arange(12.0).double().view(6, 2)
    expected = torch.linalg.pinv(left) @ right
    torch.testing.assert_close(least_squares(left, right), expected)


def test_linear_maps_are_exact_where_the_relation_is_linear() -> None:
    problem = linear_problem()
    expected = problem.prompts[0].double() @ MAP
    for solver in ("v2v_lin", "lin_comb"):
        torch.testing.assert_close(found_by(solver, problem), expected)


MAP = torch.randn(8, 9, generator=torch.Generator().manual_seed(4)).double() / 8**0.5


def linear_problem() -> Problem:
    """One source of 3,000 words; the target's words are their images under MAP."""
    problem = random_problem(1, anchors=3000)
    source = problem.spaces[0]
    table = source.table @ MAP
    scale = float(table.norm(dim=1).mean())
    target = Space(scale, "image", table, source.shared)
    return Problem(problem.prompts, (source, target), problem.grams, problem.seeds)


@pytest.mark.slow
def test_v2v_nn_learns_a_linear_relation() -> None:
    problem = linear_problem()
    source, target = problem.spaces
    generators = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    before = v2v_nn._initial(8, 9, generators)
    after = v2v_nn.train(source, target, [0, 1])

    def error(network: list[torch.Tensor]) -> torch.Tensor:
        images = v2v_nn.apply(network, source.words.float().expand(2, -1, -1))
        return (images - target.words.float()).square().mean((1, 2))

    assert (error(after) < 0.2 * error(before)).all()
    words = source.words[:3].float()[:, None].expand(3, 2, 8)
    named = Problem((words,), problem.spaces, problem.grams, problem.seeds)
    expected = words @ MAP.float()
    cosine = torch.cosine_similarity(found_by("v2v_nn", named), expected, dim=-1)
    assert float(cosine.min()) > 0.8, "chance is 0"


@pytest.mark.slow
def test_v2v_nn_has_the_published_shape() -> None:
    problem = linear_problem()
    network = v2v_nn.train(*problem.spaces, [3])
    assert [tuple(weight.shape) for weight in network] == [
        (1, 8, 36),
        (1, 1, 36),
        (1, 36, 9),
        (1, 1, 9),
    ]
    first, bias, second, last = (weight[0] for weight in network)
    row = problem.prompts[0][0, 0]
    hidden = torch.clamp(row @ first + bias[0], min=0)
    expected = hidden @ second + last[0]
    torch.testing.assert_close(v2v_nn.apply(network, row[None, None])[0, 0], expected)


@pytest.mark.slow
def test_maps_beat_chance_in_similarity() -> None:
    """Two models with much structure in common: nearer than a random direction."""
    problem = random_problem(1, anchors=1500, noise=0.4)
    chance = float(problem.similarity(torch.randn(50, *problem.shape)).abs().mean())
    best = solve(problem, TransferSettings()).similarity.mean()
    for solver in ("v2v_lin", "lin_comb", "v2v_nn"):
        mean = solve(problem, TransferSettings(solver=solver)).similarity.mean()
        assert chance + 0.1 < float(mean) <= float(best)
