"""Mixed training (Rakotonirina et al. 2023): the source proposes, another model judges.

The search is AutoPrompt's. The gradient is the source's; candidates are tried on the evaluator,
which reads the text of each with its own tokenizer, so that a prompt which only its source
understands does not last.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from trainables.core.settings.mixed import MixedSettings
from trainables.errors import InputError
from trainables.hard.methods.swaps import swap_search
from trainables.hard.problem import (
    HardFound,
    HardProblem,
    HardReplica,
    Progress,
    Rungs,
    by_judges,
)
from trainables.hard.racing import Race, source_race
from trainables.hard.scorer import Scorer, Translation

CHOICES: dict[str, Callable[[Scorer, Scorer], list[Scorer]]] = {
    "evaluator": lambda source, evaluator: [evaluator],
    "mean": lambda source, evaluator: [source, evaluator],
}
"""Of source and evaluator those whose mean validation metric chooses, by the setting ``choice``."""


def search(
    problem: HardProblem,
    replicas: Sequence[HardReplica],
    settings: MixedSettings,
    progress: Progress | None = None,
    rungs: Rungs | None = None,
) -> list[HardFound]:
    """Search the replicas of each evaluator as one stack.

    What is found has ``validation`` and ``logits`` of the source, as with any other method;
    ``validation`` and ``loss`` in its curve are those the choice was made by.

    Raises:
        InputError: a replica names no evaluator of the problem, or a prompt does not fit one.
    """
    if any(replica.evaluator is None for replica in replicas):
        raise InputError(
            "evaluator: found None;"
            f" allowed: {', '.join(problem.evaluators) or 'none, as no evaluator is given'}"
        )

    def part(
        judges: tuple[str, ...],
        stack: Sequence[HardReplica],
        tell: Progress | None,
        ask: Rungs | None,
    ) -> list[HardFound]:
        return _search_one(problem, judges[0], stack, settings, tell, ask)

    return by_judges(part, problem, replicas, progress, rungs)


def _search_one(
    problem: HardProblem,
    alias: str,
    replicas: Sequence[HardReplica],
    settings: MixedSettings,
    progress: Progress | None,
    rungs: Rungs | None,
) -> list[HardFound]:
    reading = problem.evaluators[alias]
    translation = Translation(problem.source.backbone, reading.backbone)
    evaluator = Scorer(reading, settings.prompt_length, translation)
    race = Race(
        CHOICES[settings.choice](Scorer(problem.source, settings.prompt_length), evaluator),
        problem.metric,
        len(replicas),
        ties=settings.ties,
        margin=settings.race_margin,
        home=problem.source.backbone,
    )
    found = swap_search(problem.source, replicas, settings, evaluator, race, progress, rungs)
    on_source = source_race(problem, len(replicas), settings)
    on_source.offer(settings.steps, torch.tensor([item.ids for item in found]))
    return [
        as_on_source(item, on_source.found(place, settings.steps))
        for place, item in enumerate(found)
    ]


def as_on_source(chosen: HardFound, own: HardFound) -> HardFound:
    """A prompt that others have chosen, with what it is on its source."""
    return replace(
        chosen,
        validation=own.validation,
        logits=own.logits,
        evaluated=chosen.evaluated + own.evaluated,
        saved=chosen.saved + own.saved,
        unread=chosen.unread or own.unread,
    )
