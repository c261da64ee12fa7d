"""RoBERTa: positions count from ``padding_idx + 1``."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from trainables.backbones.answer import Focus
from trainables.backbones.bert import bert_answer_layer
from trainables.backbones.family import Family


class Roberta(Family):
    """``RobertaForMaskedLM``."""

    model_type = "roberta"
    masked = True

    @property
    def first_position(self) -> int:
        """Positions up to the padding index stay unused."""
        return int(self.config.pad_token_id) + 1

    def head_features(self, states: torch.Tensor) -> torch.Tensor:
        """Dense, GELU, norm."""
        head = self.model.lm_head
        features: torch.Tensor = head.layer_norm(F.gelu(head.dense(states)))
        return features

    def head_output(self) -> nn.Linear:
        """The head's decoder."""
        output: nn.Linear = self.model.lm_head.decoder
        return output

    def layers(self) -> nn.ModuleList:
        """The encoder's layers."""
        layers: nn.ModuleList = self.model.base_model.encoder.layer
        return layers

    def answer_layer(
        self, layer: Any, states: torch.Tensor, focus: Focus, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """As BERT's."""
        return bert_answer_layer(layer, states, focus)
