"""Which pack may start now. Pure bookkeeping: no Ray, no clock, no files."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from sweep.planning.plan import running_order
from sweep.planning.planner import missing_of, needs_of
from trainables.core.cells import Cell, Pack

Refuse = Callable[[Cell, str, str], None]
"""Takes a cell that cannot be had, the reason and the pack's id."""
Adopt = Callable[[Iterable[Cell]], None]
"""Takes cells that the store has into the ledger."""


class Agenda:
    """The packs to run and what they wait for.

    A pack is ready once each cell it ``needs`` is finished or has failed. Cells that take a failed
    one as input are refused with the reason; the rest of their pack runs. With ``retries`` a cell
    that fails goes to the end of the queue, so many times, before it counts as failed.

    Attributes:
        rungs: whether packs are to :meth:`report` while they train.
    """

    rungs = False

    def __init__(
        self, packs: Iterable[Pack], done: Collection[str], refuse: Refuse, retries: int = 0
    ) -> None:
        """Plan the order.

        Args:
            packs: what to run.
            done: ids of the cells that are finished already.
            refuse: told of each cell that cannot be had because another one failed.
            retries: how often a cell that fails is tried again.
        """
        self._waiting = running_order(packs)
        self._running: dict[str, Pack] = {}
        self._done = set(done)
        self._failed: dict[str, str] = {}
        self._refuse = refuse
        self._retries = retries
        self._tries: Counter[str] = Counter()

    @property
    def finished(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._waiting and not self._running

    def report(self, pack_id: str, step: int, scores: Mapping[str, float]) -> Collection[str]:
        """A pack's cells have these validation scores after a training step.

        Returns:
            Ids of cells that are to stop: of a grid none.
        """
        return ()

    def drop(self, cell_ids: Collection[str]) -> None:
        """Forget packs that wait, all of whose cells are among these."""
        self._waiting = [
            pack for pack in self._waiting if any(cell.id not in cell_ids for cell in pack.cells)
        ]

    def add(self, packs: Iterable[Pack]) -> None:
        """Have further packs run, after those that wait."""
        new = running_order(packs)
        for pack in new:
            for cell in pack.cells:
                self._failed.pop(cell.id, None)
                del self._tries[cell.id]
        self._waiting += new

    @property
    def running(self) -> tuple[Pack, ...]:
        """Packs handed out and not closed yet."""
        return tuple(self._running.values())

    def next_pack(self) -> Pack | None:
        """The next pack to start; None where all wait for others, or nothing is left."""
        while True:
            index = next((i for i, pack in enumerate(self._waiting) if self._ready(pack)), None)
            if index is None:
                if self._waiting and not self._running:
                    self._give_up()
                    continue
                return None
            pack = self._without_lost(self._waiting.pop(index))
            if pack.cells:
                self._running[pack.id] = pack
                return pack

    def close(
        self, pack_id: str, done: Iterable[str], failed: Iterable[tuple[str, str]]
    ) -> dict[str, str]:
        """A pack is over; those of its cells that may be tried again wait once more.

        Args:
            pack_id: its id.
            done: ids of its cells that have a result.
            failed: ids of the others, each with the reason.

        Returns:
            The cells that are not tried again, each with the reason.
        """
        pack = self._running.pop(pack_id, None)
        self._done.update(done)
        # A cell that came along with another one and has its record already has not failed.
        reasons = {name: why for name, why in failed if name not in self._done}
        self._tries.update(reasons.keys())
        again = {name for name in reasons if pack and self._tries[name] <= self._retries}
        self._failed.update((name, why) for name, why in reasons.items() if name not in again)
        if pack and again:
            self._waiting += missing_of(pack, {cell.id for cell in pack.cells} - again)
        return {name: why for name, why in reasons.items() if name not in again}

    def _ready(self, pack: Pack) -> bool:
        return all(name in self._done or name in self._failed for name in pack.needs)

    def _without_lost(self, pack: Pack) -> Pack:
        if not any(name in self._failed for name in pack.needs):
            return pack
        kept = []
        for cell in pack.cells:
            lost = next((name for name in cell.inputs if name in self._failed), None)
            if lost is None:
                kept.append(cell)
            else:
                self._drop(cell, f"its input {lost} failed: {self._failed[lost]}", pack)
        return replace(pack, cells=tuple(kept), needs=needs_of(kept))

    def _give_up(self) -> None:
        """Nothing runs that the waiting packs could wait for."""
        for pack in self._waiting:
            for name in pack.needs:
                if name not in self._done:
                    self._failed.setdefault(name, "no pack of this run computes it")

    def _drop(self, cell: Cell, reason: str, pack: Pack) -> None:
        self._failed[cell.id] = reason
        self._refuse(cell, reason, pack.id)


@dataclass
class Closed:
    """What became of a pack.

    Attributes:
        done: ids of its cells that have a record now.
        failed: ids of the others, each with the reason; those that were stopped are in neither.
    """

    done: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
