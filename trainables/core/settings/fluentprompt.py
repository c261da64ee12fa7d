"""Parameters of FluentPrompt (Shi et al. 2022), each with the reason for its default."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from trainables.core.settings.base import Positive, Share, check
from trainables.core.settings.descent import DescentSettings, Projection


@dataclass(frozen=True)
class FluentPromptSettings(DescentSettings):
    """FluentPrompt: plain gradient steps between words, with noise that dies away.

    Attributes:
        projection: here ``l2``, the distance of the published method.
        fluency: here above 0, the method's own term; it and the rate are the first to be searched.
        noise: whether steps are noisy (Langevin dynamics); without, it is projected gradient
            descent.
        beta_start: temperature β of the first step; the noise of a step is √(2ηβ) times a normal
            vector, with learning rate η.
        beta_end: that of the last step; in between it falls by the same factor every step.
    """

    search: ClassVar[str] = "trainables.hard.methods.fluentprompt:search"

    projection: Projection = "l2"
    fluency: Share = 0.03
    noise: bool = True
    beta_start: Positive = 1.0
    beta_end: Positive = 1e-4

    @classmethod
    def fitted(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """The temperature falls: of its two ends the one that is given decides."""
        start = given.get("beta_start", max(cls.beta_start, given.get("beta_end", cls.beta_end)))
        return {
            **super().fitted(given),
            "beta_start": start,
            "beta_end": min(cls.beta_end, start),
        }

    def complete(self) -> None:
        """The temperature does not rise."""
        super().complete()
        good = self.beta_end <= self.beta_start
        check(self, "beta_end", good, f"a number above 0, at most beta_start ({self.beta_start})")

    def beta(self, step: int) -> float:
        """Temperature at step 1..``steps``."""
        if self.steps == 1:
            return self.beta_start
        share = (step - 1) / (self.steps - 1)
        return float(self.beta_start * (self.beta_end / self.beta_start) ** share)
