"""FluentPrompt (Shi et al. 2022): projected gradient steps with noise (Langevin dynamics).

    P ← Proj(P - η ∇L + √(2 η β_i) z),  z normal, β_i falling geometrically

with the prompt's fluency as a part of L. Other than in the paper, the fluency is a mean over the
prompt's tokens, not a sum, as in the released code of PEZ: its weight then means the same for every
length.
"""

from collections.abc import Sequence

import torch

from trainables.core.seeds import seeded
from trainables.core.settings.fluentprompt import FluentPromptSettings
from trainables.hard.methods.descent import descend
from trainables.hard.problem import HardFound, HardProblem, HardReplica, Progress, Rungs


class _Langevin:
    """Moves vectors along the gradient and at random."""

    def __init__(self, settings: FluentPromptSettings, seeds: Sequence[int]) -> None:
        self.settings = settings
        self.seeds = seeds
        self.generators = {seed: seeded("langevin", seed) for seed in seeds}

    def move(self, state: torch.Tensor, gradient: torch.Tensor, step: int) -> None:
        """One step; replicas of one seed get the same noise."""
        rate = self.settings.learning_rate
        state.sub_(gradient, alpha=rate)
        if self.settings.noise:
            shape = state.shape[1:]
            drawn = {
                seed: torch.randn(shape, generator=generator)
                for seed, generator in self.generators.items()
            }
            noise = torch.stack([drawn[seed] for seed in self.seeds]).to(state.device)
            state.add_(noise, alpha=(2.0 * rate * self.settings.beta(step)) ** 0.5)

    def keep(self, state: torch.Tensor, rows: torch.Tensor) -> None:
        self.seeds = [self.seeds[row] for row in rows.tolist()]

    def puts_back(self, step: int) -> bool:
        return True


def search(
    problem: HardProblem,
    replicas: Sequence[HardReplica],
    settings: FluentPromptSettings,
    progress: Progress | None = None,
    rungs: Rungs | None = None,
) -> list[HardFound]:
    seeds = [replica.seed for replica in replicas]
    return descend(
        problem, replicas, settings, lambda _: _Langevin(settings, seeds), progress, rungs
    )
