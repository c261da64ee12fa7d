"""A prompt out of a network: P[i] = W₂ tanh(W₁ E[i] + b₁) + b₂ (Li & Liang 2021, section 4.3).

P-tuning v2 has the same. The paper trains a smaller matrix E and a network in front of the prefix,
as the prefix by itself was unstable; after training only P is kept. Its release draws E from
N(0, 1) with as many numbers a token as a word has, and has 512 hidden ones.
"""

from collections.abc import Sequence

import torch

from trainables.core.seeds import seeded
from trainables.soft.initialisation import Beginning
from trainables.soft.parametrisation import linear

HIDDEN = 512


class MLP:
    """E [m, e], then weight and bias of two layers; e is the model's word width, or less.

    E begins as what ``init`` gives, brought to a root mean square of 1 (under ``init: normal``:
    N(0, 1)); of keys and values as many numbers as a word has. The prompt does not begin there.
    """

    def start(self, prompt: torch.Tensor, start: Beginning) -> Sequence[torch.Tensor]:
        hidden = start.settings.reparametrise_hidden or HIDDEN
        first = prompt[:, : start.backbone.width]
        first = first / first.square().mean().sqrt().clamp_min(1e-12)
        generator = seeded("mlp", start.seed, start.key)
        inner = linear(generator, first.shape[1], hidden)
        return first, *inner, *linear(generator, hidden, prompt.shape[1])

    def prompts(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        first, weight, bias, weight_out, bias_out = tensors
        hidden = torch.tanh(first @ weight + bias[:, None])
        return hidden @ weight_out + bias_out[:, None]
