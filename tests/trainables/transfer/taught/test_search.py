"""The search without gradients: its strategies, subspaces, fitness and what it counts."""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainables.tiny import tiny
from tests.trainables.transfer.taught.problems import (
    LABELS,
    LAYOUT,
    TEACHING,
    TEXTS,
    taught_problem,
)
from trainables.backbones import Backbone, Encoded
from trainables.core.registries import ALGORITHMS, SUBSPACES
from trainables.core.settings import TransferSettings, stored
from trainables.errors import InputError
from trainables.tasks.shots import drawn
from trainables.testing.solver_contract import SolverContract
from trainables.transfer import Problem, solve
from trainables.transfer.reading import own_logits
from trainables.transfer.selection import agreement
from trainables.transfer.taught.search import Search, Swarm, check_budget
from trainables.transfer.taught.starts import begun
from trainables.transfer.taught.subspaces import NEIGHBOURS
from trainables.words.frequent import frequent_words


def three_classes(data: Encoded) -> Encoded:
    """The training split with examples of each class."""
    return replace(data, gold=torch.arange(len(data)) % 3)


SMALL = TransferSettings(solver="search", budget=600, dimensions=4)
READ, SIZE = 6, 8
"""Texts of a replica that are not held out; points of a generation in 4 dimensions."""


@pytest.mark.slow
class TestContract(SolverContract):
    settings = replace(SMALL, budget=240)
    stochastic = True

    def problem(self, sources: int) -> Problem:
        return taught_problem(sources, "gpt2")


@pytest.mark.slow
class TestContractOfShots(SolverContract):
    settings = TransferSettings(
        solver="search", budget=240, dimensions=4, shots=2, subspace="sources", algorithm="sep_cma"
    )
    stochastic = True

    def problem(self, sources: int) -> Problem:
        return taught_problem(sources, "gpt2", train=three_classes)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_quadratic_is_solved(algorithm: str) -> None:
    bottoms = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]])
    swarm = Swarm(algorithm, 3, seeds=(0, 1))
    for _ in range(60):
        points = swarm.ask()
        swarm.tell(points, ((points - bottoms[:, None]) ** 2 * [1.0, 4.0, 9.0]).sum(-1))
    assert points.shape == (2, swarm.size, 3)
    np.testing.assert_allclose(swarm.means, bottoms, atol=1e-3)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_has_converged_and_losses_that_are_no_numbers_do_no_harm(algorithm: str) -> None:
    swarm = Swarm(algorithm, 2, seeds=(0,))
    for number in range(400):
        points = swarm.ask()
        losses = np.zeros(points.shape[:2]) if number % 2 else np.full(points.shape[:2], np.inf)
        swarm.tell(points, losses)
    assert np.isfinite(swarm.means).all()


def test_random_directions_have_the_variance_of_the_formula() -> None:
    problem, settings = taught_problem(target="gpt2"), replace(SMALL, dimensions=32)
    found = SUBSPACES["random"].load()(problem, settings)
    target = tiny("gpt2")
    assert found.shape == (3, 32, 2, target.width)
    rms = target.scale / math.sqrt(target.width)
    assert float(found.var()) == pytest.approx(rms**2 / 32, rel=0.1)
    # A first step, z normal, gives every entry the spread of an entry of the table.
    z = torch.randn(3, 400, 32, generator=torch.Generator().manual_seed(0)).double()
    steps = torch.einsum("rpj,rjmd->rpmd", z, found)
    assert float(steps.std()) == pytest.approx(rms, rel=0.1)
    assert abs(float(found.mean())) < 0.1 * float(found.std())


@pytest.mark.parametrize("name", ["sources", "words"])
def test_informed_directions_are_at_right_angles_and_as_long_as_random_ones(name: str) -> None:
    problem, settings = taught_problem(2, "gpt2"), replace(SMALL, dimensions=30)
    found = SUBSPACES[name].load()(problem, settings)
    assert found.shape == (3, 30, *problem.shape[1:])
    for own in found.flatten(2):
        length = problem.target.scale * math.sqrt(problem.shape[1] / 30)
        expected = length**2 * torch.eye(30, dtype=torch.float64)
        torch.testing.assert_close(own @ own.T, expected, atol=1e-8, rtol=0)


def test_directions_of_sources_span_what_each_prompt_becomes_alone() -> None:
    problem = taught_problem(2, "gpt2")
    found = SUBSPACES["sources"].load()(problem, replace(SMALL, dimensions=12))
    models = (tiny("bert"), tiny("roberta"))
    for source, model in enumerate(models):
        single = replace(
            problem,
            prompts=(problem.prompts[source],),
            spaces=(problem.spaces[source], problem.target),
            grams={
                (a, b): problem.grams[(source, 2)[a], (source, 2)[b]]
                for a in (0, 1)
                for b in (0, 1)
            },
        )
        assert single.prompts[0].shape[-1] == model.width
        carried = solve(single, TransferSettings()).prompts[0].double()
        for replica in range(3):
            for place in range(2):
                # 2 sources of 2 vectors span 4 directions, in 2 places: the first 8 of 12.
                own = found[replica, :8, place]
                for vector in carried[replica]:
                    left = vector - own.T @ (torch.linalg.pinv(own.T) @ vector)
                    assert float(left.norm()) < 1e-4 * float(vector.norm())
    assert torch.equal(found[:, 0, 1], torch.zeros_like(found[:, 0, 1])), "one token at a time"


