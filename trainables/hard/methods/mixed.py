"""Mixed training (Rakotonirina et al. 2023): the source proposes, another model judges.

The search is AutoPrompt's. The gradient is the source's; candidates are tried on the evaluator,
which reads the text of each with its own tokenizer, so that a prompt which only its source
understands does not last.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from trainables.core.settings.mixed import MixedSettings
from trainables.errors import InputError
from trainables.hard.methods.swaps import swap_search
from trainables.hard.problem import HardFound, HardProblem, HardReplica, Progress, Rungs
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
    groups: dict[str, list[int]] = {}
    for place, replica in enumerate(replicas):
        groups.setdefault(_evaluator(replica, problem), []).append(place)
    found: dict[int, HardFound] = {}
    for number, (alias, places) in enumerate(groups.items()):
        stack = [replicas[place] for place in places]
        part = _shifted(progress, number, len(groups))
        ask = _on_places(rungs, places)
        found |= zip(places, _search_one(problem, alias, stack, settings, part, ask), strict=True)
    return [found[place] for place in range(len(replicas))]


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
        _as_on_source(item, on_source.found(place, settings.steps))
        for place, item in enumerate(found)
    ]


def _as_on_source(chosen: HardFound, own: HardFound) -> HardFound:
    return replace(
        chosen,
        validation=own.validation,
        logits=own.logits,
        evaluated=chosen.evaluated + own.evaluated,
        saved=chosen.saved + own.saved,
        unread=chosen.unread or own.unread,
    )


def _evaluator(replica: HardReplica, problem: HardProblem) -> str:
    if replica.evaluator not in problem.evaluators:
        raise InputError(
            f"evaluator: found {replica.evaluator!r};"
            f" allowed: {', '.join(problem.evaluators) or 'none, as no evaluator is given'}"
        )
    return str(replica.evaluator)


def _on_places(rungs: Rungs | None, places: Sequence[int]) -> Rungs | None:
    """The question of one group in terms of all replicas."""
    if rungs is None:
        return None
    own = {place: number for number, place in enumerate(places)}

    def asked(step: int, values: Mapping[int, float]) -> set[int]:
        named = rungs(step, {places[number]: value for number, value in values.items()})
        return {own[place] for place in named if place in own}

    return asked


def _shifted(progress: Progress | None, number: int, groups: int) -> Progress | None:
    """Progress of one group of several, as part of the whole."""
    if progress is None:
        return None
    return lambda step, steps: progress(number * steps + step, groups * steps)
