"""How long a search would take, told from points drawn at random: nobody knows which it takes."""

import math
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from sweep.planning.plan import Plan
from sweep.search.plan import SearchPlan
from sweep.spec.space.domains import Range
from sweep.spec.space.space import Point
from sweep.timing.estimate import Basis, estimate
from trainables.errors import InputError

DRAWN = 48
"""Points that the rest of a search is taken to be like."""
_MOST_TRIES = 20


@dataclass
class Drawn:
    """Chooses at random, the same for the same seed."""

    seed: int = 0
    flat: bool = False
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def number(self, name: str, domain: Range) -> float:
        """A number of the range, on its grid."""
        if domain.size is not None and not domain.log:
            return float(domain.at(self._random.randrange(domain.size)))
        if domain.log:
            found = math.exp(self._random.uniform(math.log(domain.low), math.log(domain.high)))
        else:
            found = self._random.uniform(domain.low, domain.high)
        if domain.step is not None:
            found = domain.low + domain.step * round((found - domain.low) / domain.step)
        return min(max(found, domain.low), domain.high)

    def label(self, name: str, labels: tuple[str, ...]) -> str:
        return self._random.choice(labels)


def drawn_points(plan: SearchPlan, count: int, seed: int = 0) -> list[Point]:
    """Points of the space, none twice; fewer than ``count`` where there are no more."""
    chooser, found = Drawn(seed), dict[str, Point]()
    there = count if plan.space.size is None else min(count, plan.space.size)
    for _ in range(_MOST_TRIES * count):
        try:
            point = plan.space.choose(chooser)
        except InputError:  # settings that exclude each other
            continue
        found.setdefault(point.key, point)
        if len(found) == there:
            break
    return list(found.values())


def search_estimate(
    plan: SearchPlan,
    held: Callable[[Plan], Collection[str]],
    known: Basis,
    workers: int | None = None,
) -> dict[str, Any]:
    """Time that the whole budget of trials would take, none of them given up early.

    Args:
        held: ids of a plan's cells that need not run.
        known: rates.
        workers: packs at once at most; None leaves it to the resources.

    Returns:
        As :func:`sweep.timing.estimate.estimate`, with ``points`` (how many it is told for; None
        where the budget is hours alone).
    """
    points = drawn_points(plan, DRAWN)
    sample = plan.together(points)
    result = estimate(sample, held(sample), known, workers)
    wanted = _points(plan, len(sample.cells) / max(len(points), 1))
    result["points"] = wanted
    if wanted is None or result["seconds"] is None:
        return result | {"seconds": None, "pack_seconds": None, "gpu_hours": None}
    more = wanted / max(len(points), 1)
    return result | {key: result[key] * more for key in ("seconds", "pack_seconds", "gpu_hours")}


def _points(plan: SearchPlan, cells: float) -> int | None:
    """How many points the budget allows, of so many cells each."""
    section = plan.section
    bounds = [section.trials, plan.space.size]
    if section.cells is not None:
        bounds.append(math.ceil(section.cells / max(cells, 1)))
    known = [bound for bound in bounds if bound is not None]
    return min(known) if known else None