def test_directions_of_words_lead_from_label_words_to_their_nearest() -> None:
    problem, target = taught_problem(target="gpt2"), tiny("gpt2")
    found = SUBSPACES["words"].load()(problem, replace(SMALL, dimensions=32))
    table = target.embeddings
    labels = target.labels(LABELS, "t").tolist()
    ways = []
    for label in labels:
        cosines = {
            word: float(torch.cosine_similarity(table[word], table[label], dim=0))
            for word in frequent_words(target)
            if word not in labels
        }
        nearest = sorted(cosines, key=cosines.__getitem__)[-NEIGHBOURS:]
        ways += [table[word] - table[label] for word in nearest]
    axes = torch.linalg.svd(torch.stack(ways).double(), full_matrices=False).Vh
    for number in range(4):
        first, second = found[0, 2 * number, 0], found[0, 2 * number + 1, 1]
        torch.testing.assert_close(first, second)
        cosine = torch.cosine_similarity(first, axes[number], dim=0)
        assert abs(float(cosine)) == pytest.approx(1.0, abs=1e-5)


def test_more_dimensions_than_there_are_become_those_there_are() -> None:
    problem = taught_problem(target="gpt2")
    whole = problem.shape[1] * problem.shape[2]
    for name in SUBSPACES:
        found = SUBSPACES[name].load()(problem, replace(SMALL, dimensions=10 * whole))
        assert found.shape[1] == whole


def literal_fitness(
    target: Backbone, prompt: torch.Tensor, problem: Problem, replica: int
) -> float:
    """Cross-entropy against the teacher on the texts not held out, a text at a time."""
    lesson = problem.on_target.lesson(SMALL)
    labels, total = target.labels(LABELS, "t"), 0.0
    for place, row in enumerate(lesson.rows[replica][:READ].tolist()):
        data = target.read([TEXTS[row]], [0], LAYOUT)
        logs = target.split_logits(data, labels, prompt[None])[0, 0].log_softmax(-1)
        total -= float((lesson.soft[replica][place] * logs).sum())
    return total / READ


@pytest.mark.slow
def test_the_search_of_one_replica_written_out() -> None:
    problem, target = taught_problem(target="gpt2"), tiny("gpt2")
    found = solve(problem, SMALL)
    replica = 2
    start = begun(problem, SMALL)[replica]
    directions = SUBSPACES["random"].load()(problem, SMALL)[replica]
    strategy = Swarm("cma", 4, seeds=(problem.seeds[replica],))

    def placed(z: np.ndarray) -> torch.Tensor:
        moved = sum(float(z[j]) * directions[j] for j in range(4))
        return start + moved.float()

    best, least, spent = start, literal_fitness(target, start, problem, replica), READ
    while spent + (SIZE + 1) * READ <= 600:
        points = strategy.ask()
        losses = [literal_fitness(target, placed(z), problem, replica) for z in points[0]]
        strategy.tell(points, np.array([losses]))
        mean = placed(strategy.means[0])
        loss = literal_fitness(target, mean, problem, replica)
        if loss < least:
            best, least = mean, loss
        spent += (SIZE + 1) * READ
    torch.testing.assert_close(found.prompts[found.own, replica], best, atol=1e-4, rtol=1e-4)
    assert found.costs[-1][replica].target_forward_rows == spent


@pytest.mark.slow
def test_a_teacher_within_the_subspace_is_approached_and_more_so_with_more() -> None:
    problem = taught_problem(target="gpt2")
    task, lesson = problem.on_target, problem.lesson(SMALL)
    directions = SUBSPACES["random"].load()(problem, SMALL)
    aims = begun(problem, SMALL) + 1.5 * directions.sum(1).float()
    logits = own_logits(task.backbone, task.label_ids, lesson.texts, lesson.rows, aims)
    soft = logits.softmax(-1)
    problem = taught_problem(target="gpt2", change=lambda lesson: replace(lesson, soft=soft))
    found = solve(replace(problem, marks=(60, 300, 4000)), replace(SMALL, budget=4000))
    assert found.labels == (60.0, 300.0, 1000.0, 2000.0, 4000.0)
    for replica in range(3):
        least, first, *rest = (
            literal_fitness(task.backbone, prompts[replica], problem, replica)
            for prompts in (aims, begun(problem, SMALL), *found.prompts)
        )
        assert all(a >= b - 1e-5 for a, b in itertools.pairwise((first, *rest)))
        assert rest[-1] - least < 0.2 * (first - least)


