"""Which names of models may be exchanged in a design, how many ways there are, and draws of them.

A permutation of the models is valid where it maps the source sets of every *place* (a target, or a
target and task) onto the source sets of that same place. With a model that is source and target at
once this is a small part of all S! permutations: no set holds its own target, so that the model has
to stay where it is. Valid permutations form a group, and a test over a group, or over uniform draws
from it, keeps its level. They are not searched for among all permutations but built: one after the
other each model is given a place that some valid permutation gives it (a chain of stabilisers,
Sims 1970), so that the product of the numbers of choices counts them, and independent choices draw
one uniformly.

Models that occur only together are one unit: to exchange them changes no set. What is counted are
therefore different permutations of the *source sets*.
"""

import itertools
import math
import operator
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from analysis.stats.ordering import Indices, Numbers

SourceSet = tuple[str, ...]
"""The models of a source set."""


@dataclass(frozen=True)
class Exchanges:
    """All valid permutations of a design's source sets.

    Attributes:
        steps: the choices [k, n] of every step of the chain; each choice is a permutation of the n
            source sets, row entry j being the set that set j is mapped to. The first is the
            identity.
        size: n.
    """

    steps: tuple[Indices, ...]
    size: int

    @property
    def count(self) -> int:
        """Number of different valid permutations, the identity among them."""
        return math.prod(len(step) for step in self.steps)

    def every(self) -> Indices:
        """All of them [count, n], the identity first."""
        orders = np.arange(self.size)[None]
        for step in reversed(self.steps):
            orders = step[:, orders].reshape(-1, self.size)
        return orders

    def draw(self, number: int, generator: np.random.Generator) -> Indices:
        """Uniform independent draws with replacement [number, n]."""
        orders = np.broadcast_to(np.arange(self.size), (number, self.size))
        for step in reversed(self.steps):
            chosen = step[generator.integers(len(step), size=number)]
            orders = np.take_along_axis(chosen, orders, axis=1)
        return np.array(orders)


EVERY = 10_000
"""Permutations up to which all are looked at; of more, :data:`DRAWN` are drawn."""
DRAWN = 1_999


def sample(
    parts: Sequence[Exchanges], every: int = EVERY, drawn: int = DRAWN
) -> tuple[Indices, bool]:
    """Permutations for a test, independent in every part; the identity comes first.

    The share of permutations with a statistic at least that of the first is the exact p if all are
    there, and (b + 1) / (m + 1) if m were drawn, b of them at least as large.

    Args:
        parts: of each part what may be exchanged in it.
        every: up to so many, all are returned.
        drawn: otherwise so many beside the identity, always the same.

    Returns:
        [P, parts, n], and whether they are all there are.
    """
    if math.prod(part.count for part in parts) <= every:
        orders = np.empty((1, 0, parts[0].size), dtype=np.int64)
        for part in parts:
            new = part.every()
            orders = np.concatenate(
                [np.repeat(orders, len(new), axis=0), np.tile(new, (len(orders), 1))[:, None]],
                axis=1,
            )
        return orders, True
    generator = np.random.default_rng(0)
    orders = np.stack([part.draw(drawn, generator) for part in parts], axis=1)
    same = np.broadcast_to(np.arange(parts[0].size), (1, len(parts), parts[0].size))
    return np.concatenate([same, orders]), False


def p_value(statistics: Numbers) -> float:
    """Share of a permuted statistic [P] that is at least its first, which is the observed one."""
    # Rounding must not make a permutation that changes nothing smaller than the value itself.
    return float((statistics >= statistics[0] - 1e-9).mean())


Places = tuple[tuple[int, ...], ...]
"""Per place the numbers of the source sets that are there."""


@lru_cache(maxsize=256)
def exchanges(sets: tuple[SourceSet, ...], places: Places) -> Exchanges:
    """The valid permutations of source sets.

    Args:
        sets: all source sets, each once; their numbers are what is permuted.
        places: per place the sets that are there. A set in no place stays itself.
    """
    places_by_set: dict[int, list[int]] = {}
    for place, numbers in enumerate(places):
        for number in numbers:
            places_by_set.setdefault(number, []).append(place)
    if not places_by_set:
        return Exchanges((), len(sets))
    there: dict[int, Hashable] = {
        number: tuple(places_of) for number, places_of in places_by_set.items()
    }
    design = _Design.of(sets, there)
    steps = []
    for fixed in range(design.units):
        images = (design.complete([*range(fixed), image]) for image in range(fixed, design.units))
        choices = [design.on_sets(image, len(sets)) for image in images if image is not None]
        if len(choices) > 1:
            steps.append(np.array(choices, dtype=np.int64))
    return Exchanges(tuple(steps), len(sets))


