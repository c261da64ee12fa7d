"""A search without models: a tabulated objective on a clock that nobody waits for.

:func:`simulate` runs a study's points on imaginary workers. Their results come in the order in
which real ones would, so that searches, pruners and budgets can be tried and compared in seconds.
"""

import hashlib
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from sweep.search.records import Suggestion
from sweep.search.study import Study
from sweep.spec.space.space import Point

Score = Callable[[Point], float]


class FakeClock:
    """A clock that is set instead of waited for."""

    def __init__(self) -> None:
        """Begin at 0 s."""
        self._now = 0.0

    def now(self) -> float:
        """Seconds since the beginning."""
        return self._now

    def advance_to(self, time: float) -> None:
        """Set it; it never goes back."""
        self._now = max(self._now, time)


@dataclass(frozen=True)
class Landscape:
    """An objective that is a fixed function of the point, over a few instances (tasks, seeds).

    Attributes:
        score: the point's true value.
        instances: how many there are; a point's value is the mean over them.
        spread: an instance adds between −spread and +spread, the same to every point.
        noise: and as much more, another for each point and instance.
        seconds: what one instance takes.
        fails: points that cannot be run.
    """

    score: Score
    instances: int = 1
    spread: float = 0.0
    noise: float = 0.0
    seconds: Callable[[Point], float] = lambda point: 1.0
    fails: Callable[[Point], bool] = lambda point: False

    def value(self, point: Point, instance: int) -> float:
        """What one instance scores."""
        shared = _unit("instance", str(instance))
        own = _unit(point.key, str(instance))
        return self.score(point) + self.spread * shared + self.noise * own

    def mean(self, point: Point) -> float:
        """What the study is told."""
        values = [self.value(point, instance) for instance in range(self.instances)]
        return sum(values) / len(values)


@dataclass
class Replay:
    """What a simulation did.

    Attributes:
        seconds: on the clock.
        busy: seconds of work over all workers.
        started: keys of the points that were run, in their order; a point comes twice if it was run
            twice.
    """

    seconds: float = 0.0
    busy: float = 0.0
    started: list[str] = field(default_factory=list)


def simulate(
    study: Study,
    landscape: Landscape,
    points: int,
    workers: int = 1,
    clock: FakeClock | None = None,
) -> Replay:
    """Run a study until it has that many finished points, or knows all.

    Args:
        study: an open study; it may have points already.
        landscape: what is searched.
        points: budget of finished points (failed ones cost none).
        workers: points at a time.
        clock: set on from instance to instance.
    """
    clock = clock or FakeClock()
    replay = Replay()
    due: list[tuple[float, int, int, Suggestion]] = []
    exhausted = False
    while True:
        while len(due) < workers and not exhausted and _more(study, points):
            found = study.ask()
            if found is None:
                exhausted = True
            else:
                replay.started.append(found.point.key)
                _push(due, clock, landscape, found, 0)
        if not due:
            break
        time, _, instance, found = heapq.heappop(due)
        clock.advance_to(time)
        replay.busy += landscape.seconds(found.point)
        if _goes_on(study, landscape, found, instance):
            _push(due, clock, landscape, found, instance + 1)
    replay.seconds = clock.now()
    return replay


def _more(study: Study, points: int) -> bool:
    counts = study.counts()
    return bool(study.running()) or counts.finished + counts.running < points


def _push(
    due: list[tuple[float, int, int, Suggestion]],
    clock: FakeClock,
    landscape: Landscape,
    found: Suggestion,
    instance: int,
) -> None:
    time = clock.now() + landscape.seconds(found.point)
    heapq.heappush(due, (time, found.number, instance, found))


def _goes_on(study: Study, landscape: Landscape, found: Suggestion, instance: int) -> bool:
    """Tell of one instance; whether another one follows."""
    if landscape.fails(found.point):
        study.fail(found.number, "the landscape says so")
        return False
    study.report(found.number, instance, landscape.value(found.point, instance))
    if instance + 1 == landscape.instances:
        study.complete(found.number, landscape.mean(found.point))
        return False
    if study.should_prune(found.number):
        study.prune(found.number)
        return False
    return True


def _unit(*parts: str) -> float:
    """A number in [−1, 1) that the parts decide."""
    digest = hashlib.sha256("/".join(parts).encode()).digest()
    return int.from_bytes(digest[:4]) / 2**31 - 1.0
