"""Each method under the contract."""

import pytest

from trainables.core.settings.autoprompt import AutoPromptSettings
from trainables.core.settings.fluentprompt import FluentPromptSettings
from trainables.core.settings.helped.proposals import ProposalsSettings
from trainables.core.settings.helped.rlprompt import RLPromptSettings
from trainables.core.settings.mixed import MixedSettings
from trainables.core.settings.pez import PezSettings
from trainables.core.settings.random_words import RandomSettings
from trainables.testing.hard_contract import EVALUATOR, HardContract

SHORT = {"prompt_length": 3, "steps": 5, "batch_size": 6, "accumulation": 2, "candidates": 4}
LONG = {"prompt_length": 2, "steps": 8, "batch_size": 12, "accumulation": 2, "candidates": 5}

DESCENT = {"prompt_length": 3, "steps": 8, "batch_size": 6, "evaluations": 4}


@pytest.mark.slow
class TestAutoPrompt(HardContract):
    method = "autoprompt"
    settings = AutoPromptSettings(**SHORT)
    thorough = AutoPromptSettings(**LONG)


@pytest.mark.slow
class TestMixed(HardContract):
    method = "mixed"
    settings = MixedSettings(**SHORT)
    evaluator = EVALUATOR
    told = 1


@pytest.mark.slow
class TestPezContinuous(HardContract):
    method = "pez"
    settings = PezSettings(**DESCENT)
    thorough = PezSettings(steps=40, evaluations=40, batch_size=12, init="random", norm_clip=2.0)


@pytest.mark.slow
class TestPezProjected(HardContract):
    method = "pez"
    settings = PezSettings(state="projected", fluency=0.2, ties="latest", **DESCENT)


@pytest.mark.slow
class TestFluentPrompt(HardContract):
    method = "fluentprompt"
    settings = FluentPromptSettings(**DESCENT)
    thorough = FluentPromptSettings(steps=60, evaluations=60, batch_size=12, init="random")


HELPED = {"prompt_length": 3, "prompts": 3, "reward_texts": 8}


@pytest.mark.slow
class TestRLPrompt(HardContract):
    method = "rlprompt"
    settings = RLPromptSettings(steps=4, evaluations=2, width=8, **HELPED)


@pytest.mark.slow
class TestRLPromptOfSeveralModels(HardContract):
    method = "rlprompt"
    settings = RLPromptSettings(steps=3, evaluations=3, width=8, reward="mean", **HELPED)
    evaluator = EVALUATOR
    told = 1


@pytest.mark.slow
class TestProposals(HardContract):
    method = "proposals"
    settings = ProposalsSettings(steps=2, example_tokens=8, **HELPED)


class TestRandom(HardContract):
    method = "random"
    settings = RandomSettings(prompt_length=3)
    told = 1
