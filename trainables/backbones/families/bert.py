"""BERT: a dense-GELU-norm transform before the vocabulary matrix."""

from typing import Any

import torch
from torch import nn

from trainables.backbones.answer import Focus
from trainables.backbones.family import Family


class BertLayers(Family):
    """Encoders with BERT's layers: attention, norm, feed-forward, norm."""

    first_matrix = "intermediate.dense"
    takes_past = True

    def layers(self) -> nn.ModuleList:
        layers: nn.ModuleList = self.model.base_model.encoder.layer
        return layers

    def answer_layer(
        self, layer: Any, states: torch.Tensor, focus: Focus, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Attention, norm, feed-forward, norm."""
        inner = layer.attention.self
        here = focus.of(states)
        mixed = focus.attend(
            inner.query(here), inner.key(states), inner.value(states), inner.attention_head_size
        )
        attended = layer.attention.output(mixed, here)
        out: torch.Tensor = layer.output(layer.intermediate(attended), attended)
        return out


class Bert(BertLayers):
    model_type = "bert"

    def head_features(self, states: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.model.cls.predictions.transform(states)
        return features

    def head_output(self) -> nn.Linear:
        output: nn.Linear = self.model.cls.predictions.decoder
        return output
