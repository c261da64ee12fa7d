"""Parameters of RLPrompt (Deng et al. 2022), each with the reason for its default."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Interval

from trainables.core.settings.base import Count, Positive, axis, check
from trainables.core.settings.helped.base import HelpedSettings


@dataclass(frozen=True)
class RLPromptSettings(HelpedSettings):
    """RLPrompt: soft Q-learning of a small network on top of the helper.

    Attributes:
        prompt_length: the paper's 5 tokens.
        steps: updates; 12,000 in the released code, which reads every prompt anew, however often
            it was sampled before.
        prompts: sampled for each update; 16 as released.
        reward_texts: 16 of each of two classes in the paper.
        evaluations: how often, evenly spaced and at the end, the most likely prompt is offered for
            the choice on validation, as the untrained policy's is; every 10 steps as released. By
            default never more than steps.
        reward: whose mean a reward is, and whose mean validation metric chooses: the ``source``
            alone, as published, or the ``mean`` of the source's and its counterparts', so that what
            all of them understand is rewarded.
        correct: what the gap between the label's probability and the best other one is multiplied
            by where it is positive (λ₂ of the paper); 200 for classification.
        incorrect: the same where it is not (λ₁); 180.
        normalise: whether the rewards of an update are z-scores among themselves.
        reward_scale: what they are multiplied by then; the released code takes [0, 1] to [0, 5].
        top_k: prompts are sampled from so many of the most likely next words; 256 as released.
        width: hidden units of the network; 2048 as released.
        learning_rate: Adam's. The released 5e-5 is for 12,000 updates; with hundreds of them
            nothing would be learnt by it.
        clip_gradient: largest norm of the gradient; 5 as released.
        polyak: what part of the way the target network goes towards the network after an update;
            0.001 as released, where it is slow on 12,000 updates.
    """

    search: ClassVar[str] = "trainables.hard.methods.rlprompt:search"

    prompt_length: Count = axis(5)
    steps: Count = 1000
    evaluations: Count = 100
    reward: Literal["source", "mean"] = axis("source")
    correct: Positive = 200.0
    incorrect: Positive = 180.0
    normalise: bool = True
    reward_scale: Positive = 5.0
    top_k: Count = 256
    width: Count = 2048
    learning_rate: Positive = 1e-3
    clip_gradient: Positive | None = 5.0
    polyak: Annotated[float, Interval(gt=0, le=1)] = 0.01

    @property
    def counterparts_needed(self) -> bool:
        """Whether a search reads models beside its source and its helper."""
        return super().counterparts_needed or self.reward == "mean"

    def judges(self, counterparts: tuple[str, ...]) -> tuple[str, ...]:
        """All counterparts, where the reward is their mean with the source."""
        return counterparts if self.reward == "mean" else ()

    @classmethod
    def fitted(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Evaluations are at most the steps, whichever is given."""
        steps = given.get("steps", max(cls.steps, given.get("evaluations", 0)))
        evaluations = max(1, min(cls.evaluations, steps))
        return {**super().fitted(given), "steps": steps, "evaluations": evaluations}

    def complete(self) -> None:
        """There is no evaluation without a step."""
        super().complete()
        good = self.evaluations <= self.steps
        check(self, "evaluations", good, f"at most the number of steps ({self.steps})")
