"""Tuning on the target from a start of one's choice, with all labels or a few."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from tests.trainables.transfer.taught.problems import (
    TEXTS,
    late_mean,
    literal_logits,
    taught_problem,
)
from tests.trainables.transfer.taught.test_distil import counted
from trainables.core.frontier import Cost
from trainables.core.settings import TransferSettings
from trainables.errors import InputError
from trainables.tasks.shots import check_shots, drawn
from trainables.testing.solver_contract import SolverContract
from trainables.transfer import Problem, solve
from trainables.transfer.taught.starts import begun
from trainables.transfer.taught.tune import Tune

SETTINGS = TransferSettings(solver="tune", steps=5, batch_size=3, learning_rate=0.1)
THREE = [0, 1, 2, 2, 1, 0, 0, 1, 2, 0]


def with_three_classes(**more: object) -> Problem:
    return taught_problem(
        train=lambda data: replace(data, gold=torch.tensor(THREE)),
        **more,  # type: ignore[arg-type]
    )


class TestContract(SolverContract):
    settings = replace(SETTINGS, steps=8)
    stochastic = True
    alone = 1e-3

    def problem(self, sources: int) -> Problem:
        return taught_problem(sources)


class TestContractOfFewLabels(TestContract):
    settings = replace(SETTINGS, steps=8, shots=2, start="label_words")

    def problem(self, sources: int) -> Problem:
        return with_three_classes(sources=sources)


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_every_step_is_that_of_a_slow_loop(name: str) -> None:
    settings = replace(SETTINGS, shots=2)
    problem = with_three_classes(target=name)
    found, task = solve(problem, settings), problem.on_target
    order = Tune().course(problem, settings, 5).order
    rms = float(task.backbone.embeddings.norm(dim=1).mean()) / task.backbone.width**0.5
    for r in range(3):
        prompt = begun(problem, settings)[r].clone().requires_grad_()
        adam = torch.optim.Adam([prompt], lr=0.1 * rms)
        along, walked = {0: prompt.detach().clone()}, []
        for step in range(1, 6):
            losses = [
                F.cross_entropy(
                    literal_logits(name, prompt, task.train, row, task.label_ids)[None],
                    torch.tensor([THREE[row]]),
                )
                for row in order[step - 1, r].tolist()
            ]
            adam.zero_grad()
            torch.stack(losses).mean().backward()
            adam.step()
            walked.append(prompt.detach().clone())
            along[step] = late_mean(walked)
        for label, candidate in zip(found.labels, found.prompts, strict=True):
            torch.testing.assert_close(candidate[r], along[int(label or 0)], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("shots", [None, 1, 2])
def test_costs_are_the_rows_that_pass_and_the_labels_that_are_read(shots: int | None) -> None:
    problem, settings = with_three_classes(), replace(SETTINGS, shots=shots)
    with counted(problem.on_target.backbone) as rows:
        found = solve(problem, settings)
    assert list(found.costs[0]) == [Cost()] * 3
    last = found.costs[-1]
    assert rows["forward"] == sum(cost.target_forward_rows for cost in last) == 3 * 3 * 5
    assert rows["backward"] == sum(cost.target_backward_rows for cost in last)
    assert rows["tokens"] == sum(cost.target_forward_tokens for cost in last)
    order = Tune().course(problem, settings, 5).order
    for label, costs in zip(found.labels, found.costs, strict=True):
        for r, cost in enumerate(costs):
            read = set(order[: int(label or 0), r].flatten().tolist())
            assert cost.target_labels == len(read)
            assert cost.access == ("gradients" if label else "none")
    assert last[0].target_labels == (len(TEXTS) if shots is None else 3 * shots)


def test_shots_are_so_many_of_every_class_and_fewer_are_part_of_more() -> None:
    gold = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 0]
    few, more = drawn(1, gold, 3, seed=4), drawn(3, gold, 3, seed=4)
    assert Counter(gold[place] for place in more) == {0: 3, 1: 3, 2: 3}
    assert len(set(more.tolist())) == 9
    assert set(few.tolist()) <= set(more.tolist())
    assert drawn(None, gold, 3, seed=4).tolist() == list(range(12))
    assert drawn(3, gold, 3, seed=4).tolist() == more.tolist()
    others = {tuple(drawn(1, gold, 3, seed).tolist()) for seed in range(20)}
    assert len(others) > 5


def test_more_shots_than_the_smallest_class_has_are_refused() -> None:
    check_shots(4, [0, 1] * 4, 2)
    check_shots(None, [0, 1], 2)
    with pytest.raises(InputError) as told:
        check_shots(5, [0, 1] * 4 + [0], 2, "mini/reviews")
    assert str(told.value) == (
        "shots: found 5; allowed: at most 4, the examples of the smallest class in the training"
        " split of task 'mini/reviews'"
    )
    with pytest.raises(InputError, match=r"^shots: found 1; allowed: at most 0"):
        solve(taught_problem(), replace(SETTINGS, shots=1))  # no text is of the third class
