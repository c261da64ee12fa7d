"""What a soft prompt is made of: by default its vectors, in a variant whatever gives vectors.

A variant of soft tuning is one file: a subclass of :class:`trainables.core.settings.SoftSettings`
with the variant's own settings that names its parametrisation, and one entry of it in
:data:`trainables.core.registries.METHODS`. All else is the same: replicas in a stack, λ, start,
checkpoint, transfer, evaluation. Its cells have the entry's name as their method.

Shapes: R replicas, m prompt tokens, d embedding width.
"""

from collections.abc import Sequence
from typing import Protocol

import torch

from trainables.core.registry import loaded
from trainables.core.settings import SoftSettings
from trainables.soft.initialisation import Beginning


class Parametrisation(Protocol):
    """Trained tensors, and the prompts that they stand for."""

    def start(self, prompt: torch.Tensor, start: Beginning) -> Sequence[torch.Tensor]:
        """The tensors of one replica, float32 on the CPU.

        Args:
            prompt: what ``init`` gives [m, d], to be come near or to be left.
            start: the model, the settings, the seed: all that the tensors may depend on.
        """

    def prompts(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Prompts [R, m, d] of the stacked tensors [R, ...], each of its own replica alone."""


class Vectors:
    """The prompt's vectors are trained themselves."""

    def start(self, prompt: torch.Tensor, start: Beginning) -> Sequence[torch.Tensor]:
        return (prompt,)

    def prompts(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        return tensors[0]


def parametrisation_of(settings: SoftSettings) -> Parametrisation:
    found: Parametrisation = loaded(settings.parametrisation)()
    return found
