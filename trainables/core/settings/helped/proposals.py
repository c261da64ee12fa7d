"""Parameters of prompts that a language model proposes (Zhou et al. 2023, Yang et al. 2024)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from trainables.core.settings.base import Count, Number, Positive, axis, check
from trainables.core.settings.helped.base import HelpedSettings


@dataclass(frozen=True)
class ProposalsSettings(HelpedSettings):
    """A language model is asked for prompts, and the best of them on validation is kept.

    Attributes:
        ask: ``examples`` shows the helper examples of the task, other ones each time (APE).
            ``history`` shows it the best prompts so far with their scores as well (OPRO); the first
            time there are none yet.
        steps: how often it is asked.
        prompts: how many proposals are sampled each time; 8 as in OPRO.
        examples: examples of the task that it is shown.
        history: prompts with their scores that it is shown at most; 20 in OPRO, which asks models
            that read more.
        example_tokens: a longer example is cut to so many of the helper's tokens.
        temperature: of the sampling; 1 as in OPRO.
    """

    search: ClassVar[str] = "trainables.hard.methods.proposals:search"

    ask: Literal["examples", "history"] = axis("history")
    steps: Count = 16
    prompts: Count = 8
    examples: Number = 4
    history: Count = 6
    example_tokens: Count = 24
    temperature: Positive = 1.0

    def complete(self) -> None:
        """The helper is shown something."""
        super().complete()
        good = self.ask == "history" or self.examples > 0
        check(self, "examples", good, "at least 1, as ask is examples and shows nothing else")
