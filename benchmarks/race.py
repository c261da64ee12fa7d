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
    rounds: int, contestants: Mapping[str, Callable[[], Any]]
) -> tuple[dict[str, Times], dict[str, Any]]:
    """Run each contestant once a round, in turn, and time it.

    Args:
        rounds: how often.
        contestants: by name.

    Returns:
        Times, and what each gave in the last round.
    """
    laps: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    given: dict[str, Any] = {}
    for _ in range(rounds):
        for name, run in contestants.items():
            began, spent = time.perf_counter(), time.process_time()
            given[name] = run()
            laps[name].append((time.perf_counter() - began, time.process_time() - spent))
    times = {
        name: Times(tuple(wall for wall, _ in values), tuple(cpu for _, cpu in values))
        for name, values in laps.items()
    }
    return times, given
