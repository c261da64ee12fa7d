"""The projector trained through the target."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.trainables.tiny import tiny
from trainables.backbones import Encoded, Layout
from trainables.core.frontier import Cost
from trainables.core.settings import TransferSettings
from trainables.testing.solver_contract import SolverContract, random_problem
from trainables.transfer import Problem, Space, TargetTask, solve
from trainables.transfer.solvers import projector
from trainables.words.relative import gram_matrices, normalised_anchors
from trainables.words.vocabulary import common_vocabulary

TEXTS = ["a fine day", "the worst of it all", "good", "not bad , not good", "rain again", "why"]


def tiny_problem(sources: int) -> Problem:
    """Real backbones of random weights; the target is a GPT-2."""
    models = [tiny(name) for name in ("bert", "roberta", "llama")[:sources]] + [tiny("gpt2")]
    shared = common_vocabulary(models)
    spaces = tuple(
        Space(model.scale, model.alias, model.embeddings, lambda ids=ids: ids)
        for model, ids in zip(models, shared.ids, strict=True)
    )
    target = models[-1]

    def task() -> TargetTask:
        # One class for all: what a prompt can teach a model of random weights.
        train = target.read(TEXTS, [1] * len(TEXTS), Layout(prompt_length=2))
        return TargetTask(target, target.labels(("good", "bad"), "t"), train)

    draw = torch.Generator().manual_seed(0)
    return Problem(
        prompts=tuple(torch.randn(3, 2, model.width, generator=draw) for model in models[:-1]),
        spaces=spaces,
        grams=gram_matrices(normalised_anchors(models, shared), torch.float64),
        seeds=(0, 1, 2),
        target_task=task,
    )


class TestContract(SolverContract):
    settings = TransferSettings(solver="projector", steps=4)
    stochastic = True
    alone = 1e-3

    def problem(self, sources: int) -> Problem:
        return tiny_problem(sources)


@pytest.mark.slow
def test_training_lowers_the_loss_through_a_real_target() -> None:
    problem = tiny_problem(2)
    settings = TransferSettings(solver="projector", steps=30, learning_rate=3e-3)
    found = solve(problem, settings)
    assert found.labels == tuple(float(step) for step in range(3, 31, 3))
    task = problem.target_task()
    rows = torch.arange(len(TEXTS)).expand(3, -1)
    with torch.no_grad():
        losses = [projector.task_loss(one, task, rows).mean() for one in found.prompts]
        started = [projector.Projector._network(problem, source) for source in (0, 1)]
        begin = problem.finish(projector.project(problem, started))
        before = projector.task_loss(begin, task, rows).mean()
    assert float(losses[-1]) < 0.8 * float(before)
    assert float(losses[-1]) < float(losses[0])


def test_loss_against_a_row_at_a_time() -> None:
    problem = tiny_problem(1)
    task = problem.target_task()
    prompts = torch.randn(3, 2, problem.shape[2], generator=torch.Generator().manual_seed(3))
    rows = torch.tensor([[0, 1], [3, 2], [5, 5]])
    found = projector.task_loss(prompts, task, rows)
    for r in range(3):
        parts = []
        for row in rows[r]:
            batch = task.train.take(row[None])
            logits = task.backbone.label_logits(prompts[r : r + 1], batch, task.label_ids)[0, 0]
            parts.append(-torch.log_softmax(logits, 0)[batch.gold[0]])
        torch.testing.assert_close(found[r], torch.stack(parts).mean(), atol=1e-4, rtol=1e-4)


class LinearTarget:
    """A target that scores each class by the product of its whole prompt with row features."""

    def __init__(self, features: torch.Tensor) -> None:
        self.features = features

    def row_logits(
        self, batch: Encoded, label_ids: Any, prompts: torch.Tensor, owner: torch.Tensor
    ) -> torch.Tensor:
        del label_ids
        rows = self.features[batch.ids[:, 0]]
        return torch.einsum("nd,ncd->nc", prompts[owner].flatten(1), rows)


@pytest.mark.slow
def test_a_known_linear_relation_is_found_and_beats_chance() -> None:
    """Labels follow from the image A p_s of the source prompt; the projector sees labels only."""
    draw = torch.Generator().manual_seed(5)
    problem = random_problem(1, replicas=1)
    image = problem.prompts[0].flatten(1) @ torch.randn(16, 18, generator=draw)
    features = torch.randn(800, 3, 18, generator=draw)
    gold = torch.einsum("rd,ncd->nc", image, features).argmax(-1)
    known, held_out = torch.arange(500), torch.arange(500, 800)
    ones = torch.ones(500, dtype=torch.long)
    train = Encoded(known[:, None], ones, ones, ones, gold[known])
    task = TargetTask(LinearTarget(features), torch.arange(3), train)  # type: ignore[arg-type]
    problem = replace(problem, target_task=lambda: task)
    settings = TransferSettings(solver="projector", steps=150)
    found = solve(problem, settings).prompts

    def accuracy(prompts: torch.Tensor) -> float:
        scores = torch.einsum("rd,ncd->nc", prompts.flatten(1), features[held_out])
        return float((scores.argmax(-1) == gold[held_out]).float().mean())

    assert accuracy(found[-1]) > 0.8, "chance is a third"
    assert float(torch.cosine_similarity(found[-1].flatten(1), image)) > 0.8


def test_costs_are_the_examples_read_until_each_candidate() -> None:
    problem = tiny_problem(2)
    found = solve(problem, TransferSettings(solver="projector", steps=3))
    assert found.labels == (1, 2, 3)
    lengths = problem.target_task().train.lengths
    for step, costs in enumerate(found.costs, start=1):
        for seed, cost in zip(problem.seeds, costs, strict=True):
            rows = projector.batch_order(len(TEXTS), 3, seed)[:step].flatten().tolist()
            tokens = sum(int(lengths[row]) for row in rows)
            labels = len(set(rows))
            assert cost == Cost(16 * step, 16 * step, tokens, labels, access="gradients")


def test_it_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="needs the target's training split"):
        solve(random_problem(1), TransferSettings(solver="projector"))


def test_order_of_batches_covers_the_split_pass_by_pass() -> None:
    order = projector.batch_order(20, 5, seed=3)
    assert order.shape == (5, 16)
    for start in (0, 20, 40, 60):
        assert sorted(order.flatten()[start : start + 20].tolist()) == list(range(20))
    assert not torch.equal(order, projector.batch_order(20, 5, seed=4))
