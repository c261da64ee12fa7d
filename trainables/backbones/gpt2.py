"""GPT-2."""

from typing import Any

from torch import nn
from transformers.activations import NewGELUActivation

from trainables.backbones.family import CausalFamily


class GPT2(CausalFamily):
    """``GPT2LMHeadModel``."""

    model_type = "gpt2"

    def __init__(self, config: Any, model: Any = None) -> None:
        """Exchange the activation, eight separate tensor operations, for torch's fused equal."""
        super().__init__(config, model)
        for block in () if model is None else model.transformer.h:
            if isinstance(block.mlp.act, NewGELUActivation):
                block.mlp.act = nn.GELU(approximate="tanh")

    def last_feed_forward(self) -> nn.Module:
        """The last layer's feed-forward block."""
        module: nn.Module = self.model.transformer.h[-1].mlp
        return module
