"""Optimisers against torch's and transformers', and against a literal uncorrected AdamW."""

from typing import Any

import pytest
import torch
import transformers

from trainables.compute.optim import (
    ElementwiseAdamW,
    ReplicaAdafactor,
    adafactor,
    adafactor_whole,
    adamw,
    clip_replicas,
    constant_schedule,
    inverse_root_schedule,
    linear_schedule,
)
from trainables.core.settings import SoftSettings, from_mapping
from trainables.recipes import recipe


def gradients(steps: int) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(4, 3, 5) * 10.0 ** (step % 3 - 1) for step in range(steps)]


def test_corrected_equals_torch() -> None:
    start = torch.randn(4, 3, 5)
    ours, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
    mine = ElementwiseAdamW([ours])
    reference = torch.optim.AdamW([theirs], weight_decay=0.0)
    for step, gradient in enumerate(gradients(20)):
        rate = 0.01 * (step + 1)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step(rate)
        reference.param_groups[0]["lr"] = rate
        reference.step()
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_weight_decay_equals_torch() -> None:
    start = torch.randn(4, 3, 5)
    ours, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
    mine = ElementwiseAdamW([ours], weight_decay=0.3)
    reference = torch.optim.AdamW([theirs], weight_decay=0.3)
    for step, gradient in enumerate(gradients(20)):
        rate = 0.01 * (step + 1)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step(rate)
        reference.param_groups[0]["lr"] = rate
        reference.step()
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
    plain = start.clone().requires_grad_()
    without = ElementwiseAdamW([plain])
    for step, gradient in enumerate(gradients(20)):
        plain.grad = gradient.clone()
        without.step(0.01 * (step + 1))
    assert (plain - ours).abs().max() > 0.1


