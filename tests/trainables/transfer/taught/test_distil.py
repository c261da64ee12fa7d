"""Prompts that learn a teacher's label probabilities, against slow readings of what that means."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.trainables.tiny import tiny
from tests.trainables.transfer.taught.problems import (
    HELD,
    LABELS,
    TEACHING,
    late_mean,
    lesson_for,
    literal_logits,
    taught_problem,
)
from trainables.backbones import Backbone
from trainables.core.frontier import Cost
from trainables.core.settings import TransferSettings
from trainables.errors import InputError
from trainables.scoring.gradient import PassGradient
from trainables.scoring.losses import label_words
from trainables.testing.solver_contract import SolverContract
from trainables.transfer import Lesson, Problem, solve
from trainables.transfer.taught.distil import Distil, softened, text_order, towards
from trainables.transfer.taught.starts import begun

SETTINGS = TransferSettings(solver="distil", steps=5, batch_size=3, learning_rate=0.1)
BUDGET = 40
"""Tokens of a pass: few, so that a step takes several."""


class TestContract(SolverContract):
    settings = replace(SETTINGS, steps=8, start="carried", temperature=2.0)
    stochastic = True
    alone = 1e-3

    def problem(self, sources: int) -> Problem:
        return taught_problem(sources)


def every_row(lesson: Lesson) -> tuple[torch.Tensor, torch.Tensor]:
    """All texts of all replicas, and their keys."""
    return lesson.rows.flatten(), torch.arange(lesson.rows.numel())


def gradient_towards(
    backbone: Backbone, lesson: Lesson, prompts: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses of all texts and the gradient of their mean, as the solver has them."""
    label_ids = backbone.labels(LABELS, "t")
    soft = softened(lesson.soft, temperature).flatten(0, 1)
    passes = PassGradient(backbone, lesson.texts, towards(backbone, label_ids, soft, temperature))
    rows, keys = every_row(lesson)
    shares = torch.full((len(rows),), 1 / lesson.rows.shape[1])
    return passes(prompts, rows, shares, BUDGET, keys)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_objective_and_gradient_against_the_formula(name: str, temperature: float) -> None:
    backbone = tiny(name)
    lesson, label_ids = lesson_for(backbone), backbone.labels(LABELS, "t")
    prompts = torch.randn(3, 2, backbone.width, generator=torch.Generator().manual_seed(1))
    losses, slope = gradient_towards(backbone, lesson, prompts, temperature)
    for r in range(3):
        prompt, expected = prompts[r].clone().requires_grad_(), []
        for place, row in enumerate(lesson.rows[r].tolist()):
            logits = literal_logits(name, prompt, lesson.texts, row, label_ids)
            teacher = [float(t) ** (1 / temperature) for t in lesson.soft[r, place]]
            student = torch.log_softmax(logits / temperature, 0)
            expected.append(
                -sum(t / sum(teacher) * s for t, s in zip(teacher, student, strict=True))
                * temperature**2
            )
        mean = torch.stack(expected).mean()  # type: ignore[arg-type]
        torch.testing.assert_close(losses.view(3, -1)[r].mean(), mean, atol=1e-4, rtol=1e-4)
        (wanted,) = torch.autograd.grad(mean, prompt)
        torch.testing.assert_close(slope[r], wanted, atol=1e-4, rtol=1e-3)


