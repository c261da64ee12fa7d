"""What a soft prompt is made of: by default its vectors, in a variant whatever gives vectors.

A variant of soft tuning is one file: a subclass of :class:`trainables.core.settings.SoftSettings`
with the variant's own settings that names its parametrisation, and one entry of it in
:data:`trainables.core.registries.METHODS`. All else is the same: replicas in a stack, λ, start,
checkpoint, transfer, evaluation. Its cells have the entry's name as their method.

A network in front of the vectors is less: one class in :mod:`trainables.soft.forms` and one entry
in :data:`trainables.core.registries.REPARAMETRISATIONS`, a value of ``reparametrise``.

Shapes: R replicas, m prompt tokens, d embedding width.
"""

from collections.abc import Sequence
from typing import Protocol

import torch

from trainables.core.registries import REPARAMETRISATIONS
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
    """What is trained under these settings: the method's own form, or the one they name."""
    name = settings.reparametrise
    form = loaded(settings.parametrisation) if name == "none" else REPARAMETRISATIONS[name]
    found: Parametrisation = form()
    return found


def linear(generator: torch.Generator, width: int, out: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight [width, out] and bias [out] of a layer as torch draws them: U(-1/√width, 1/√width)."""
    bound = width**-0.5
    weight = (2.0 * torch.rand(width, out, generator=generator) - 1.0) * bound
    return weight, (2.0 * torch.rand(out, generator=generator) - 1.0) * bound