def test_uncorrected_is_the_literal_recurrence() -> None:
    value = torch.tensor([0.5], requires_grad=True)
    optimiser = ElementwiseAdamW([value], bias_correction=False)
    m = v = 0.0
    x = 0.5
    for g in (1.0, -2.0, 0.5, 0.1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        x -= 0.01 * m / (v**0.5 + 1e-8)
        value.grad = torch.tensor([g])
        optimiser.step(0.01)
        assert float(value.detach()) == pytest.approx(x, rel=1e-5)


def test_first_uncorrected_step_is_larger_by_the_known_factor() -> None:
    steps = []
    for corrected in (True, False):
        value = torch.zeros(1, requires_grad=True)
        value.grad = torch.ones(1)
        ElementwiseAdamW([value], corrected).step(1.0)
        steps.append(-float(value.detach()))
    assert steps[1] / steps[0] == pytest.approx((1 - 0.9) / (1 - 0.999) ** 0.5, rel=1e-4)


def test_stacked_rows_do_not_meet() -> None:
    stacked = torch.zeros(4, 3, 5, requires_grad=True)
    whole = ElementwiseAdamW([stacked])
    rows = [torch.zeros(3, 5, requires_grad=True) for _ in range(4)]
    alone = [ElementwiseAdamW([row]) for row in rows]
    for gradient in gradients(5):
        stacked.grad = gradient.clone()
        whole.step(0.1)
        for index, (row, optimiser) in enumerate(zip(rows, alone, strict=True)):
            row.grad = gradient[index].clone()
            optimiser.step(0.1)
    for index, row in enumerate(rows):
        assert torch.equal(stacked[index], row)


def test_schedule_rises_to_one_and_falls_to_zero() -> None:
    factors = [linear_schedule(step, 100, 0.1) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[9] == pytest.approx(1.0)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] == pytest.approx(1 / 90)
    assert linear_schedule(0, 10, 0.0) == 1.0


def adafactor_of_transformers(parameter: torch.Tensor, weight_decay: float = 0.0) -> Any:
    return transformers.Adafactor(
        [parameter],
        lr=0.3,
        scale_parameter=False,
        relative_step=False,
        warmup_init=False,
        weight_decay=weight_decay,
    )


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adafactor_is_that_of_transformers_for_each_replica(weight_decay: float) -> None:
    start = torch.randn(4, 3, 5)
    stacked = start.clone().requires_grad_()
    ours = ReplicaAdafactor([stacked], weight_decay)
    rows = [row.clone().requires_grad_() for row in start]
    theirs = [adafactor_of_transformers(row, weight_decay) for row in rows]
    for gradient in gradients(20):
        gradient[1] = 0.0  # a replica that has stopped
        stacked.grad = gradient.clone()
        ours.step(0.3)
        for index, (row, optimiser) in enumerate(zip(rows, theirs, strict=True)):
            row.grad = gradient[index].clone()
            optimiser.step()
        torch.testing.assert_close(stacked, torch.stack(rows), atol=1e-5, rtol=1e-5)
    if not weight_decay:
        assert torch.equal(stacked[1], start[1])


def lester() -> SoftSettings:
    return from_mapping(SoftSettings, recipe("soft", "lester"))


def test_the_whole_adafactor_is_that_of_transformers_on_each_replica_as_one_row() -> None:
    """Only matrices are factored there: in one row, a prompt keeps all its second moments."""
    settings, start = lester(), torch.randn(4, 3, 5)
    stacked = start.clone().requires_grad_()
    ours = adafactor_whole([stacked], settings)
    rows = [row.flatten().clone().requires_grad_() for row in start]
    theirs = [adafactor_of_transformers(row, settings.weight_decay) for row in rows]
    clipped = 0
    for gradient in gradients(30):
        gradient[1] = 0.0  # a replica that has stopped
        stacked.grad = gradient.clone()
        before = stacked.detach().clone()
        ours.step(0.3)
        clipped += int(((stacked - before).flatten(1).square().mean(1).sqrt() > 0.299).sum())
        for index, (row, optimiser) in enumerate(zip(rows, theirs, strict=True)):
            row.grad = gradient[index].flatten().clone()
            optimiser.step()
        wanted = torch.stack(rows).view(4, 3, 5)
        torch.testing.assert_close(stacked, wanted, atol=1e-5, rtol=1e-5)
    assert clipped > 10, "updates that are scaled down must be among them"


def test_lester_is_the_released_update_written_out() -> None:
    """Shazeer & Stern's algorithm without factoring; 1e-5 is taken away whatever the rate."""
    settings = lester()
    assert settings.learning_rate * settings.weight_decay == pytest.approx(1e-5)
    prompt = 100 * torch.randn(1, 3, 5)
    mine = prompt.clone().requires_grad_()
    optimiser = adafactor_whole([mine], settings)
    value, second = prompt[0].double(), torch.zeros(3, 5).double()
    for step, gradient in enumerate(gradients(25), 1):
        mine.grad = gradient[:1].clone()
        optimiser.step(settings.learning_rate * constant_schedule(step - 1, 25, settings.warmup))
        given = gradient[0].double()
        beta = 1 - step**-0.8
        second = beta * second + (1 - beta) * (given**2 + 1e-30)
        update = given / second**0.5
        update = update / max(1.0, float((update**2).mean() ** 0.5))
        value = (1 - 1e-5) * value - 0.3 * update
    torch.testing.assert_close(mine[0].double(), value, atol=1e-4, rtol=1e-6)


@pytest.mark.parametrize("make", [adafactor, adafactor_whole, adamw])
def test_a_replica_gets_what_it_would_get_alone_also_when_others_leave(make: Any) -> None:
    start, settings = torch.randn(4, 3, 5), lester()
    stacked = start.clone().requires_grad_()
    alone = start[2:3].clone().requires_grad_()
    together, own = make([stacked], settings), make([alone], settings)
    kept = torch.tensor([0, 2])
    for step, gradient in enumerate(gradients(12)):
        if step == 6:
            stacked = stacked.detach()[kept].requires_grad_()
            together.keep([stacked], kept)
        scale = torch.tensor([1.0, 1e3, 1.0, 1e-3])[:, None, None] ** step
        given = gradient * scale
        stacked.grad = given[kept] if step >= 6 else given
        alone.grad = gradient[2:3].clone()
        together.step(0.3)
        own.step(0.3)
        place = 1 if step >= 6 else 2
        torch.testing.assert_close(stacked[place], alone[0], atol=1e-6, rtol=1e-6)
    assert (alone - start[2:3]).abs().max() > 0.5


def test_a_constant_rate_stays_after_its_warm_up() -> None:
    assert [constant_schedule(step, 10, 0.0) for step in range(10)] == [1.0] * 10
    warm = [constant_schedule(step, 20, 0.2) for step in range(20)]
    assert warm == [0.25, 0.5, 0.75, *[1.0] * 17]


def test_the_inverse_root_is_noams_schedule_up_to_a_factor() -> None:
    """min(s^-1/2, s w^-3/2) of step s = 1, 2, … with w steps of warm-up, over its highest value."""
    for warmup, rising in ((0.0, 1), (0.2, 4)):
        noam = [min(s**-0.5, s * rising**-1.5) for s in range(1, 21)]
        found = [inverse_root_schedule(step, 20, warmup) for step in range(20)]
        assert found == pytest.approx([value / max(noam) for value in noam])
    assert inverse_root_schedule(3, 10, 0.0) == 0.5


def test_adafactor_of_transformers_couples_what_ours_keeps_apart() -> None:
    start = torch.zeros(4, 3, 5)
    together = start.clone().requires_grad_()
    stacked = start.clone().requires_grad_()
    theirs, ours = adafactor_of_transformers(together), ReplicaAdafactor([stacked])
    for step, gradient in enumerate(gradients(3)):
        together.grad = gradient * torch.tensor([1.0, 10.0, 0.1, 3.0])[:, None, None] ** step
        stacked.grad = together.grad.clone()
        theirs.step()
        ours.step(0.3)
    assert (together - stacked).abs().max() > 0.05


def test_adafactors_step_does_not_know_the_gradients_size() -> None:
    small, large = (torch.zeros(1, 3, 5, requires_grad=True) for _ in range(2))
    for value, factor in ((small, 1e-6), (large, 1e6)):
        value.grad = factor * gradients(1)[0][:1]
        ReplicaAdafactor([value]).step(0.3)
    torch.testing.assert_close(small, large)
    assert float(small.detach().square().mean().sqrt()) == pytest.approx(0.3, rel=0.2)


def test_gradients_are_clipped_for_each_replica() -> None:
    (gradient,) = gradients(1)
    gradient[2] *= 1e-3
    (clipped,) = clip_replicas([gradient], 0.5)
    for index, row in enumerate(gradient):
        one = torch.zeros(3, 5, requires_grad=True)
        one.grad = row.clone()
        torch.nn.utils.clip_grad_norm_([one], 0.5)
        torch.testing.assert_close(clipped[index], one.grad)
    assert torch.equal(clipped[2], gradient[2])


def test_several_prompts_of_a_replica_are_clipped_by_their_norm_together() -> None:
    both = [gradients(1)[0], 3 * gradients(2)[1][..., :2]]
    clipped = clip_replicas(both, 0.5)
    for index in range(len(both[0])):
        alone = [torch.zeros_like(item[index], requires_grad=True) for item in both]
        for one, item in zip(alone, both, strict=True):
            one.grad = item[index].clone()
        torch.nn.utils.clip_grad_norm_(alone, 0.5)
        for one, item in zip(alone, clipped, strict=True):
            torch.testing.assert_close(item[index], one.grad)
