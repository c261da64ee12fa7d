"""Parameters of random prompts (row Random of paper B)."""

from dataclasses import dataclass
from typing import ClassVar

from trainables.core.settings.base import axis
from trainables.core.settings.hard import HardSettings, Vocabulary


@dataclass(frozen=True)
class RandomSettings(HardSettings):
    """Random allowed tokens, by default of all there are: nothing is tuned."""

    search: ClassVar[str] = "trainables.hard.methods.random_words:search"

    vocabulary: Vocabulary = axis("all")

    @property
    def row(self) -> str:
        return "random"
