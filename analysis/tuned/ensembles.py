"""Ensembles of prompts on one frozen model, from what was kept of their predictions.

Lester et al. (2021), section 6: N prompts read each example, and the most frequent class wins.
The paper does not say what happens to ties; here the larger summed log-probability wins. Beside the
vote stands the mean of the members' probabilities. Neither needs another forward pass of what was
kept; whoever uses an ensemble pays N passes an example.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.floating[Any]]
Classes = npt.NDArray[np.int64]


def _summed(log_probs: Numbers) -> npt.NDArray[np.float64]:
    """Summed over members [n, C], in an order that does not depend on theirs."""
    sums: npt.NDArray[np.float64] = np.sort(log_probs.astype(np.float64), axis=0).sum(0)
    return sums


def vote(log_probs: Numbers) -> Classes:
    """The class that most members predict; of several, that with the larger summed log-probability.

    Args:
        log_probs: of the classes, per member and example [N, n, C]; -inf is allowed.

    Returns:
        [n]; of equal sums the lowest class.
    """
    classes = log_probs.shape[-1]
    counts = (log_probs.argmax(-1)[..., None] == np.arange(classes)).sum(0)
    return _surest(counts, log_probs)


def mean(log_probs: Numbers) -> Classes:
    """The class with the highest mean probability over members [n], of [N, n, C].

    Of equal means the class with the larger summed log-probability: probabilities of almost 1 are
    equal in floating point where their logarithms are not.
    """
    shares = np.sort(np.exp(log_probs.astype(np.float64)), axis=0).mean(0)
    return _surest(shares, log_probs)


def _surest(support: npt.NDArray[Any], log_probs: Numbers) -> Classes:
    """Of the classes with most support [n, C] the one with the largest summed log-probability."""
    ahead = support == support.max(-1, keepdims=True)
    # Finite, so that a class that some member rules out is still above those without support.
    sums = np.maximum(_summed(log_probs), np.finfo(np.float64).min)
    found: Classes = np.where(ahead, sums, -np.inf).argmax(-1).astype(np.int64)
    return found


RULES: dict[str, Callable[[Numbers], Classes]] = {"vote": vote, "mean": mean}
"""How an ensemble answers, by the name that tables use."""


def best_member(validation: Sequence[float]) -> int:
    """The member to take alone, chosen on validation; of equal ones the first."""
    return int(np.argmax(np.asarray(validation, dtype=np.float64)))
