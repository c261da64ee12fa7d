"""OPT: prompts live in the word-embedding space, which OPT-350M projects to its hidden width.

The body projects in and out by itself, so the head sees word-embedding width again.
"""

from typing import Any

import torch
from torch import nn

from trainables.backbones.answer import Focus
from trainables.backbones.family import CausalFamily


class OPT(CausalFamily):
    """``OPTForCausalLM``, with and without projected embeddings."""

    model_type = "opt"
    first_matrix = "fc1"

    @property
    def width(self) -> int:
        """OPT-350M's word embeddings are narrower than its layers."""
        return int(self.config.word_embed_proj_dim)

    @property
    def state_width(self) -> int:
        """Its last states are as wide as its word embeddings."""
        return self.width

    def layers(self) -> nn.ModuleList:
        layers: nn.ModuleList = self.model.model.decoder.layers
        return layers

    def answer_layer(
        self, layer: Any, states: torch.Tensor, focus: Focus, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Attention and feed-forward, with norms before each (OPT-350M: after each)."""
        inner, before = layer.self_attn, layer.do_layer_norm_before
        normed = layer.self_attn_layer_norm(states) if before else states
        query = inner.q_proj(focus.of(normed))
        mixed = focus.attend(query, inner.k_proj(normed), inner.v_proj(normed), inner.head_dim)
        attended = focus.of(states) + inner.out_proj(mixed)
        if not before:
            attended = layer.self_attn_layer_norm(attended)
        fed = layer.final_layer_norm(attended) if before else attended
        out: torch.Tensor = attended + layer.fc2(layer.activation_fn(layer.fc1(fed)))
        return out if before else layer.final_layer_norm(out)
