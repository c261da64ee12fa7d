"""How like tasks are, told from prompts that were tuned on them for a few steps (Vu et al. 2022).

A prompt is an array [m, d] of float32, m vectors of width d; both prompts are of one model. Orders
of vectors do not matter to either similarity. A similarity is a cosine or a mean of cosines, -1
to 1.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]


def average_tokens(one: Array, other: Array) -> float:
    """Cosine of the mean vectors of two prompts."""
    return float(_unit(one.mean(0)) @ _unit(other.mean(0)))


def per_token(one: Array, other: Array) -> float:
    """Mean cosine over all pairs of a vector of one prompt and a vector of the other."""
    return float((_unit(one) @ _unit(other).T).mean())


def nearest(similarities: Sequence[float], count: int) -> list[int]:
    """Places of the ``count`` highest similarities, the highest first; ties in their order."""
    order = sorted(range(len(similarities)), key=lambda place: -similarities[place])
    return order[:count]


def weights(similarities: Sequence[float]) -> list[float]:
    """Shares of retrieved tasks in an average: similarity over the sum of all of them.

    A similarity below 0 counts as 0, as the paper's formula means nothing there; where none is
    above 0, all have the same share.
    """
    known = [max(value, 0.0) for value in similarities]
    total = sum(known)
    return [value / total if total else 1 / len(known) for value in known]


def _unit(vectors: Array) -> Array:
    vectors = vectors.astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)
