"""The element-wise optimiser against torch, and against a literal uncorrected AdamW."""

import pytest
import torch

from trainables.optim import ElementwiseAdamW, linear_schedule


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
