"""Optimisers and schedules that act on every replica of a stack by itself.

Both are found by name: :data:`trainables.core.registries.OPTIMISERS` and ``SCHEDULES``.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch


class Optimiser(Protocol):
    """An optimiser that acts on every replica by itself."""

    def step(self, rate: float) -> None:
        """One update from the parameters' ``.grad``, which is cleared."""

    def keep(self, parameters: Sequence[torch.Tensor], rows: torch.Tensor) -> None:
        """Go on with some replicas: their ``parameters``, and which ``rows`` these were."""


class ElementwiseAdamW:
    """AdamW, with or without bias correction.

    Every operation is element-wise, so that replicas stacked in one tensor never meet. Weight decay
    is decoupled and comes before the update, as in ``torch.optim.AdamW``.
    ``bias_correction=False`` is the AdamW of transformers 3 (``correct_bias=False``) that
    OptiPrompt used and that torch does not have: its first steps are (1-β₁)/√(1-β₂) ≈ 3.2 times
    larger.
    """

    def __init__(
        self,
        parameters: Sequence[torch.Tensor],
        bias_correction: bool = True,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        """State for ``parameters``, whose ``.grad`` each step reads."""
        self.parameters = list(parameters)
        self.betas = betas
        self.eps = eps
        self.bias_correction = bias_correction
        self.weight_decay = weight_decay
        self.count = 0
        self.first = [torch.zeros_like(item) for item in self.parameters]
        self.second = [torch.zeros_like(item) for item in self.parameters]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        self.count += 1
        low, high = self.betas
        size, floor = rate, 1.0
        if self.bias_correction:
            size = rate / (1.0 - low**self.count)
            floor = (1.0 - high**self.count) ** 0.5
        for parameter, first, second in zip(self.parameters, self.first, self.second, strict=True):
            gradient = parameter.grad
            if gradient is None:
                continue
            first.mul_(low).add_(gradient, alpha=1.0 - low)
            second.mul_(high).addcmul_(gradient, gradient, value=1.0 - high)
            if self.weight_decay:
                parameter.mul_(1.0 - rate * self.weight_decay)
            parameter.addcdiv_(first, second.sqrt().div_(floor).add_(self.eps), value=-size)
            parameter.grad = None

    def keep(self, parameters: Sequence[torch.Tensor], rows: torch.Tensor) -> None:
        """Go on with some replicas: their ``parameters``, and which ``rows`` these were."""
        self.parameters = list(parameters)
        self.first = [item[rows] for item in self.first]
        self.second = [item[rows] for item in self.second]


class ReplicaAdafactor:
    """Adafactor (Shazeer & Stern 2018) at a given rate, for stacks of replicas.

    It is that of transformers with ``scale_parameter=False``, ``relative_step=False`` and no first
    moment, which PEZ's released code uses. torch's own scales the rate by the parameter's size and
    caps it by 1/√t. The second moment of a replica's gradient [m, d] is kept as its means over rows
    and columns (*factored*), or as it is where it has another shape or is not to be factored. An
    update with a root mean square above 1 is scaled down to it. All of it is taken for each replica
    by itself.
    """

    EPS = 1e-30
    CLIP = 1.0
    DECAY = 0.8

    def __init__(
        self,
        parameters: Sequence[torch.Tensor],
        weight_decay: float = 0.0,
        factored: bool = True,
    ) -> None:
        """State for ``parameters`` [R, ...], whose ``.grad`` each step reads."""
        self.parameters = list(parameters)
        self.weight_decay = weight_decay
        self.count = 0
        self.second: list[tuple[torch.Tensor, ...]] = [
            (torch.zeros_like(item[..., 0]), torch.zeros_like(item[:, 0]))
            if factored and item.dim() == 3
            else (torch.zeros_like(item),)
            for item in self.parameters
        ]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        self.count += 1
        fresh = self.count**-self.DECAY
        for parameter, second in zip(self.parameters, self.second, strict=True):
            gradient = parameter.grad
            if gradient is None:
                continue
            square = gradient.square() + self.EPS
            if len(second) == 1:
                second[0].lerp_(square, fresh)
                update = gradient * second[0].rsqrt()
            else:
                row, column = second
                row.lerp_(square.mean(2), fresh)
                column.lerp_(square.mean(1), fresh)
                by_row = (row / row.mean(1, keepdim=True)).rsqrt()
                update = gradient * by_row[:, :, None] * column.rsqrt()[:, None, :]
            size = update.square().mean(tuple(range(1, update.dim())), keepdim=True).sqrt()
            update = update / (size / self.CLIP).clamp(min=1.0)
            if self.weight_decay:
                parameter.mul_(1.0 - rate * self.weight_decay)
            parameter.sub_(update, alpha=rate)
            parameter.grad = None

    def keep(self, parameters: Sequence[torch.Tensor], rows: torch.Tensor) -> None:
        self.parameters = list(parameters)
        self.second = [tuple(item[rows] for item in second) for second in self.second]


def adamw(parameters: Sequence[torch.Tensor], settings: Any) -> Optimiser:
    """AdamW, with ``bias_correction`` unless the settings have one that says no."""
    correct = getattr(settings, "bias_correction", True)
    return ElementwiseAdamW(parameters, correct, settings.weight_decay)


def adafactor(parameters: Sequence[torch.Tensor], settings: Any) -> Optimiser:
    """Adafactor with a factored second moment: PEZ's released code for text."""
    return ReplicaAdafactor(parameters, settings.weight_decay)


def adafactor_whole(parameters: Sequence[torch.Tensor], settings: Any) -> Optimiser:
    """Adafactor that keeps every gradient's second moment: Lester et al.'s released code."""
    return ReplicaAdafactor(parameters, settings.weight_decay, factored=False)


def clip_replicas(gradients: Sequence[torch.Tensor], limit: float) -> list[torch.Tensor]:
    """Gradients [R, ...], each replica's scaled down to norm ``limit`` over all if it is longer.

    For each replica as ``torch.nn.utils.clip_grad_norm_``, with its small number in the divisor.
    """
    norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients])
    shares = (limit / (norms.norm(dim=0) + 1e-6)).clamp(max=1.0)
    return [item * shares.view(-1, *[1] * (item.dim() - 1)) for item in gradients]


def _rising(steps: int, warmup: float) -> int:
    return max(1, round(steps * warmup)) if warmup > 0 else 0


def linear_schedule(step: int, steps: int, warmup: float) -> float:
    """Factor of the learning rate before update ``step`` (0-based): linear up, linear down to 0."""
    rising = _rising(steps, warmup)
    if step < rising:
        return (step + 1) / rising
    return (steps - step) / max(1, steps - rising)


def constant_schedule(step: int, steps: int, warmup: float) -> float:
    """Likewise: linear up, then 1."""
    rising = _rising(steps, warmup)
    return (step + 1) / rising if step < rising else 1.0


def inverse_root_schedule(step: int, steps: int, warmup: float) -> float:
    """Likewise: linear up, then falling with the root of the step: without warm-up 1/√(step + 1).

    Noam's schedule (Vaswani et al. 2017, section 5.3) up to a factor, 1 at its highest. PPT's
    released code trains on pretext tasks with it and no warm-up (Gu et al. 2022).
    """
    rising = _rising(steps, warmup)
    if step < rising:
        return (step + 1) / rising
    return math.sqrt(max(1, rising) / (step + 1))
