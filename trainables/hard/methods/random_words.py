"""Random prompts: the row Random of paper B, and where searches start."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from trainables.core.frontier import Cost
from trainables.core.seeds import seeded
from trainables.core.settings.random_words import RandomSettings
from trainables.hard.problem import HardFound, HardProblem, HardReplica, Progress, Rungs
from trainables.hard.racing import source_race


def random_prompts(replicas: Sequence[HardReplica], length: int) -> torch.Tensor:
    """Allowed tokens [R, m], drawn with replacement; each row depends on its replica alone.

    Args:
        replicas: seeds and allowed tokens.
        length: tokens m.
    """
    rows = []
    for replica in replicas:
        generator = seeded("hard-init", replica.seed)
        index = torch.randint(len(replica.allowed), (length,), generator=generator)
        rows.append(replica.allowed.cpu()[index])
    return torch.stack(rows)


def search(
    problem: HardProblem,
    replicas: Sequence[HardReplica],
    settings: RandomSettings,
    progress: Progress | None = None,
    rungs: Rungs | None = None,
) -> list[HardFound]:
    """One random prompt a replica, not trained and not chosen; its validation metric is read."""
    race = source_race(problem, len(replicas), settings)
    race.offer(0, random_prompts(replicas, settings.prompt_length))
    if progress:
        progress(1, 1)
    # Nothing was chosen by what was read: it is told, and no part of the cost.
    return [replace(race.found(place, 0), cost=Cost()) for place in range(len(replicas))]
