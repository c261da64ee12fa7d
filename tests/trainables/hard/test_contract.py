"""Each method under the contract."""

from trainables.settings.autoprompt import AutoPromptSettings
from trainables.settings.mixed import MixedSettings
from trainables.settings.random_words import RandomSettings
from trainables.testing.hard_contract import EVALUATOR, HardContract

SHORT = {"prompt_length": 3, "steps": 5, "batch_size": 6, "accumulation": 2, "candidates": 4}
LONG = {"prompt_length": 2, "steps": 8, "batch_size": 12, "accumulation": 2, "candidates": 5}


class TestAutoPrompt(HardContract):
    method = "autoprompt"
    settings = AutoPromptSettings(**SHORT)
    thorough = AutoPromptSettings(**LONG)


class TestMixed(HardContract):
    method = "mixed"
    settings = MixedSettings(**SHORT)
    evaluator = EVALUATOR


class TestRandom(HardContract):
    method = "random"
    settings = RandomSettings(prompt_length=3)
