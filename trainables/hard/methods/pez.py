"""PEZ (Wen et al. 2023, algorithm 1): hard prompts by gradient, projected onto words.

A prompt of vectors P is kept. In each step the gradient is taken at the nearest words, Proj(P), and
applied to P. With ``state: continuous`` that is all, as published; with ``state: projected`` P is
put back to Proj(P) afterwards, as the released code for text does.
"""

from collections.abc import Sequence

import torch

from trainables.compute.optim import Optimiser, clip_replicas
from trainables.core.registries import OPTIMISERS
from trainables.core.settings.pez import PezSettings
from trainables.hard.methods.descent import descend
from trainables.hard.problem import HardFound, HardProblem, HardReplica, Progress, Rungs


class _Pez:
    def __init__(self, state: torch.Tensor, settings: PezSettings, scale: float) -> None:
        self.settings = settings
        self.optimiser: Optimiser = OPTIMISERS[settings.optimiser]([state], settings)
        self.longest = None if settings.norm_clip is None else settings.norm_clip * scale

    def move(self, state: torch.Tensor, gradient: torch.Tensor, step: int) -> None:
        """Clip the gradient, step, clip the vectors' lengths."""
        limit = self.settings.clip_gradient
        state.grad = gradient if limit is None else clip_replicas([gradient], limit)[0]
        self.optimiser.step(self.settings.learning_rate)
        if self.longest is not None:
            length = state.norm(dim=-1, keepdim=True)
            state.mul_((self.longest / length.clamp(min=1e-12)).clamp(max=1.0))

    def keep(self, state: torch.Tensor, rows: torch.Tensor) -> None:
        self.optimiser.keep([state], rows)

    def puts_back(self, step: int) -> bool:
        """With a projected state, every so many steps."""
        return self.settings.state == "projected" and step % self.settings.project_every == 0


def search(
    problem: HardProblem,
    replicas: Sequence[HardReplica],
    settings: PezSettings,
    progress: Progress | None = None,
    rungs: Rungs | None = None,
) -> list[HardFound]:
    scale = problem.source.backbone.scale
    return descend(
        problem, replicas, settings, lambda state: _Pez(state, settings, scale), progress, rungs
    )
