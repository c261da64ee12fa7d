"""What one run has to do: the cells of a grid, or the points of a search.

The runner knows nothing but this; :mod:`sweep.run.search_job` is that of a search.
"""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Protocol

from sweep.ledger.ledger import Ledger
from sweep.ledger.store import Reuse
from sweep.plan.agenda import Adopt, Agenda, Refuse
from sweep.plan.plan import Plan
from sweep.run.progress import NOTE, ProgressLine
from sweep.search.plan import AnyPlan
from sweep.timing.estimate import weights
from trainables.core.cells import Pack

Places = int
"""How many packs can run at a time."""


class Work(Protocol):
    """Packs to hand out; see :class:`sweep.plan.agenda.Agenda`."""

    @property
    def finished(self) -> bool:
        """Whether nothing waits and nothing runs."""

    @property
    def running(self) -> tuple[Pack, ...]:
        """Packs handed out and not closed yet."""

    @property
    def rungs(self) -> bool:
        """Whether packs are to report while they train."""

    def next_pack(self) -> Pack | None:
        """The next pack to start; None where all wait for others, or nothing is left."""

    def report(self, pack_id: str, step: int, scores: Mapping[str, float]) -> Collection[str]:
        """A pack under way says its cells' scores after a step; the cells that are to stop."""

    def close(
        self, pack_id: str, done: list[str], failed: list[tuple[str, str]]
    ) -> Mapping[str, str]:
        """A pack is over; cells that are not tried again, each with the reason."""


class Job(Protocol):
    """One run's work in one folder."""

    def nothing_left(self) -> str | None:
        """A sentence where there is nothing to do; else None."""

    def beginning(self) -> str:
        """What is there and what is to run, in a sentence."""

    def state(self) -> str:
        """What is there now."""

    def changed(self) -> bool:
        """Whether this run adds anything to what was there."""

    def check(self) -> Plan:
        """What the preflight looks at."""

    def start(self, refuse: Refuse, places: Places, adopt: Adopt) -> Work:
        """The work; called once, with Ray up and the folder bound."""

    def line(self) -> ProgressLine:
        """The line that shows how far it is; called once, after :meth:`start`."""

    def close(self) -> None:
        """Let go of what :meth:`start` opened."""


class GridJob:
    """The cells of a plan that the ledger lacks."""

    def __init__(self, plan: Plan, folder: Path, ledger: Ledger, reuse: Reuse) -> None:
        """See what is missing."""
        self._plan, self._folder, self._ledger = plan, folder, ledger
        self._stored = len(found := reuse.find(plan.cells))
        self._packs = plan.remaining(ledger.done_ids() | found)

    def nothing_left(self) -> str | None:
        """A sentence if every cell is there."""
        if self._packs:
            return None
        total = len(self._plan.cells)
        every = f"{self._done()} of {total}" if self._stored else f"all {total}"
        return f"{every} cells are there{self._reused()}; nothing left to do, no trial is started"

    def beginning(self) -> str:
        """How many cells there are and how many are missing."""
        total, done = len(self._plan.cells), self._done()
        left = total - done - self._stored
        return f"{done} of {total} cells are there{self._reused()}, {left} to run"

    def state(self) -> str:
        """How many cells there are."""
        return f"{self._done()} of {len(self._plan.cells)} cells are"

    def changed(self) -> bool:
        """Whether this run adds anything to what was there."""
        return bool(self._packs or self._stored)

    def _reused(self) -> str:
        return f", {self._stored} in the store" if self._stored else ""

    def check(self) -> Plan:
        """The plan."""
        return self._plan

    def start(self, refuse: Refuse, places: Places, adopt: Adopt) -> Work:
        """The packs with what is missing."""
        del places, adopt
        # What the store had a moment ago and has no more is run after all.
        self._packs = self._plan.remaining(self._ledger.done_ids())
        retries = self._plan.resolved.spec.retries
        return Agenda(self._packs, self._ledger.done_ids(), refuse, retries)

    def line(self) -> ProgressLine:
        """Cells of all."""
        return ProgressLine(
            len(self._plan.cells),
            self._done(),
            self._packs,
            weight=weights(self._plan, self._packs),
            note=self._folder / NOTE,
        )

    def close(self) -> None:
        """Nothing is open."""

    def _done(self) -> int:
        return len(self._ledger.done_ids() & self._plan.by_id.keys())


def job_of(
    plan: AnyPlan, folder: Path, ledger: Ledger, reuse: Reuse, say: Callable[[str], None]
) -> Job:
    """The job that a plan stands for."""
    if isinstance(plan, Plan):
        return GridJob(plan, folder, ledger, reuse)
    from sweep.run.search_job import SearchJob  # Optuna takes its time to import

    return SearchJob(plan, folder, ledger, say)
