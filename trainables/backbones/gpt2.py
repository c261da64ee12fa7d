"""GPT-2."""

from torch import nn

from trainables.backbones.family import CausalFamily


class GPT2(CausalFamily):
    """``GPT2LMHeadModel``."""

    model_type = "gpt2"

    def last_feed_forward(self) -> nn.Module:
        """The last layer's feed-forward block."""
        module: nn.Module = self.model.transformer.h[-1].mlp
        return module
