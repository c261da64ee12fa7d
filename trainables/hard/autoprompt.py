"""AutoPrompt (Shin et al. 2020): gradient-guided exchange of tokens, tried on the source itself."""

from collections.abc import Sequence

from trainables.hard.juror import Juror
from trainables.hard.problem import HardFound, HardProblem, HardReplica, Progress, Rungs
from trainables.hard.referee import source_referee
from trainables.hard.swaps import swap_search
from trainables.settings.autoprompt import AutoPromptSettings


def search(
    problem: HardProblem,
    replicas: Sequence[HardReplica],
    settings: AutoPromptSettings,
    progress: Progress | None = None,
    rungs: Rungs | None = None,
) -> list[HardFound]:
    """Search all replicas as one stack, see :func:`trainables.hard.swaps.swap_search`."""
    trial = Juror(problem.source, settings.prompt_length)
    referee = source_referee(problem, len(replicas), settings)
    return swap_search(problem.source, replicas, settings, trial, referee, progress, rungs)
