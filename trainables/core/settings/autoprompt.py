"""Parameters of AutoPrompt (Shin et al. 2020)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from trainables.core.settings.base import Count
from trainables.core.settings.hard import HardSettings


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

    steps: Count = 100
    batch_size: Count = 32
    accumulation: Count = 10
    candidates: Count = 10
    score: Literal["loss", "accuracy"] = "loss"
