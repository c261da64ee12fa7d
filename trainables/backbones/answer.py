"""The last layer of a body, worked out at the answer position alone.

Everything a prompt is judged by is read at one position of each row. In the last layer the other
positions only lend their keys and values, so that queries, output projection, feed-forward and
norms are needed once a row instead of once a token.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Focus:
    """Where the rows of a batch are read.

    Attributes:
        answers: position of each row's answer [N].
        keys: which positions the answer may look at [N, 1, 1, P + L] (None: all).
        past: the last layer's keys and values [N, K, P, w] of P positions before those at hand.
    """

    answers: torch.Tensor
    keys: torch.Tensor | None
    past: tuple[torch.Tensor, torch.Tensor] | None = None

    def of(self, values: torch.Tensor) -> torch.Tensor:
        """Values [N or 1, L, h] at the answer positions, [N, 1, h]."""
        count, width = len(self.answers), values.shape[-1]
        index = self.answers[:, None, None].expand(count, 1, width)
        return values.expand(count, -1, -1).gather(1, index)

    def attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        head_width: int,
        *,
        scale: float | None = None,
        bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Multi-head attention of the answer positions.

        Args:
            query: [N, 1, H·w].
            key: [N, L, K·w]; each of the K heads serves H / K heads of the query.
            value: likewise.
            head_width: w.
            scale: of the scores (None: 1 / √w).
            bias: added to the scores [N, H, 1, P + L].

        Returns:
            [N, 1, H·w].
        """
        asked, keys, values = (
            part.view(part.shape[0], part.shape[1], -1, head_width).transpose(1, 2)
            for part in (query, key, value)
        )
        if self.past is not None:
            keys = torch.cat([self.past[0], keys], dim=2)
            values = torch.cat([self.past[1], values], dim=2)
        mask = self.keys
        if bias is not None:
            mask = bias if mask is None else bias.masked_fill(~mask, float("-inf"))
        mixed = F.scaled_dot_product_attention(
            asked,
            keys,
            values,
            attn_mask=mask,
            scale=scale,
            enable_gqa=asked.shape[1] != keys.shape[1],
        )
        return mixed.transpose(1, 2).flatten(2)


class Focused(Protocol):
    """What a family offers to :class:`AnswerLayer`."""

    focus: Focus | None

    @property
    def layers_return_tuples(self) -> bool:
        """Whether the body expects a tuple of a layer."""

    def answer_layer(
        self, layer: Any, states: torch.Tensor, focus: Focus, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """A layer's output [N, 1, h] at the answers."""


class AnswerLayer(nn.Module):
    """Stands in for a body's last layer; without a focus it is that layer."""

    def __init__(self, layer: nn.Module, family: Focused) -> None:
        super().__init__()
        self.layer = layer
        # In a list: a module would register the family's model as its own child.
        self._family = [family]

    def forward(self, states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """States [N, L, h] to the same shape; under a focus every position holds the answer's."""
        family = self._family[0]
        if family.focus is None:
            return self.layer(states, *args, **kwargs)
        answer = family.answer_layer(self.layer, states, family.focus, *args, **kwargs)
        out = answer.expand(states.shape)
        return (out,) if family.layers_return_tuples else out
