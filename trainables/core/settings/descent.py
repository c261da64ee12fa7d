"""Parameters shared by hard-prompt methods that follow a gradient and project onto words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from trainables.core.settings.base import Count, Positive, Share, check
from trainables.core.settings.hard import HardSettings

Projection = Literal["cosine", "l2"]


@dataclass(frozen=True)
class DescentSettings(HardSettings):
    """What PEZ and FluentPrompt have in common.

    Attributes:
        steps: optimiser steps; paper B takes 5000.
        batch_size: training examples a step and replica; paper B takes 16.
        learning_rate: constant rate; 0.3 is paper B's, for Adafactor.
        projection: the allowed word nearest to a vector: by the ``cosine``, as all released code
            has it, or by the ``l2`` distance, which differs where rows have unlike lengths.
        fluency: weight w of the prompt's own fluency. The loss is w times the cross-entropy of
            each prompt token behind those before it, plus 1 - w times that of the label word.
            Causal models only, and prompts of at least two tokens.
        init: ``class_words``, repeated to the prompt's length and each projected onto the allowed
            words, or ``random`` allowed words.
        evaluations: how often, evenly spaced and at the end, the prompt is offered for the choice
            on validation; the released code has 50. By default never more than steps.
    """

    INSTEAD: ClassVar[Mapping[str, str]] = {}
    """No setting of these stands in for another."""

    steps: Count = 1000
    batch_size: Count = 16
    learning_rate: Positive = 0.3
    projection: Projection = "cosine"
    fluency: Share = 0.0
    init: Literal["class_words", "random"] = "class_words"
    evaluations: Count = 50

    @classmethod
    def fitted(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Evaluations are at most the steps, whichever is given; one token has no fluency."""
        steps = given.get("steps", max(cls.steps, given.get("evaluations", 0)))
        alone = given.get("prompt_length", cls.prompt_length) == 1
        return {
            **super().fitted(given),
            "steps": steps,
            "evaluations": max(1, min(cls.evaluations, steps)),
            "fluency": 0.0 if alone else cls.fluency,
        }

    def complete(self) -> None:
        """One token has no fluency, and there is no evaluation without a step."""
        super().complete()
        good = self.fluency == 0.0 or self.prompt_length > 1
        check(self, "fluency", good, "0 with prompt_length 1, which has no next token")
        good = self.evaluations <= self.steps
        check(self, "evaluations", good, f"at most the number of steps ({self.steps})")

    def steps_for(self, rows: int) -> int:
        """Optimiser steps, whatever the ``rows`` of the training split."""
        return self.steps
