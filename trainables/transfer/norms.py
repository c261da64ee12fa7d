"""How long carried vectors become: the cosine objective of a transfer cannot tell.

Shapes: R replicas, m prompt tokens, d width of the target, any leading dimensions.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Lengths:
    """What lengths go by.

    Attributes:
        relative: [R, m], length of each source vector over the mean row of its table, mean over
            sources.
        scale: mean length of the target's rows.
        moments: gives mean and standard deviation over the entries of the target's table.
    """

    relative: torch.Tensor
    scale: float
    moments: Callable[[], tuple[float, float]]


Norm = Callable[[torch.Tensor, Lengths], torch.Tensor]


def match(found: torch.Tensor, lengths: Lengths) -> torch.Tensor:
    """Each vector as long, relative to the table's mean row, as its sources were to theirs."""
    return F.normalize(found, dim=-1) * (lengths.relative.to(found) * lengths.scale)[..., None]


def mean(found: torch.Tensor, lengths: Lengths) -> torch.Tensor:
    """Each vector as long as the target's mean row."""
    return F.normalize(found, dim=-1) * lengths.scale


def ptfer(found: torch.Tensor, lengths: Lengths) -> torch.Tensor:
    """The released code of Wu et al.: one affine map for the whole matrix of a prompt.

    All m·d entries together get mean and standard deviation of the target's whole table. Lengths
    of single vectors, relative to each other, stay what the solver left; the shift turns directions
    a little.
    """
    middle, spread = lengths.moments()
    centred = found - found.mean((-2, -1), keepdim=True)
    # A matrix of equal entries has no spread to scale.
    return centred / found.std((-2, -1), keepdim=True).clamp_min(1e-12) * spread + middle


def own(found: torch.Tensor, lengths: Lengths) -> torch.Tensor:
    """The vectors as the solver found them (published way of the vocabulary maps)."""
    del lengths
    return found
