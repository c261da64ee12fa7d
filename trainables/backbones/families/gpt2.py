"""GPT-2."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from trainables.backbones.answer import Focus
from trainables.backbones.family import CausalFamily


class GPT2(CausalFamily):
    model_type = "gpt2"
    first_matrix = "mlp.c_fc"

    def __init__(self, config: Any, model: Any = None) -> None:
        """Exchange the activation, eight separate tensor operations, for torch's fused equal."""
        if model is not None:
            # It brings torch's compiler along: two seconds for those who only read text.
            from transformers.activations import NewGELUActivation

            for block in model.transformer.h:
                if isinstance(block.mlp.act, NewGELUActivation):
                    block.mlp.act = nn.GELU(approximate="tanh")
        super().__init__(config, model)

    def layers(self) -> nn.ModuleList:
        layers: nn.ModuleList = self.model.transformer.h
        return layers

    def answer_layer(
        self, layer: Any, states: torch.Tensor, focus: Focus, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Norm, attention, norm, feed-forward; queries, keys and values share one matrix."""
        inner = layer.attn
        normed = layer.ln_1(states)
        weight, offset = inner.c_attn.weight.T, inner.c_attn.bias
        width = inner.embed_dim
        query = F.linear(focus.of(normed), weight[:width], offset[:width])
        key, value = F.linear(normed, weight[width:], offset[width:]).split(width, dim=-1)
        mixed = focus.attend(query, key, value, inner.head_dim, scale=inner.scaling)
        attended = focus.of(states) + inner.c_proj(mixed)
        out: torch.Tensor = attended + layer.mlp(layer.ln_2(attended))
        return out
