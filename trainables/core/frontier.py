"""What a way of transfer gains on the target and what it costs there. No torch."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Self

ACCESS = ("none", "labels", "vocabulary", "states", "gradients")
"""What a target must give away, from little to much: nothing but its embedding table, scores of
label words, scores of any words, hidden states, gradients at its input."""
PRODUCTS = ("prompt", "readout", "none")
"""What a way of transfer leaves: a prompt, a map of what the target computes, or nothing."""
BACKWARD = 2
"""A backward pass costs so many forward passes."""
CHEAP = 3000
"""Row equivalents on the target up to which a way is cheap, as was set before anything was run."""


@dataclass(frozen=True)
class Cost:
    """What one prompt, or whatever stands for it, took until it was final.

    The evaluation that reports its scores is not part of it; what a choice evaluates is.

    Attributes:
        target_forward_rows: texts that the model it is for has read.
        target_backward_rows: texts of these that it was differentiated through.
        target_forward_tokens: tokens of the texts read, those of prompts included.
        target_labels: labels of distinct examples that were read for it.
        unlabelled_texts: distinct texts that were used without their labels.
        source_rows: texts that other models have read for it: the sources beyond their own tuning,
            or a model that judges a search.
        source_at_inference: whether the sources have to run wherever it is used.
        access: what the model must give away, of :data:`ACCESS`.
    """

    target_forward_rows: int = 0
    target_backward_rows: int = 0
    target_forward_tokens: int = 0
    target_labels: int = 0
    unlabelled_texts: int = 0
    source_rows: int = 0
    source_at_inference: bool = False
    access: str = ACCESS[0]

    def __add__(self, other: "Cost") -> Self:
        """Both, one after the other: counts are summed; the wider access is needed."""
        access = max(self.access, other.access, key=ACCESS.index)
        mine, theirs = asdict(self), asdict(other)
        summed = {name: mine[name] + theirs[name] for name in COUNTED}
        always = self.source_at_inference or other.source_at_inference
        return type(self)(**summed, source_at_inference=always, access=access)

    def times(self, count: int) -> Self:
        """The same reading ``count`` times over: labels and texts stay those of one."""
        again = ("target_forward_rows", "target_backward_rows", "target_forward_tokens")
        values = asdict(self)
        more = {name: count * values[name] for name in (*again, "source_rows")}
        return type(self)(**{**values, **more})

    def numbers(self) -> dict[str, Any]:
        """As results say it."""
        return asdict(self)


COUNTED = tuple(item.name for item in fields(Cost) if item.type in (int, "int"))
"""The numbers of a :class:`Cost`."""


def work(forward: float, backward: float) -> float:
    """Rows and their way back in units of one row forward."""
    return forward + BACKWARD * backward


LEAST_GAP = 0.05
"""Least gap (score of Direct minus score of Empty) of which a share is a number worth printing.

Below 5 points the divisor is about as large as its own error: on test splits of 200 to 900 examples
a score has a standard error of 1.5 to 3.5 points, and one such error in the numerator alone would
move the share by a third or more, up to any size and either sign as the gap goes to 0.
"""

_ROUNDING = 1e-9


def gap_recovered(score: float, empty: float, direct: float) -> float | None:
    """(score − Empty) / (Direct − Empty) on one target and task.

    Args:
        score: metric of a transferred prompt, 0 to 1.
        empty: metric of the model without any prompt.
        direct: mean metric over seeds of prompts tuned on the target itself.

    Returns:
        1 at the ceiling, 0 at Empty, negative below it, above 1 where the transfer beats the
        ceiling; None where the gap is smaller than :data:`LEAST_GAP` or a score is missing (NaN).
    """
    gap = direct - empty
    if not gap >= LEAST_GAP - _ROUNDING or score != score:
        return None
    return (score - empty) / gap
