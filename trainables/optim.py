"""Optimisers and schedules that act on every replica of a stack by itself."""

from collections.abc import Sequence

import torch


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
        """One update with learning rate ``rate``; gradients are cleared afterwards."""
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


def linear_schedule(step: int, steps: int, warmup: float) -> float:
    """Factor of the learning rate before update ``step`` (0-based): linear up, linear down to 0."""
    rising = max(1, round(steps * warmup)) if warmup > 0 else 0
    if step < rising:
        return (step + 1) / rising
    return (steps - step) / max(1, steps - rising)
