"""LLaMA."""

from typing import Any

import torch
from torch import nn

from trainables.backbones.answer import Focus
from trainables.backbones.family import CausalFamily, steady_positions


class Llama(CausalFamily):
    model_type = "llama"
    first_matrix = "mlp.gate_proj"

    @property
    def max_tokens(self) -> int:
        return steady_positions(self.config, super().max_tokens)

    def layers(self) -> nn.ModuleList:
        layers: nn.ModuleList = self.model.model.layers
        return layers

    def answer_layer(
        self, layer: Any, states: torch.Tensor, focus: Focus, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Norm, attention with rotated queries and keys, norm, gated feed-forward."""
        inner = layer.self_attn
        cos, sin = kwargs["position_embeddings"]
        normed = layer.input_layernorm(states)
        query = _rotated(inner.q_proj(focus.of(normed)), focus.of(cos), focus.of(sin))
        key = _rotated(inner.k_proj(normed), cos, sin)
        value = inner.v_proj(normed)
        mixed = focus.attend(query, key, value, inner.head_dim, scale=inner.scaling)
        attended = focus.of(states) + inner.o_proj(mixed)
        out: torch.Tensor = attended + layer.mlp(layer.post_attention_layernorm(attended))
        return out


def _rotated(values: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding of values [N, L, H·w] by angles [N or 1, L, w]."""
    heads = values.unflatten(-1, (-1, cos.shape[-1]))
    low, high = heads.chunk(2, dim=-1)
    turned = torch.cat([-high, low], dim=-1)
    rotated: torch.Tensor = heads * cos[:, :, None] + turned * sin[:, :, None]
    return rotated.flatten(-2)
