"""Beside a search: the best of as many random prompts as it has scored (row ``drawn``).

Both sides read the same training examples with the same number of different prompts, and offer the
same number of them for the choice on validation: of the drawn ones those with the best rewards. So
what the search finds beyond its control is what its *way* of choosing prompts is worth.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from trainables.core.frontier import Cost
from trainables.core.seeds import seeded
from trainables.errors import InputError
from trainables.hard.problem import HardFound, HardReplica, Rungs, on_places
from trainables.hard.racing import Race
from trainables.hard.scorer import Ids
from trainables.hard.trials import Trials

SCORED, OFFERED = "prompts_scored", "prompts_offered"
"""What a search tells, and its control repeats: different prompts that were scored on training
examples, and those of them that were offered for the choice on validation."""

_FEW = 4
"""Where so many times the prompts that are wanted are all there are, all of them are listed."""

Search = Callable[[Sequence[HardReplica], Rungs | None], Sequence[HardFound]]
"""Searches replicas none of which is drawn."""
Draw = Callable[[HardReplica, Mapping[str, int], int], HardFound]
"""The control of a replica, of a search that told so much, in so many steps."""


def with_drawn(
    replicas: Sequence[HardReplica], search: Search, draw: Draw, rungs: Rungs | None
) -> list[HardFound]:
    """What each replica ends with: that of its search, or the control beside that.

    How much a search has scored is known when it has ended: a replica that is drawn without its
    search beside it has it run all the same.
    """
    keys = [_key(replica) for replica in replicas]
    sought: dict[object, int] = {}
    for place in sorted(range(len(replicas)), key=lambda place: replicas[place].drawn):
        sought.setdefault(keys[place], place)
    order = list(sought.values())
    stack = [replace(replicas[place], drawn=False) for place in order]
    searched = dict(zip(sought, search(stack, on_places(rungs, order)), strict=True))
    found = []
    for key, replica in zip(keys, replicas, strict=True):
        beside = searched[key]
        if not replica.drawn or beside.failed is not None or beside.stopped is not None:
            found.append(beside)
        else:
            found.append(draw(replica, beside.told, beside.steps))
    return found


def _key(replica: HardReplica) -> object:
    return (replica.seed, replica.judges, tuple(replica.allowed.tolist()))


def best_drawn(
    race: Race,
    place: int,
    trials: Trials,
    words: torch.Tensor,
    length: int,
    told: Mapping[str, int],
    step: int,
    seed: int,
) -> HardFound:
    """The best of as many random prompts.

    Args:
        race: chooses on validation; nothing has been offered to it for ``place``.
        place: the replica's in the race.
        trials: scores prompts on the training examples of the search; has scored none yet.
        words: tokens [A] that the search could use.
        length: tokens m of a prompt.
        told: by :data:`SCORED` and :data:`OFFERED`, how many the search had.
        step: said of the prompt found.
        seed: of the draw.

    Raises:
        InputError: a model has no room for any of them.
    """
    trials(random_different(words, length, told[SCORED], seed))
    best = trials.best(told[OFFERED])
    if not best:
        raise InputError(no_room(length))
    race.offer(step, torch.tensor([best]), [place])
    return spent(race.found(place, step), trials, told[OFFERED])


def no_room(length: int) -> str:
    """Why a prompt of so many tokens cannot be scored, in a sentence."""
    return (
        f"text_tokens: a model has no room for a prompt of {length} tokens before its texts;"
        " allowed: fewer tokens together, so cut texts shorter"
    )


def spent(found: HardFound, trials: Trials, offered: int) -> HardFound:
    """With the trials that led to a prompt in its cost, and their numbers told."""
    found.cost += trials.cost + Cost(target_labels=trials.labels)
    found.told |= {SCORED: len(trials.known), OFFERED: offered}
    return found


def random_different(words: torch.Tensor, length: int, count: int, seed: int) -> list[Ids]:
    """``count`` different prompts of m random words [A] each; all there are, where these are fewer.

    A larger count only adds prompts, but for those cases in which most of all there are is wanted.
    """
    generator, listed = seeded("drawn", seed), words.tolist()
    if len(listed) ** length <= _FEW * count:
        every = list(itertools.product(listed, repeat=length))
        order = torch.randperm(len(every), generator=generator)[:count]
        return [every[place] for place in order.tolist()]
    found: dict[Ids, None] = {}
    while len(found) < count:
        places = torch.randint(len(listed), (length,), generator=generator)
        found.setdefault(tuple(words[places].tolist()))
    return list(found)
