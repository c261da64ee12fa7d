"""Contestants that run in turn in one process, and what their times come to."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Times:
    """Seconds of one contestant, a value each round.

    Attributes:
        wall: by the clock.
        processor: of this process's processor time, which other programs disturb less.
    """

    wall: tuple[float, ...]
    processor: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median wall time."""
        return statistics.median(self.wall)

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "seconds": self.median,
            "processor_seconds": statistics.median(self.processor),
            "rounds": list(self.wall),
        }


def race(
    rounds: int, contestants: Mapping[str, Callable[[], Any]], warm: bool = True
) -> dict[str, Times]:
    """Run each contestant once a round, in turn, and time it.

    Args:
        rounds: how often.
        contestants: by name.
        warm: run all of them once beforehand, untimed.
    """
    if warm:
        for run in contestants.values():
            run()
    laps: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            began, spent = time.perf_counter(), time.process_time()
            run()
            laps[name].append((time.perf_counter() - began, time.process_time() - spent))
    return {
        name: Times(tuple(wall for wall, _ in values), tuple(cpu for _, cpu in values))
        for name, values in laps.items()
    }
