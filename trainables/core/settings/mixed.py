"""Parameters of mixed training (Rakotonirina et al. 2023)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from trainables.core.settings.autoprompt import AutoPromptSettings


@dataclass(frozen=True)
class MixedSettings(AutoPromptSettings):
    """AutoPrompt whose candidates another model tries (Rakotonirina et al. 2023, section 6).

    Attributes:
        choice: whose validation metric chooses the prompt that is kept: that of the ``evaluator``,
            as in the released code, or the ``mean`` of the source's and the evaluator's.
    """

    judged: ClassVar[bool] = True
    search: ClassVar[str] = "trainables.hard.methods.mixed:search"

    choice: Literal["evaluator", "mean"] = "evaluator"
