"""Parameters of random prompts (row Random of paper B)."""

from dataclasses import dataclass
from typing import ClassVar

from trainables.settings.hard import HardSettings


@dataclass(frozen=True)
class RandomSettings(HardSettings):
    """Random allowed tokens: nothing is tuned, and nothing to be set beyond what all share."""

    INSTEAD: ClassVar[dict[str, str]] = {}
    """No setting of these stands in for another."""