def separate(sets: tuple[SourceSet, ...], units: tuple[Places, ...]) -> tuple[list[Exchanges], int]:
    """What may be exchanged in every unit (a task) on its own, and how many ways that makes.

    Relabelling all units alike changes no order: such ways count once. A unit that allows no more
    than all units together stays fixed.

    Args:
        units: per unit and place the sets that are there.

    Returns:
        What may be exchanged, per unit, and the number of ways that differ.
    """
    parts = [exchanges(sets, places) for places in units]
    alike = exchanges(sets, tuple(itertools.chain(*units))).count
    ways = math.prod(part.count for part in parts) // alike
    for place, (part, places) in enumerate(zip(parts, units, strict=True)):
        if part.count == alike and len(set(itertools.chain(*places))) == len(sets):
            parts[place] = Exchanges((), len(sets))
            break
    return parts, ways


@dataclass(frozen=True)
class _Design:
    """Sets of units and where each is found.

    Attributes:
        units: their number U.
        numbers: per set of units its number among all source sets.
        kinds: per set of units what it may be mapped to: its places and its number of models.
        closed: per unit the sets whose last unit it is.
        colours: per unit what it may be mapped to, as far as its own sets tell.
    """

    units: int
    numbers: Mapping[frozenset[int], int]
    kinds: Mapping[frozenset[int], Hashable]
    closed: Sequence[Sequence[frozenset[int]]]
    colours: Sequence[Hashable]

    @classmethod
    def of(cls, sets: Sequence[SourceSet], there: Mapping[int, Hashable]) -> "_Design":
        """Units of the models, and the sets they make."""
        member: dict[str, list[int]] = {}
        for number in there:
            for model in sets[number]:
                member.setdefault(model, []).append(number)
        together: dict[tuple[int, ...], list[str]] = {}
        for model in sorted(member):
            together.setdefault(tuple(member[model]), []).append(model)
        groups = _joined(list(together.values()), [set(sets[number]) for number in there])
        unit = {model: place for place, group in enumerate(groups) for model in group}
        numbers = {frozenset(unit[model] for model in sets[number]): number for number in there}
        kinds = {key: (there[number], len(sets[number])) for key, number in numbers.items()}
        closed: list[list[frozenset[int]]] = [[] for _ in groups]
        seen: list[list[Hashable]] = [[] for _ in groups]
        for key, kind in kinds.items():
            closed[max(key)].append(key)
            for place in key:
                seen[place].append((kind, len(key)))
        colours = [
            (len(group), frozenset(Counter(kinds_of).items()))
            for group, kinds_of in zip(groups, seen, strict=True)
        ]
        return cls(len(groups), numbers, kinds, closed, colours)

    def complete(self, images: list[int]) -> list[int] | None:
        """A valid permutation of the units that begins with ``images``; None where none does."""
        # All images but the last are the units themselves, of which nothing is to be checked.
        if not self._fits(images):
            return None
        return self._go_on(images)

    def _go_on(self, images: list[int]) -> list[int] | None:
        if len(images) == self.units:
            return images
        for image in self._free(images):
            longer = [*images, image]
            if self._fits(longer):
                whole = self._go_on(longer)
                if whole is not None:
                    return whole
        return None

    def _free(self, images: Sequence[int]) -> Iterator[int]:
        taken = set(images)
        return (image for image in range(self.units) if image not in taken)

    def _fits(self, images: Sequence[int]) -> bool:
        """Whether the last image has its unit's colour, and the sets closed by it have images.

        As sets and kinds are finite and images differ, a map of all sets into those of their kind
        is one onto them.
        """
        last = len(images) - 1
        return self.colours[last] == self.colours[images[last]] and all(
            self.kinds.get(frozenset(images[place] for place in key)) == self.kinds[key]
            for key in self.closed[last]
        )

    def on_sets(self, images: Sequence[int], size: int) -> list[int]:
        """What a permutation of the units makes of the source sets, by number."""
        images_of = list(range(size))
        for key, number in self.numbers.items():
            images_of[number] = self.numbers[frozenset(images[place] for place in key)]
        return images_of


def _joined(groups: list[list[str]], sets: Sequence[set[str]]) -> list[list[str]]:
    """Groups of models, each that shares most sets with those before it next.

    Sets are complete early then, and an image that fits nowhere shows soon.
    """
    order: list[list[str]] = []
    begun = [False] * len(sets)
    while groups:
        inside = [[not one.isdisjoint(group) for one in sets] for group in groups]
        shared = [sum(map(operator.and_, begun, one)) for one in inside]
        best = shared.index(max(shared))
        begun = list(map(operator.or_, begun, inside[best]))
        order.append(groups.pop(best))
    return order
