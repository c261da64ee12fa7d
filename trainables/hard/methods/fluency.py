"""How well a prompt reads to the model itself, as a loss.

Shapes: R replicas, m prompt tokens, d embedding width, P tokens with those before the prompt.
"""

import torch
import torch.nn.functional as F

from trainables.backbones import Backbone
from trainables.core.frontier import Cost
from trainables.errors import InputError


def check_fluency(backbone: Backbone, weight: float) -> None:
    """Refuse a weight above 0 on a model that predicts no next token.

    Raises:
        InputError: the model is no causal one.
    """
    if weight > 0 and not backbone.family.causal:
        kind = backbone.family.head.name
        raise InputError(
            f"fluency: found {weight} on model {backbone.alias!r}, a {kind} one, which predicts no"
            f" next token; allowed: 0 on {kind} models"
        )


def fluency_cost(backbone: Backbone, length: int) -> Cost:
    """Of one prompt's loss with its gradient: it is read once, without a text."""
    return Cost(1, 1, len(backbone.begin) + length - 1, access="gradients")


def fluency_loss(backbone: Backbone, prompts: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of each prompt token but the first behind the ones before it, [R].

    A causal model's states of a prompt at the start of its input do not depend on what follows:
    they are read once a prompt and not once a row.

    Args:
        backbone: a causal model.
        prompts: [R, m, d], m > 1; gradient flows into them as inputs.
        ids: the words they stand for [R, m], to be predicted.
    """
    start = len(backbone.begin)
    table = backbone.embeddings
    begin = table[torch.tensor(backbone.begin, dtype=torch.long, device=backbone.device)]
    embeds = torch.cat([begin.expand(len(prompts), -1, -1), prompts[:, :-1]], dim=1)
    states = backbone.family.states(embeds.to(backbone.dtype))[:, start:]
    logits = backbone.head_logits(states)
    each = F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    return each.mean(1)
