"""What every transfer solver must fulfil, as a test class to inherit.

A solver's contract test is::

    class TestRidge(SolverContract):
        settings = TransferSettings(solver="ridge")
"""

import itertools
from dataclasses import replace

import pytest
import torch

from trainables.core.frontier import COUNTED, Cost
from trainables.core.registries import SOLVERS
from trainables.core.settings import TransferSettings, stored, transfer_settings
from trainables.transfer import Candidates, Problem, Solver, Space, solve, solver_named
from trainables.words.relative import gram_matrices

WIDTHS = (8, 10, 7)
TARGET_WIDTH = 9


def random_problem(
    sources: int = 2,
    seed: int = 0,
    *,
    anchors: int = 120,
    replicas: int = 3,
    tokens: int = 2,
    noise: float = 0.7,
    norm: str = "match",
) -> Problem:
    """Random models whose words have some structure in common, and random source prompts.

    Args:
        sources: S, up to three.
        anchors: k; each table has some rows more.
        replicas: R, with the seeds 0, 1, …
        tokens: m.
        noise: what is each model's own; 0 makes the tables linear images of one another.
    """
    draw = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    latent = randn(anchors + 5, 6)
    widths = [*WIDTHS[:sources], TARGET_WIDTH]
    tables = [
        latent @ randn(6, width) + noise * randn(anchors + 5, width) + 0.1 for width in widths
    ]
    spaces = tuple(
        Space(float(table.norm(dim=1).mean()), f"model {place}", table, lambda: range(anchors))
        for place, table in enumerate(tables)
    )
    return Problem(
        prompts=tuple(randn(replicas, tokens, width).float() for width in widths[:-1]),
        spaces=spaces,
        grams=gram_matrices([space.anchors for space in spaces], torch.float64),
        seeds=tuple(range(replicas)),
        norm=norm,
    )


def reordered(problem: Problem, order: tuple[int, ...]) -> Problem:
    """The same problem with its sources in another order."""
    moved = [*order, problem.count]
    places = list(itertools.product(range(len(moved)), repeat=2))
    return replace(
        problem,
        prompts=tuple(problem.prompts[s] for s in order),
        spaces=tuple(problem.spaces[s] for s in moved),
        grams={(a, b): problem.grams[moved[a], moved[b]] for a, b in places},
    )


class SolverContract:
    """Tests of one solver; pytest collects the classes that inherit it.

    Attributes:
        settings: which solver, and how.
        stochastic: whether the result depends on the seed.
        order_free: whether it is independent of the order of the sources (masks of
            ``ptfer_release`` are not, by definition).
        alone: tolerance between a replica solved in a stack and by itself; rounding differs with
            the size of a matrix product, and a long search carries that on.
    """

    settings: TransferSettings
    stochastic: bool = False
    order_free: bool = True
    alone: float = 1e-5

    def problem(self, sources: int) -> Problem:
        """A problem with S sources; override for a solver that needs more."""
        return random_problem(sources)

    def solved(self, problem: Problem) -> Candidates:
        """All candidates under the settings of the class."""
        return solve(problem, self.settings)

    @pytest.mark.parametrize("sources", [1, 2, 3])
    def test_shape_type_and_range(self, sources: int) -> None:
        """[C, R, m, d_t] finite float32 vectors with finite similarities, one label each."""
        problem = self.problem(sources)
        found = self.solved(problem)
        assert found.prompts.shape == (len(found), *problem.shape)
        assert found.prompts.dtype == found.similarity.dtype == torch.float32
        assert found.similarity.shape == found.prompts.shape[:-1]
        assert torch.isfinite(found.prompts).all()
        assert float(found.similarity.abs().max()) <= 1.0 + 1e-5
        assert len(found.labels) == len(set(found.labels)) == len(found) >= 1
        assert 0 <= found.own < len(found)
        assert not found.prompts.requires_grad

    def test_deterministic(self) -> None:
        """Equal seeds, equal results."""
        first, second = (self.solved(self.problem(2)) for _ in range(2))
        assert torch.equal(first.prompts, second.prompts)

    def test_the_seed_is_the_only_randomness(self) -> None:
        """Another seed matters to a stochastic solver and to no other."""
        problem = self.problem(1)
        torch.manual_seed(99)
        moved = replace(problem, seeds=tuple(seed + 100 for seed in problem.seeds))
        first, second = self.solved(problem), self.solved(moved)
        assert torch.equal(first.prompts, second.prompts) != self.stochastic

    def test_order_of_sources_does_not_matter(self) -> None:
        """Three sources in any order; exactly equal, since solvers see them sorted."""
        problem = self.problem(3)
        straight = self.solved(problem).prompts
        for order in itertools.permutations(range(3)):
            turned = self.solved(reordered(problem, order)).prompts
            if self.order_free:
                assert torch.equal(turned, straight), f"order {order}"

    def test_a_replica_does_not_depend_on_the_stack(self) -> None:
        """Solved alone, a replica has the candidates it has among others."""
        problem = self.problem(2)
        stacked = self.solved(problem)
        for replica in range(problem.shape[0]):
            single = self.solved(problem.take(slice(replica, replica + 1)))
            torch.testing.assert_close(
                single.prompts[:, 0], stacked.prompts[:, replica], atol=self.alone, rtol=self.alone
            )

    def test_each_candidate_says_what_it_took(self) -> None:
        """A cost for every candidate and replica, never less than that of an earlier one; or none.

        A way that goes through the target has costs.
        """
        problem = self.problem(2)
        found, kind = self.solved(problem), SOLVERS[self.settings.solver]
        costs = found.costs
        assert costs or not (kind.anytime or kind.load().trains_on_target)
        if costs:
            assert len(costs) == len(found)
        for one in costs:
            assert len(one) == len(problem.seeds)
            assert all(isinstance(cost, Cost) for cost in one)
        for replica in range(len(problem.seeds) if costs else 0):
            rising = [cost[replica] for cost in costs]
            for name in COUNTED:
                values = [getattr(cost, name) for cost in rising]
                assert values == sorted(values), name

    def test_a_shorter_run_is_the_beginning_of_a_longer_one(self) -> None:
        """Where a run may be cut, it offers there what a run that ends there does."""
        name = SOLVERS[self.settings.solver].anytime
        if name is None:
            return
        whole = getattr(self.settings, name)
        half, solver = whole // 2, solver_named(self.settings.solver)
        assert isinstance(solver, Solver)
        long = self.solved(replace(self.problem(2), marks=(half, whole)))
        short = solve(self.problem(2), replace(self.settings, **{name: half}))
        cut = long.until(half, solver.common)
        assert cut.labels == short.labels
        assert cut.own == short.own
        assert torch.equal(cut.prompts, short.prompts)
        assert cut.costs == short.costs

    def test_registered_with_settings_that_survive_a_cell(self) -> None:
        """The name stands in the registry; stored settings give the settings back."""
        assert self.settings.solver in SOLVERS
        kept = {**stored(self.settings), "prompt_length": 5, "text_tokens": None}
        assert transfer_settings(kept) == self.settings
