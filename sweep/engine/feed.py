"""What one run has to do: a grid is one plan, a search opens one plan after another."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typing_extensions import override

from sweep.engine.progress import NOTE, ProgressLine
from sweep.ledger.ledger import Ledger
from sweep.ledger.store import Reuse
from sweep.planning.agenda import Adopt, Agenda, Refuse
from sweep.planning.plan import Plan
from sweep.timing.estimate import weights

Say = Callable[[str], None]


class Feed(ABC):
    """One run's work in one folder, and how far it is."""

    def __init__(self, plan: Any, folder: Path, ledger: Ledger, say: Say) -> None:
        self._plan, self._folder, self._ledger, self._say = plan, folder, ledger, say

    @property
    def done(self) -> int:
        return len(self._ledger.done_ids() & self._plan.by_id.keys())

    @abstractmethod
    def nothing_left(self) -> str | None:
        """A sentence where there is nothing to do; else None."""

    @abstractmethod
    def beginning(self) -> str:
        """What is there and what is to run, in a sentence."""

    @abstractmethod
    def state(self) -> str:
        """What is there now."""

    @abstractmethod
    def changed(self) -> bool:
        """Whether this run adds anything to what was there."""

    @abstractmethod
    def start(self, refuse: Refuse, room: int, adopt: Adopt) -> Agenda:
        """The packs; called once, with Ray up and the folder bound.

        Args:
            room: packs that can run at a time.
            adopt: takes what the store has of cells that come on the way into the ledger.
        """

    @abstractmethod
    def line(self) -> ProgressLine:
        """The line that shows how far it is; called once, after :meth:`start`."""

    def close(self) -> None:  # noqa: B027
        """Let go of what :meth:`start` opened, if anything."""


class GridFeed(Feed):
    """The cells of a plan that the ledger lacks."""

    def __init__(self, plan: Plan, folder: Path, ledger: Ledger, reuse: Reuse, say: Say) -> None:
        super().__init__(plan, folder, ledger, say)
        self._total = len(plan.cells)
        self._stored = len(found := reuse.find(plan.cells))
        self._packs = plan.remaining(ledger.done_ids() | found)
        self._room = 1

    @override
    def nothing_left(self) -> str | None:
        if self._packs:
            return None
        every = f"{self.done} of {self._total}" if self._stored else f"all {self._total}"
        return f"{every} cells are there{self._reused()}; nothing left to do, no trial is started"

    @override
    def beginning(self) -> str:
        left = self._total - self.done - self._stored
        return f"{self.done} of {self._total} cells are there{self._reused()}, {left} to run"

    @override
    def state(self) -> str:
        return f"{self.done} of {self._total} cells are"

    @override
    def changed(self) -> bool:
        return bool(self._packs or self._stored)

    @override
    def start(self, refuse: Refuse, room: int, adopt: Adopt) -> Agenda:
        done, self._room = self._ledger.done_ids(), room
        # What the store had a moment ago and has no more is run after all.
        self._packs = self._plan.remaining(done)
        return Agenda(self._packs, done, refuse, self._plan.resolved.spec.retries)

    @override
    def line(self) -> ProgressLine:
        weight, note = weights(self._plan, self._packs), self._folder / NOTE
        return ProgressLine(
            self._total, self.done, self._packs, weight=weight, note=note, workers=self._room
        )

    def _reused(self) -> str:
        return f", {self._stored} in the store" if self._stored else ""
