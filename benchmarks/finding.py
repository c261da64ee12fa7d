"""One line of the table: a claim, its peer, what both took, and whether the claim holds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.machine import Floor, rates


@dataclass(frozen=True)
class Finding:
    """What came out for one claim.

    Attributes:
        claim: what we do.
        peer: what it is compared with, and what kind of peer that is.
        ours: our median, in ``unit``.
        theirs: the peer's.
        unit: less is better, unless it is a rate that ends in ``/s``.
        target: least ratio promised; None where nothing was.
        at_most: where the promise is of ``ours`` itself, not of a ratio: the most it may be.
        same: what was asserted to be the same, and within which tolerance.
        floor: operations and bytes of what ``ours`` times.
        floor_count: how many of the unit the floor stands for (of a rate).
        threads: of both.
        estimated: how the peer's value was put together where it was not run as a whole.
        more: further numbers for the JSON record.
    """

    claim: str
    peer: str
    ours: float
    theirs: float
    unit: str
    target: float | None
    same: str
    floor: Floor | None = None
    floor_count: float = 1.0
    threads: int = 1
    estimated: str = ""
    at_most: float | None = None
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """How many times better ours is."""
        return self.ours / self.theirs if self.unit.endswith("/s") else self.theirs / self.ours

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without one."""
        if self.at_most is not None:
            return self.ours <= self.at_most
        return None if self.target is None else self.ratio >= self.target

    def record(self) -> dict[str, Any]:
        """For JSON, with the floor at this machine's rates."""
        found: dict[str, Any] = {
            "claim": self.claim,
            "peer": self.peer,
            "ours": self.ours,
            "theirs": self.theirs,
            "unit": self.unit,
            "ratio": self.ratio,
            "target": self.target,
            "at_most": self.at_most,
            "met": self.met,
            "same": self.same,
            "threads": self.threads,
            "estimated": self.estimated,
        }
        if self.floor is not None:
            least = self.floor.seconds(rates(self.threads))
            rate = self.unit.endswith("/s")
            best = self.floor_count / least if rate else least
            reached = self.ours / best if rate else best / self.ours
            found |= {
                "machine_rates": rates(self.threads).record(),
                "floor": best,
                "floor_reached": reached,
                "floor_gflop": self.floor.flops / 1e9,
                "floor_mb": self.floor.bytes / 1e6,
            }
        return found | self.more


@dataclass(frozen=True)
class Skipped:
    """A claim that could not be measured here."""

    claim: str
    why: str

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {"claim": self.claim, "skipped": self.why}


Measure = Callable[[], list[Finding | Skipped]]
