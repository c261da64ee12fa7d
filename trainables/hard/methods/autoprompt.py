"""AutoPrompt (Shin et al. 2020): gradient-guided exchange of tokens, tried on the source itself."""

from collections.abc import Sequence

from trainables.core.settings.autoprompt import AutoPromptSettings
from trainables.hard.methods.swaps import swap_search
from trainables.hard.problem import HardFound, HardProblem, HardReplica, Progress, Rungs
from trainables.hard.racing import source_referee
from trainables.hard.scorer import Juror


def search(
    problem: HardProblem,
    replicas: Sequence[HardReplica],
    settings: AutoPromptSettings,
    progress: Progress | None = None,
    rungs: Rungs | None = None,
) -> list[HardFound]:
    """Search all replicas as one stack, see :func:`trainables.hard.methods.swaps.swap_search`."""
    trial = Juror(problem.source, settings.prompt_length)
    referee = source_referee(problem, len(replicas), settings)
    return swap_search(problem.source, replicas, settings, trial, referee, progress, rungs)
