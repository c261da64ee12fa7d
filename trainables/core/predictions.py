"""What is kept of a cell's predictions: log-probabilities of the label words, in half precision.

Per split one array ``SPLIT`` float16 [n, C], the log-softmax over the logits of the C label words,
and one ``SPLIT_gold`` [n], the true classes. Half precision keeps 11 bits, a relative error of
0.05 %, and no prediction is lost in it: the largest entry of a row is the predicted class's alone.

Torch-free, and NumPy is imported only when it is used, so that specs know the splits.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SPLITS = ("validation", "test")
"""The splits that every cell is evaluated on, in the order in which they are kept."""

GOLD = "_gold"
"""Behind the name of a split: the name of its true classes."""

Tensors: TypeAlias = "Mapping[str, npt.NDArray[Any]]"
"""The arrays kept for one cell, by name; none of a split that is left out."""


def half_precision(
    log_probs: "npt.NDArray[np.floating[Any]]", predicted: "npt.NDArray[np.integer[Any]]"
) -> "npt.NDArray[np.float16]":
    """Log-probabilities rounded to float16, each row's maximum being its predicted class alone.

    Rounding can make classes equal that were not. What has caught up with the predicted class is
    put one step of float16 below it. Finite values stay finite.

    Args:
        log_probs: [..., n, C].
        predicted: the class with the highest log-probability (of equal ones, any), [..., n].

    Returns:
        [..., n, C]; NumPy's ``argmax`` over the last axis is ``predicted``.
    """
    import numpy as np

    values = np.asarray(log_probs)
    lowest = np.finfo(np.float16).min
    kept = np.where(np.isneginf(values), values, np.maximum(values, lowest)).astype(np.float16)
    place = np.asarray(predicted)[..., None]
    top = np.take_along_axis(kept, place, -1)
    rivals = kept >= top
    np.put_along_axis(rivals, place, False, -1)
    return np.where(rivals, np.nextafter(top, np.float16(-np.inf)), kept)


def gold_array(gold: "Sequence[int] | npt.NDArray[Any]", classes: int) -> "npt.NDArray[Any]":
    """True classes [n] as the smallest unsigned integers that hold ``classes`` of them."""
    import numpy as np

    return np.asarray(gold, dtype=np.uint8 if classes <= 1 << 8 else np.uint16)


def splits_of(tensors: Mapping[str, Any]) -> tuple[str, ...]:
    """The splits that are among arrays, in the order of :data:`SPLITS`."""
    return tuple(name for name in SPLITS if name in tensors)


def checked(tensors: Tensors) -> dict[str, "npt.NDArray[Any]"]:
    """The arrays, once they are what this module says; what is none of them is left out.

    Raises:
        ValueError: one sentence on what is wrong with them.
    """
    import numpy as np

    found: dict[str, npt.NDArray[Any]] = {}
    for split in splits_of(tensors):
        values = np.asarray(tensors[split])
        gold = np.asarray(tensors.get(split + GOLD, ()))
        if values.ndim != 2 or values.dtype != np.float16 or not values.size:
            raise ValueError(
                f"its predictions on {split} are no float16 matrix ({values.dtype} {values.shape})"
            )
        if np.isnan(values).any():
            raise ValueError(f"its predictions on {split} are not all numbers")
        if (
            gold.dtype.kind != "u"
            or gold.shape != values.shape[:1]
            or gold.max() >= values.shape[1]
        ):
            raise ValueError(f"its predictions on {split} have no true class each")
        found |= {split: np.ascontiguousarray(values), split + GOLD: np.ascontiguousarray(gold)}
    return found
