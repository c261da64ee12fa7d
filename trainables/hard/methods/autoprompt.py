"""AutoPrompt (Shin et al. 2020): gradient-guided exchange of tokens, tried on the source itself."""

from collections.abc import Sequence

from trainables.core.settings.autoprompt import AutoPromptSettings
from trainables.hard.methods.swaps import swap_search
from trainables.hard.problem import HardFound, HardProblem, HardReplica, Progress, Rungs
from trainables.hard.racing import source_race
from trainables.hard.scorer import Scorer


def search(
    problem: HardProblem,
    replicas: Sequence[HardReplica],
    settings: AutoPromptSettings,
    progress: Progress | None = None,
    rungs: Rungs | None = None,
) -> list[HardFound]:
    trial = Scorer(problem.source, settings.prompt_length)
    race = source_race(problem, len(replicas), settings)
    return swap_search(problem.source, replicas, settings, trial, race, progress, rungs)
