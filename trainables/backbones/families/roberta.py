"""RoBERTa: positions count from ``padding_idx + 1``."""

import torch
from torch import nn
from torch.nn import functional as F

from trainables.backbones.families.bert import BertLayers


class Roberta(BertLayers):
    model_type = "roberta"

    @property
    def first_position(self) -> int:
        """Positions up to the padding index stay unused."""
        padding = self.config.pad_token_id
        return 0 if padding is None else int(padding) + 1  # without one, the library reads nothing

    def head_features(self, states: torch.Tensor) -> torch.Tensor:
        head = self.model.lm_head
        features: torch.Tensor = head.layer_norm(F.gelu(head.dense(states)))
        return features

    def head_output(self) -> nn.Linear:
        output: nn.Linear = self.model.lm_head.decoder
        return output
