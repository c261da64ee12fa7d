"""The policy of RLPrompt and its losses (Deng et al. 2022, after Guo et al. 2021).

A frozen language model says with which state it would go on; a small network between that state and
the model's own vocabulary matrix is all that learns. Its logits over the next words are Q values:
V = logsumexp Q is the value of a beginning, A = Q - V the advantage of a word, which is also its
log-probability.

Shapes: P prompts, m tokens, A words, e width of the states.
"""

import math
from collections.abc import Callable, Sequence

import torch

from trainables.compute.optim import ElementwiseAdamW
from trainables.core.seeds import seeded
from trainables.core.settings.helped.rlprompt import RLPromptSettings
from trainables.hard.helper import Helper, draw
from trainables.hard.scorer import Ids

_GAIN, _BIAS = 1e-4, -1e-4
"""Of the network at the start, as released: next to nothing, so that all words are as likely."""

KEPT = 4096
"""States that are kept at most; those that came first go first."""


def one_step_loss(
    advantages: torch.Tensor, values: torch.Tensor, rewards: torch.Tensor
) -> torch.Tensor:
    """How far each word's advantage is from what the target network says of it.

    Before the end that is V(t + 1) - V(t), at the end r - V(m).

    Args:
        advantages: A of the words taken [P, m].
        values: V of the target network [P, m], no gradient.
        rewards: of whole prompts [P].

    Returns:
        Squared differences, summed over a prompt, their mean over prompts.
    """
    following = torch.cat([values[:, 1:], rewards[:, None]], dim=1)
    return (advantages - (following - values)).square().sum(1).mean()


def all_steps_loss(
    advantages: torch.Tensor, values: torch.Tensor, rewards: torch.Tensor
) -> torch.Tensor:
    """The same over all words that are still to come: their summed advantages against r - V(t).

    Arguments and result are those of :func:`one_step_loss`.
    """
    to_come = advantages.flip(1).cumsum(1).flip(1)
    return (to_come - (rewards[:, None] - values)).square().sum(1).mean()


def soft_q_loss(
    logits: torch.Tensor, target: torch.Tensor, taken: torch.Tensor, rewards: torch.Tensor
) -> torch.Tensor:
    """Mean of both losses.

    Args:
        logits: Q [P, m, A].
        target: those of the target network, no gradient.
        taken: places of the words taken [P, m].
        rewards: [P].
    """
    chosen = logits.gather(-1, taken[..., None])[..., 0]
    given = (chosen - logits.logsumexp(-1), target.logsumexp(-1), rewards)
    return (one_step_loss(*given) + all_steps_loss(*given)) / 2


class Policy:
    """The network of one search, and what it has asked its helper."""

    def __init__(self, helper: Helper, settings: RLPromptSettings, length: int, seed: int) -> None:
        """Begin with words that are all as likely."""
        self.helper = helper
        self.length = length
        self._settings = settings
        self._generator = seeded("policy", seed)
        width = helper.width
        sizes = [(width, settings.width), (settings.width, width)]
        self._weights: list[torch.Tensor] = []
        for inputs, outputs in sizes:
            bound = _GAIN * math.sqrt(6 / (inputs + outputs))
            drawn = torch.rand(inputs, outputs, generator=self._generator) * 2 - 1
            bias = torch.full((outputs,), _BIAS)
            self._weights += [(bound * drawn).to(helper.device), bias.to(helper.device)]
        self._target = [weight.clone() for weight in self._weights]
        self._optimiser = ElementwiseAdamW(self._weights)
        # The released code adds a constant to all logits; this one begins with a value of 0.
        self._shift = -math.log(len(helper.words))
        self._states: dict[Ids, torch.Tensor] = {}

    def logits(self, weights: Sequence[torch.Tensor], states: torch.Tensor) -> torch.Tensor:
        """Q [..., A] of the words that may come next, behind states [..., e]."""
        first, first_bias, second, second_bias = weights
        hidden = (states @ first + first_bias).relu()
        return self.helper.head(hidden @ second + second_bias) + self._shift

    @torch.no_grad()
    def sample(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Prompts as places of their words [P, m], and the states behind which these were taken."""
        return self._written(
            count, lambda logits: draw(logits, self._generator, self._settings.top_k)
        )

    @torch.no_grad()
    def likeliest(self) -> Ids:
        """The prompt of the words that are each the most likely next one, as the source's."""
        places, _ = self._written(1, lambda logits: logits.argmax(-1).cpu())
        return tuple(self.helper.prompts(places)[0].tolist())

    def learn(self, taken: torch.Tensor, states: torch.Tensor, rewards: torch.Tensor) -> bool:
        """One update; whether the loss was a finite number.

        Args:
            taken: places of the words of prompts [P, m].
            states: behind which they were taken [P, m, e].
            rewards: of the prompts [P].
        """
        weights = [weight.detach().requires_grad_() for weight in self._weights]
        with torch.no_grad():
            target = self.logits(self._target, states)
        taken, rewards = taken.to(states.device), rewards.to(states)
        loss = soft_q_loss(self.logits(weights, states), target, taken, rewards)
        if not bool(torch.isfinite(loss)):
            return False
        gradients = torch.autograd.grad(loss, weights)
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
        limit = self._settings.clip_gradient
        scale = torch.ones_like(norm)
        if limit is not None:
            scale = (limit / norm.clamp(min=1e-12)).clamp(max=1.0)
        for weight, gradient in zip(self._weights, gradients, strict=True):
            weight.grad = scale * gradient
        self._optimiser.step(self._settings.learning_rate)
        with torch.no_grad():
            for behind, weight in zip(self._target, self._weights, strict=True):
                behind.lerp_(weight, self._settings.polyak)
        return True

    def _written(
        self, count: int, choose: Callable[[torch.Tensor], torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows = torch.tensor(self.helper.opening).repeat(count, 1)
        taken, states = [], []
        for _ in range(self.length):
            behind = self._behind([tuple(row) for row in rows.tolist()])
            places = choose(self.logits(self._weights, behind))
            taken.append(places)
            states.append(behind)
            rows = torch.cat([rows, self.helper.ids.cpu()[places][:, None]], dim=1)
        return torch.stack(taken, dim=1), torch.stack(states, dim=1)

    def _behind(self, rows: Sequence[Ids]) -> torch.Tensor:
        """States [N, e] behind beginnings, each different one read once: the model is frozen."""
        new = [row for row in dict.fromkeys(rows) if row not in self._states]
        if new:
            self._states |= zip(new, self.helper.features(new), strict=True)
        found = torch.stack([self._states[row] for row in rows])
        for row in list(self._states)[: max(0, len(self._states) - KEPT)]:
            del self._states[row]
        return found
