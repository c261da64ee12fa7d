"""LLaMA."""

from torch import nn

from trainables.backbones.family import CausalFamily


class Llama(CausalFamily):
    """``LlamaForCausalLM``."""

    model_type = "llama"

    def last_feed_forward(self) -> nn.Module:
        """The last layer's feed-forward block."""
        module: nn.Module = self.model.model.layers[-1].mlp
        return module
