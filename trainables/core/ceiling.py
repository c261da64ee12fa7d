"""How much of what tuning on the target itself would give a transferred prompt reaches."""

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
