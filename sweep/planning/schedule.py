"""Packs on imaginary workers: when each would start and end, without waiting for any."""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sweep.planning.agenda import Agenda, Closed
from trainables.core.cells import Pack

Seconds = Callable[[Pack], float]
"""What a pack takes."""
Close = Callable[[Pack], Closed]
"""Called with each pack as it ends, in the order in which they end."""


@dataclass(frozen=True)
class Turn:
    """A pack on a worker, its times in seconds since the beginning."""

    worker: int
    pack: str
    began: float
    ended: float


@dataclass(frozen=True)
class Schedule:
    """Who did what when.

    Attributes:
        workers: how many there were.
        turns: in the order in which the packs ended.
    """

    workers: int
    turns: tuple[Turn, ...]

    @property
    def makespan(self) -> float:
        """Seconds from the beginning to the end of the last pack."""
        return max((turn.ended for turn in self.turns), default=0.0)

    @property
    def busy(self) -> float:
        """Seconds of work over all workers."""
        return sum(turn.ended - turn.began for turn in self.turns)

    @property
    def utilisation(self) -> float:
        """Share of the workers' time that was work; 1 where there was nothing to do."""
        return self.busy / (self.workers * self.makespan) if self.makespan else 1.0


def play(agenda: Agenda, workers: int, seconds: Seconds, close: Close) -> Schedule:
    """Hand out an agenda's packs to workers that are free, as Ray Tune would, until all are over.

    Equal arguments give equal schedules: packs that end together end in the order of their start.

    Args:
        agenda: what is to run.
        workers: packs at a time, 1 or more.
        seconds: what each takes, 0 or more.
        close: says what became of a pack.
    """
    free = list(range(workers))
    under_way: list[tuple[float, int, int, float, Pack]] = []
    turns: list[Turn] = []
    now, number = 0.0, 0
    while not agenda.finished:
        while free and (pack := agenda.next_pack()) is not None:
            heapq.heappush(under_way, (now + seconds(pack), number, heapq.heappop(free), now, pack))
            number += 1
        if not under_way:  # all that was left could not be had
            continue
        now, _, worker, began, pack = heapq.heappop(under_way)
        heapq.heappush(free, worker)
        turns.append(Turn(worker, pack.id, began, now))
        closed = close(pack)
        agenda.close(pack.id, closed.done, closed.failed)
    return Schedule(workers, tuple(turns))


def all_done(pack: Pack) -> Closed:
    """What becomes of a pack of which nothing fails."""
    return Closed(done=[cell.id for cell in pack.cells])


def ignore(*told: object) -> None:
    """Takes what an agenda refuses where nothing can fail."""


def would_take(
    packs: Iterable[Pack], done: Iterable[str], workers: int, seconds: Seconds
) -> Schedule:
    """How long packs would take if none failed.

    Args:
        packs: what is to run.
        done: ids of cells that are finished.
        workers: packs at a time.
        seconds: what each takes.
    """
    return play(Agenda(packs, set(done), ignore), workers, seconds, all_done)
