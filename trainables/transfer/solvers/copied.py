"""A prompt as it is: where source and target have vectors, or keys and values, of the same shape.

Nothing of the target comes in, and nothing says that a number means the same there. Several sources
tuned apart are averaged.
"""

from collections.abc import Sequence

import torch

from trainables.backbones import LAYERS, Reader
from trainables.core.frontier import Cost
from trainables.errors import InputError
from trainables.transfer.solver import Way
from trainables.transfer.solving import Carried


class Copy(Way):
    """The mean of the sources' prompts."""

    def check_models(self, sources: Sequence[Reader], target: Reader, position: str) -> None:
        """Raise InputError where prompts at a position have other shapes on two of the models."""
        for source in sources:
            if position == LAYERS:
                pairs = list(zip(_NUMBERS, source.past, target.past, strict=True))
            else:
                pairs = [("width of word embeddings", source.family.width, target.family.width)]
            differing = [
                f"{name} {ours} and {theirs}" for name, ours, theirs in pairs if ours != theirs
            ]
            if differing:
                raise InputError(
                    f"transfer.solver: found copy from {source.alias!r} to {target.alias!r}, which"
                    f" differ in {', '.join(differing)}; allowed: models with the same"
                    f" {', '.join(name for name, *_ in pairs)}"
                )

    def copied(self, prompts: Sequence[torch.Tensor]) -> Carried:
        """Prompts [R, m, D] of S sources as one of each replica on the target."""
        mean = torch.stack([prompt.float() for prompt in prompts]).mean(0)
        count = len(mean)
        return Carried(
            prompt=mean,
            similarity=mean.new_zeros(count, 0),
            candidates=1,
            chosen=[None] * count,
            logits=None,
            judged=[True] * count,
            costs=[Cost()] * count,
            numbers=[{}] * count,
        )


_NUMBERS = ("layers", "key-value heads", "head size")
