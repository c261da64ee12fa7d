"""Parameters of AutoPrompt (Shin et al. 2020)."""

from dataclasses import dataclass
from typing import ClassVar

from trainables.core.settings.base import at_least, one_of
from trainables.core.settings.hard import HardSettings

SCORES = ("loss", "accuracy")


@dataclass(frozen=True)
class AutoPromptSettings(HardSettings):
    """Gradient-guided exchange of one token at a time (Shin et al. 2020, section 2.2).

    The prompt starts as random allowed tokens. AutoPrompt itself starts from mask tokens, which no
    text can hold and causal models do not have.

    Attributes:
        steps: rounds, one position each; 100 is the default of the released code (its best SST-2
            run took 150).
        batch_size: training examples a batch; 32 is the released code's.
        accumulation: batches whose gradient proposes candidates, and as many fresh ones on which
            these are tried; 10 is the released code's (30 in its best SST-2 run).
        candidates: tokens tried a round; 10 is the released code's (100 in its best SST-2 run).
        score: what a candidate must have better than the prompt as it is: ``loss`` over the label
            words, as in the paper, or ``accuracy``, as in the released code for classification.
    """

    search: ClassVar[str] = "trainables.hard.methods.autoprompt:search"

    steps: int = 100
    batch_size: int = 32
    accumulation: int = 10
    candidates: int = 10
    score: str = "loss"

    def __post_init__(self) -> None:
        """Raise InputError for the first value out of its range."""
        super().__post_init__()
        at_least(self, 1, "steps", "batch_size", "accumulation", "candidates")
        one_of(self, "score", SCORES)
