"""T5 in all its versions (1.0, 1.1 and LM-adapted, Flan, UL2), mT5 and UMT5.

Positions are relative, so that a prompt shifts none and rows have no longest length.
"""

import torch
from torch import nn

from trainables.backbones.family import UNBOUNDED
from trainables.backbones.sequence import EncoderDecoder


class T5(EncoderDecoder):
    model_type = "t5"

    @property
    def max_tokens(self) -> int:
        return UNBOUNDED

    def matrices(self) -> list[nn.Module]:
        """Those of the decoder, as the answer is read there; of a gated layer, that of the gate."""
        dense = [block.layer[-1].DenseReluDense for block in self.decoder.block]
        return [layer.wi_0 if hasattr(layer, "wi_0") else layer.wi for layer in dense]

    @property
    def scaled(self) -> bool:
        """Whether states are scaled before the head: those of 1.0, whose table is the head too."""
        return bool(getattr(self.config, "scale_decoder_outputs", False))

    def head_features(self, states: torch.Tensor) -> torch.Tensor:
        factor: float = self.config.d_model**-0.5 if self.scaled else 1.0
        return states * factor

    def head_output(self) -> nn.Linear:
        output: nn.Linear = self.model.lm_head
        return output

    def body_arguments(self) -> dict[str, bool]:
        """No key-value cache: nothing is generated."""
        return {"use_cache": False}


class MT5(T5):
    model_type = "mt5"


class UMT5(T5):
    model_type = "umt5"

    @property
    def scaled(self) -> bool:
        return bool(self.config.tie_word_embeddings)
