"""Parameters shared by hard methods whose words a causal language model proposes."""

from dataclasses import dataclass
from typing import ClassVar

from trainables.core.settings.base import Count, axis
from trainables.core.settings.hard import HardSettings, Vocabulary


@dataclass(frozen=True)
class HelpedSettings(HardSettings):
    """What RLPrompt and proposals have in common.

    Both score many prompts on some training examples, each different one once. Beside every search
    stands the best of as many random prompts of the same words (row ``drawn``), scored on the same
    examples and chosen in the same way.

    A prompt consists of words that the helper knows as one token, too; where both have the same
    tokenizer, of all tokens that ``vocabulary`` allows.

    Attributes:
        helper: the causal model, named as models are anywhere in a spec. It may be one of the
            spec's or another; nothing is ever scored by it.
        steps: how often prompts are proposed.
        prompts: how many are proposed each time.
        reward_texts: training examples that a prompt is scored on, the classes in their
            proportions; drawn anew for each seed.
    """

    control: ClassVar[bool] = True
    backwards: ClassVar[bool] = False

    vocabulary: Vocabulary = axis("all")
    helper: str = axis("pocket-gpt2")
    steps: Count = 100
    prompts: Count = 16
    reward_texts: Count = 32
