"""MPNet: RoBERTa's head and positions; its embedding layer fixes the padding index at 1."""

from typing import Any

import torch

from trainables.backbones.answer import Focus
from trainables.backbones.families.roberta import Roberta


class MPNet(Roberta):
    model_type = "mpnet"
    layers_return_tuples = True
    takes_past = False  # its bias is one of distances between tokens

    @property
    def first_position(self) -> int:
        """MPNet's embedding layer has its padding index (1) built in, whatever the config says."""
        return 2

    def answer_layer(
        self, layer: Any, states: torch.Tensor, focus: Focus, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """As BERT's, with a bias on the scores that depends on the distance."""
        inner = layer.attention.attn
        here = focus.of(states)
        every = self.model.base_model.encoder.compute_position_bias(states[:1])
        bias = every[0][:, focus.answers].transpose(0, 1)[:, :, None, :]
        mixed = focus.attend(
            inner.q(here), inner.k(states), inner.v(states), inner.attention_head_size, bias=bias
        )
        attended = layer.attention.LayerNorm(inner.o(mixed) + here)
        out: torch.Tensor = layer.output(layer.intermediate(attended), attended)
        return out