def test_a_teacher_that_is_sure_is_the_loss_of_labels() -> None:
    backbone = tiny("bert")
    lesson, label_ids = lesson_for(backbone), backbone.labels(LABELS, "t")
    gold = lesson.soft.argmax(-1)
    sure = replace(lesson, soft=F.one_hot(gold, len(LABELS)).float())
    prompts = torch.randn(3, 2, backbone.width, generator=torch.Generator().manual_seed(1))
    losses, slope = gradient_towards(backbone, sure, prompts, 1.0)
    rows, _ = every_row(lesson)
    point = prompts.clone().requires_grad_()
    batch = replace(lesson.texts.take(rows), gold=gold.flatten())
    owner = torch.arange(3).repeat_interleave(lesson.rows.shape[1])
    expected = label_words(backbone, batch, label_ids, point, owner)
    torch.testing.assert_close(losses, expected.detach(), atol=1e-5, rtol=1e-5)
    (wanted,) = torch.autograd.grad(expected.view(3, -1).mean(1).sum(), point)
    torch.testing.assert_close(slope, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_a_target_that_teaches_itself_stays(temperature: float) -> None:
    backbone = tiny("bert")
    lesson, label_ids = lesson_for(backbone), backbone.labels(LABELS, "t")
    prompts = torch.randn(3, 2, backbone.width, generator=torch.Generator().manual_seed(1))
    rows, _ = every_row(lesson)
    owner = torch.arange(3).repeat_interleave(lesson.rows.shape[1])
    logits = backbone.row_logits(lesson.texts.take(rows), label_ids, prompts, owner)
    own = replace(lesson, soft=logits.view(*lesson.rows.shape, -1).softmax(-1))
    _, slope = gradient_towards(backbone, own, prompts, temperature)
    _, other = gradient_towards(backbone, lesson, prompts, temperature)
    assert float(slope.abs().max()) < 1e-4 * float(other.abs().max())


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_every_step_is_that_of_a_slow_loop(name: str) -> None:
    settings = replace(SETTINGS, steps=8, temperature=2.0)
    problem = taught_problem(1, name)
    found, task = solve(problem, settings), problem.on_target
    assert found.labels == (0, 1, 2, 4, 8)
    lesson, label_ids = problem.lesson(settings), task.label_ids
    order = text_order(lesson, problem.seeds, 8, 3)
    rms = float(task.backbone.embeddings.norm(dim=1).mean()) / task.backbone.width**0.5
    for r in range(3):
        prompt = begun(problem, settings)[r].clone().requires_grad_()
        adam = torch.optim.Adam([prompt], lr=0.1 * rms)
        along, walked = {0: prompt.detach().clone()}, []
        for step in range(1, 9):
            losses = []
            for place in order[step - 1, r].tolist():
                row = int(lesson.rows[r, place])
                logits = literal_logits(name, prompt, lesson.texts, row, label_ids)
                teacher = lesson.soft[r, place] ** 0.5
                student = torch.log_softmax(logits / 2.0, 0)
                losses.append(-4.0 * (teacher / teacher.sum() * student).sum())
            adam.zero_grad()
            torch.stack(losses).mean().backward()
            adam.step()
            walked.append(prompt.detach().clone())
            along[step] = late_mean(walked)
        for label, candidate in zip(found.labels, found.prompts, strict=True):
            torch.testing.assert_close(candidate[r], along[int(label or 0)], atol=1e-3, rtol=1e-3)
        assert float((along[8] - along[0]).abs().max()) > 0.1 * rms


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_garbage_for_labels_changes_nothing(name: str) -> None:
    draw = torch.Generator().manual_seed(9)

    def spoilt(data: Any) -> Any:
        return replace(data, gold=torch.randint(0, 3, (len(data),), generator=draw))

    def all_spoilt(lesson: Lesson) -> Lesson:
        return replace(lesson, texts=spoilt(lesson.texts), plain=spoilt(lesson.plain))

    clean = solve(taught_problem(1, name), SETTINGS)
    dirty = solve(taught_problem(1, name, all_spoilt, spoilt), SETTINGS)
    assert torch.equal(clean.prompts, dirty.prompts)
    assert clean.costs == dirty.costs


def test_texts_held_out_are_not_learnt() -> None:
    def other(lesson: Lesson) -> Lesson:
        rows, soft = lesson.rows.clone(), lesson.soft.clone()
        rows[:, -HELD:] = rows[:, -HELD:].flip(1)
        soft[:, -HELD:] = 1 / 3
        return replace(lesson, rows=rows, soft=soft)

    left, right = (
        solve(problem, SETTINGS) for problem in (taught_problem(1, "bert", other), taught_problem())
    )
    assert torch.equal(left.prompts, right.prompts)


def test_no_text_to_learn_is_said() -> None:
    problem = taught_problem(1, "bert", lambda lesson: replace(lesson, held=8))
    with pytest.raises(InputError, match=r"^texts: found 8, all of them held out; allowed: 2"):
        solve(problem, SETTINGS)


@contextmanager
def counted(backbone: Backbone) -> Iterator[dict[str, int]]:
    """Rows and tokens that pass the body of a masked model, and rows that come back."""
    found = {"forward": 0, "backward": 0, "tokens": 0}

    def passed(module: Any, args: Any, given: dict[str, Any], out: Any) -> None:
        embeds, mask = given["inputs_embeds"], given["attention_mask"]
        found["forward"] += len(embeds)
        found["tokens"] += (
            embeds.shape[0] * embeds.shape[1] if mask is None else int((mask == 0).sum())
        )

        def came_back(slope: torch.Tensor) -> None:
            found["backward"] += len(slope)

        out.last_hidden_state.register_hook(came_back)

    body = backbone.family.model.base_model
    hook = body.register_forward_hook(passed, with_kwargs=True)
    try:
        yield found
    finally:
        hook.remove()


def test_rows_and_tokens_are_those_that_pass_the_model() -> None:
    problem = taught_problem()
    with counted(problem.on_target.backbone) as rows:
        found = solve(problem, SETTINGS)
    assert found.labels == (0, 1, 2, 4, 5)
    assert list(found.costs[0]) == [TEACHING] * 3
    last = found.costs[-1]
    assert rows["forward"] == sum(cost.target_forward_rows for cost in last) == 3 * 3 * 5
    assert rows["backward"] == sum(cost.target_backward_rows for cost in last)
    assert rows["tokens"] == sum(cost.target_forward_tokens for cost in last)
    for cost in last:
        tokens = cost.target_forward_tokens
        assert cost == TEACHING + Cost(15, 15, tokens, access="gradients")


def constant(replica: int) -> Any:
    def change(lesson: Lesson) -> Lesson:
        soft = lesson.soft.clone()
        soft[replica, :, 1] += 1.0
        return replace(lesson, soft=soft / soft.sum(-1, keepdim=True))

    return change


def test_a_teacher_of_one_class_is_not_followed_unless_asked_for() -> None:
    plain = Distil().solve(taught_problem(), SETTINGS)
    kept = Distil().solve(taught_problem(change=constant(1)), SETTINGS)
    followed = Distil().solve(
        taught_problem(change=constant(1)), replace(SETTINGS, degenerate="distil")
    )
    said = [{"teacher_degenerate": place == 1} for place in range(3)]
    assert list(kept.numbers) == list(followed.numbers) == said
    assert torch.equal(kept.prompts[:, 1], plain.prompts[:1, 1].expand(5, -1, -1))
    assert [costs[1] for costs in kept.costs] == [TEACHING] * 5
    for place in (0, 2):
        torch.testing.assert_close(
            kept.prompts[:, place], plain.prompts[:, place], atol=1e-3, rtol=1e-3
        )
        assert [costs[place] for costs in kept.costs] == [costs[place] for costs in plain.costs]
    assert not torch.equal(followed.prompts[-1, 1], followed.prompts[0, 1])
    every = taught_problem(change=lambda lesson: constant(0)(constant(1)(constant(2)(lesson))))
    with counted(every.on_target.backbone) as rows:
        still = solve(every, SETTINGS)
    assert rows["forward"] == 0
    assert torch.equal(still.prompts, plain.prompts[:1].expand(5, -1, -1, -1))


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_a_replica_that_is_not_finite_disturbs_no_other(name: str) -> None:
    settings = replace(SETTINGS, start="carried")
    sound = taught_problem(1, name)
    prompts = sound.prompts[0].clone()
    prompts[1, 0, 0] = torch.nan
    broken = solve(replace(sound, prompts=(prompts,)), settings).prompts
    whole = solve(sound, settings).prompts
    assert not broken[:, 1].isfinite().all()
    assert torch.equal(broken[:, [0, 2]], whole[:, [0, 2]])


def test_marks_are_offered_beside_the_powers_of_two() -> None:
    found = solve(replace(taught_problem(), marks=(3, 6)), SETTINGS)
    assert found.labels == (0, 1, 2, 3, 4, 6)
    assert found.own == 5