class Counting:
    """A target that counts the rows it is given."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone, self.rows, self.tokens = backbone, 0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backbone, name)

    def split_logits(self, data: Any, labels: Any, prompts: torch.Tensor) -> torch.Tensor:
        self.rows += len(prompts) * len(data)
        self.tokens += len(prompts) * int(data.lengths.sum())
        return self.backbone.split_logits(data, labels, prompts)


@pytest.mark.parametrize("budget", [60, 61, 113, 114, 400])
def test_the_budget_is_never_passed_and_counted_exactly(budget: int) -> None:
    problem = taught_problem(target="gpt2").take(slice(1, 2))
    counting = Counting(tiny("gpt2"))
    task = replace(problem.on_target, backbone=counting)  # type: ignore[arg-type]
    found = solve(replace(problem, target_task=lambda: task), replace(SMALL, budget=budget))
    cost = found.costs[-1][0]
    assert cost.target_forward_rows == counting.rows <= budget
    assert counting.rows > budget - (SIZE + 1) * READ
    assert cost.target_forward_tokens == counting.tokens
    assert cost.target_backward_rows == cost.target_labels == 0
    assert (cost.access, cost.source_rows) == ("labels", TEACHING.source_rows)


@pytest.mark.parametrize(("budget", "texts"), [(59, 6), (479, 48)])
def test_a_budget_below_one_generation_is_refused(budget: int, texts: int) -> None:
    with pytest.raises(InputError) as caught:
        check_budget(budget, texts, SMALL)
    assert str(caught.value) == (
        f"budget: found {budget}; allowed: at least {budget + 1}, for the start, a generation of 8"
        f" prompts and their mean, each on {texts} texts"
    )
    assert check_budget(budget + 1, texts, SMALL) == budget + 1
    with pytest.raises(InputError, match="budget: found 59"):
        solve(taught_problem(target="gpt2"), replace(SMALL, budget=59))
    with pytest.raises(InputError, match="texts: found 1, which is held out"):
        check_budget(budget, 0, SMALL)


def test_with_shots_a_few_labels_are_read_and_no_teacher() -> None:
    settings = replace(SMALL, shots=2, start="label_words")
    assert not settings.taught and not settings.aided
    assert not {"teacher", "texts", "texts_from"} & {*stored(settings)}
    problem, target = taught_problem(target="gpt2", train=three_classes), tiny("gpt2")

    def refuse(settings: TransferSettings) -> Any:
        raise AssertionError("the teacher was asked")

    task = replace(problem.on_target, lesson=refuse)
    problem = replace(problem, target_task=lambda: task)
    found = solve(problem, settings)
    labels, start = target.labels(LABELS, "t"), begun(problem, settings)
    gold = task.train.gold
    for replica, seed in enumerate(problem.seeds):
        rows = drawn(2, gold.tolist(), 3, seed)
        assert found.costs[-1][replica].target_labels == len(rows) == 6
        assert found.costs[-1][replica].unlabelled_texts == 0

        def loss(prompt: torch.Tensor, rows: torch.Tensor = rows) -> float:
            total = 0.0
            for row in rows:
                data = task.train.take(row[None])
                logits = target.split_logits(data, labels, prompt[None])[0, 0]
                total -= float(logits.log_softmax(-1)[gold[row]])
            return total / len(rows)

        assert loss(found.prompts[-1, replica]) < loss(start[replica])


def test_a_choice_by_agreement_among_searches_with_shots_pays_the_teacher_too() -> None:
    settings = replace(SMALL, shots=2, selection="agreement")
    assert settings.taught and settings.aided
    cost = solve(taught_problem(target="gpt2", train=three_classes), settings).costs[0][0]
    assert (cost.target_labels, cost.unlabelled_texts) == (6, 8)
    assert cost.source_rows == TEACHING.source_rows


def test_a_permuted_teacher_has_another_fitness() -> None:
    problem = taught_problem(target="gpt2")
    soft = problem.lesson(SMALL).soft
    turned = taught_problem(
        target="gpt2", change=lambda lesson: replace(lesson, soft=soft.roll(1, dims=1))
    )
    straight, other = (solve(one, replace(SMALL, budget=240)) for one in (problem, turned))
    assert not torch.equal(straight.prompts[-1], other.prompts[-1])
    assert agreement(soft.log(), soft).scores != agreement(soft.log(), soft.roll(1, 1)).scores


@pytest.mark.parametrize(
    ("label", "shared"), [(1000, True), (2000, True), (3000, False), (500, False), (64_000, True)]
)
def test_common_labels_are_powers_of_two_times_a_thousand(label: float, shared: bool) -> None:
    assert Search.common(label) is shared


def test_one_dimension_is_refused() -> None:
    with pytest.raises(InputError, match="dimensions: found 1; allowed"):
        TransferSettings(solver="search", dimensions=1)
