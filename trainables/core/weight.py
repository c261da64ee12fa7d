"""λ, the weight of the alignment loss (paper A, equations 7 to 9): one value, spelt once a border.

==============  =====================  =====================================
border          constant λ             annealing
==============  =====================  =====================================
spec            ``0.3``                ``annealing``
cell, record    ``0.3``, ``constant``  null, ``annealing``
label           ``0.3``                ``annealing``
number          ``0.3``                -1 (an axis of numbers takes no words)
==============  =====================  =====================================

λ = 0 is 0 everywhere; its schedule in a cell is ``none``, since nothing is tuned together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

ANNEALING = "annealing"
ANNEALING_NUMBER = -1.0


@dataclass(frozen=True)
class Weight:
    """λ as cells have it.

    Attributes:
        value: λ; None under annealing, and where nothing is tuned (references).
        schedule: ``none`` (λ = 0: sources tuned independently), ``constant`` or ``annealing``.
    """

    value: float | None
    schedule: str

    @classmethod
    def of(cls, written: Any) -> Self:
        """From what a spec says, a number in [0, 1] or ``annealing``.

        Raises:
            ValueError: it is neither.
        """
        if written == ANNEALING:
            return cls(None, ANNEALING)
        number = isinstance(written, int | float) and not isinstance(written, bool)
        if not number or not 0 <= written <= 1:
            raise ValueError(f"a number in [0, 1], or the word {ANNEALING}")
        return cls(float(written), "constant" if written > 0 else "none")

    @classmethod
    def in_cell(cls, cell: Mapping[str, Any]) -> Self:
        """From a cell or a row of one as JSON has it."""
        return cls(cell["weight"], cell["schedule"])

    @property
    def joint(self) -> bool:
        """Whether sources are tuned together."""
        return self.schedule != "none"

    @property
    def written(self) -> float | str:
        """As a spec has it."""
        return self.schedule if self.value is None else self.value

    @property
    def label(self) -> str:
        """As people read it; empty where nothing is tuned."""
        if self.schedule == ANNEALING:
            return ANNEALING
        return "" if self.value is None else f"{self.value:g}"

    @property
    def number(self) -> float:
        """As an axis of numbers has it; 0 where nothing is tuned."""
        return ANNEALING_NUMBER if self.schedule == ANNEALING else float(self.value or 0.0)


INDEPENDENT = Weight(0.0, "none")
