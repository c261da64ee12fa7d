"""Noise of the Gumbel softmax (Jang et al. 2017; Maddison et al. 2017)."""

import torch

from trainables.compute.masks import uniforms


def gumbel(keys: torch.Tensor, count: int, place: int) -> torch.Tensor:
    """Standard Gumbel noise −log(−log u) of rows [n, count].

    A pure function of the keys: a row meets the same noise whatever is read beside it.

    Args:
        keys: int64 [n].
        place: tells the decisions of a row apart.
    """
    drawn = uniforms(keys, count, place)
    return -torch.log(-torch.log(drawn))
