"""BERT: a dense-GELU-norm transform before the vocabulary matrix."""

import torch
from torch import nn

from trainables.backbones.family import Family


class Bert(Family):
    """``BertForMaskedLM``."""

    model_type = "bert"
    masked = True

    def head_features(self, states: torch.Tensor) -> torch.Tensor:
        """The prediction head's transform."""
        features: torch.Tensor = self.model.cls.predictions.transform(states)
        return features

    def head_output(self) -> nn.Linear:
        """The prediction head's decoder."""
        output: nn.Linear = self.model.cls.predictions.decoder
        return output

    def last_feed_forward(self) -> nn.Module:
        """The last layer's first feed-forward half."""
        module: nn.Module = self.model.bert.encoder.layer[-1].intermediate
        return module
