"""A prompt and a network beside it: P'[i] = P[i] + LayerNorm(W₂ relu(W₁ P[i] + b₁) + b₂).

Residual Prompt Tuning (Razdaibiedina et al. 2023, section 3): one network for all tokens, P
trained with it, P' kept. Its release has 400 hidden numbers and a gain γ of the norm that begins at
1, on T5, whose word embeddings are of that size and more. Here γ begins at the root mean square of
the prompt's numbers, so that what is added is as long as the prompt on any model.
"""

from collections.abc import Sequence

import torch

from trainables.core.seeds import seeded
from trainables.soft.initialisation import Beginning
from trainables.soft.parametrisation import linear

HIDDEN = 400
EPS = 1e-5
"""What torch's LayerNorm adds to the variance."""


class Residual:
    """P [m, d], weight and bias of two layers, then gain and shift [d] of the norm."""

    def start(self, prompt: torch.Tensor, start: Beginning) -> Sequence[torch.Tensor]:
        hidden = start.settings.reparametrise_hidden or HIDDEN
        width = prompt.shape[1]
        generator = seeded("residual", start.seed, start.key)
        inner = linear(generator, width, hidden)
        gain = prompt.square().mean().sqrt().expand(width).clone()
        return prompt, *inner, *linear(generator, hidden, width), gain, torch.zeros(width)

    def prompts(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        prompt, weight, bias, weight_out, bias_out, gain, shift = tensors
        hidden = torch.relu(prompt @ weight + bias[:, None])
        found = hidden @ weight_out + bias_out[:, None]
        centred = found - found.mean(-1, keepdim=True)
        normed = centred * (centred.square().mean(-1, keepdim=True) + EPS).rsqrt()
        return prompt + gain[:, None] * normed + shift[:, None]
