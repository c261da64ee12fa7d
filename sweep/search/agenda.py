"""Which pack of which point may start now: a study's points as packs, told back as they finish.

Cells that two points share (reference rows, independently tuned prompts) run once; what the ledger
has does not run at all.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from typing_extensions import override

from sweep.planning.agenda import Adopt, Agenda, Refuse
from sweep.planning.plan import Plan
from sweep.search.plan import SearchPlan
from sweep.search.records import Suggestion
from sweep.search.study import Study
from sweep.spec.space.measures import Record
from trainables.core.cells import Cell, Pack

ReadRecord = Callable[[str], Record]
"""The ledger's record of a cell that is done."""


@dataclass
class Budget:
    """How long a search goes on.

    Attributes:
        trials: finished points; None for no such bound.
        hours: of running, over all sessions.
        cells: finished cells.
        spent: hours so far.
    """

    trials: int | None
    hours: float | None
    cells: int | None
    spent: Callable[[], float] = lambda: 0.0

    def allows(self, points: int, cells: int) -> bool:
        """Whether another point may start, of the points (finished or running) and cells so far."""
        if self.trials is not None and points >= self.trials:
            return False
        if self.cells is not None and cells >= self.cells:
            return False
        return self.hours is None or self.spent() < self.hours

    def share(self, points: int, cells: int) -> float:
        """How much of the tightest bound is used up, from 0 to 1."""
        used = [
            points / self.trials if self.trials else 0.0,
            cells / self.cells if self.cells else 0.0,
            self.spent() / self.hours if self.hours else 0.0,
        ]
        return min(max(used), 1.0)


@dataclass
class _Live:
    """A point under way.

    Attributes:
        number: of its trial.
        plan: its cells.
        ahead: tasks whose packs have not been put up yet.
        open: ids of cells that are wanted and not over.
        failed: why a cell failed.
        reported: instances (task, seed) that were reported.
        scores: of the present task, per training step the scores of its cells.
        steps: training steps of the tasks before the present one.
        pruned: whether it is given up; its packs under way are still to end.
    """

    number: int
    plan: Plan
    ahead: list[str]
    open: set[str] = field(default_factory=set)
    failed: str | None = None
    reported: set[int] = field(default_factory=set)
    scores: dict[int, dict[str, float]] = field(default_factory=dict)
    steps: int = 0
    pruned: bool = False


class SearchAgenda(Agenda):
    """The packs of a search: those of the points under way.

    Points run side by side; with a pruner the tasks of a point run one after another, and after
    each one the point may be given up.
    """

    def __init__(
        self,
        plan: SearchPlan,
        study: Study,
        budget: Budget,
        done: set[str],
        record: ReadRecord,
        refuse: Refuse,
        parallel: int = 1,
        adopt: Adopt = lambda cells: None,
    ) -> None:
        """Go on with a study.

        Args:
            done: ids of finished cells; the ledger adds to it.
            record: reads one of them.
            refuse: told of each cell that cannot be had because another one failed.
            parallel: points under way at a time.
            adopt: sees the cells of each new point, and may add to ``done`` those it has elsewhere.
        """
        super().__init__((), done, refuse, plan.resolved.spec.retries)
        self._done = done
        self._plan, self._study, self._budget = plan, study, budget
        self._record, self._parallel, self._adopt = record, parallel, adopt
        self._live: dict[int, _Live] = {}
        self._claimed: set[str] = set()
        self._exhausted = False
        self._by_task = study.settings.pruner != "none"
        self.rungs = self._by_task and plan.section.rungs == "steps"
        names, section = plan.names, plan.section
        self._goals, self._bounds = section.goals(names), section.bounds(names)

    @property
    @override
    def finished(self) -> bool:
        """Whether nothing runs and no further point will."""
        return not self._live and super().finished and not self._may_ask()

    @override
    def report(self, pack_id: str, step: int, scores: Mapping[str, float]) -> Collection[str]:
        """Take validation scores of a pack's cells after a training step.

        The study gets their mean once every tuning of the point's present task has reported. Steps
        count on from task to task.

        Returns:
            Ids of cells to stop, because their point is given up.
        """
        live = next((item for item in self._live.values() if scores.keys() & item.open), None)
        if live is None:
            return ()
        if not live.pruned:
            known = live.scores.setdefault(step, {})
            known.update(scores)
            task = self._plan.by_id[next(iter(scores))].task
            tuned = {
                cell.id for cell in live.plan.cells if cell.kind == "source" and cell.task == task
            }
            # Prompts that another point has tuned report no more: the rest alone would not compare.
            if tuned <= known.keys():
                value = math.fsum(known[name] for name in tuned) / len(tuned)
                self._study.report(live.number, live.steps + step, value)
                if self._study.should_prune(live.number):
                    self._prune(live)
        return list(scores) if live.pruned else ()

    def _prune(self, live: _Live) -> None:
        live.pruned = True
        wanted = {name for other in self._live.values() if other is not live for name in other.open}
        waiting = live.open - wanted
        running = {cell.id for pack in self.running for cell in pack.cells}
        self.drop(waiting)
        self._claimed -= waiting - running
        live.open &= running

    @override
    def next_pack(self) -> Pack | None:
        while True:
            pack = super().next_pack()
            if pack is not None:
                return pack
            self._settle()
            if not self._open_point():
                return super().next_pack()

    @override
    def close(
        self, pack_id: str, done: Iterable[str], failed: Iterable[tuple[str, str]]
    ) -> dict[str, str]:
        finished, unlucky = list(done), list(failed)
        pack = self._running.get(pack_id)
        broken = super().close(pack_id, finished, unlucky)
        self._claimed.difference_update(finished, broken)
        if pack is not None:
            stopped = {cell.id for cell in pack.cells} - self._done - {name for name, _ in unlucky}
            self._claimed -= stopped
            for live in self._live.values():
                if live.pruned:
                    live.open -= stopped
        self._settle()
        return broken

    def share(self) -> float:
        """How much of the budget is used up, from 0 to 1."""
        return self._budget.share(self._study.counts().finished, len(self._done))

    def _may_ask(self) -> bool:
        if self._exhausted:
            return False
        if self._study.running():  # a killed driver's points are within the budget already
            return True
        counts = self._study.counts()
        return self._budget.allows(counts.finished + counts.running, len(self._done))

    def _open_point(self) -> bool:
        if len(self._live) >= self._parallel or not self._may_ask():
            return False
        found = self._study.ask()
        if found is None:
            self._exhausted = True
            return False
        self._begin(found)
        return True

    def _begin(self, found: Suggestion) -> None:
        plan = self._plan.open(found.point)
        self._adopt(plan.cells)
        tasks = list(dict.fromkeys(pack.task.name for pack in plan.packs))
        live = _Live(found.number, plan, tasks)
        self._live[found.number] = live
        if self._by_task:
            self._put_up(live, live.ahead.pop(0))
        else:
            while live.ahead:
                self._put_up(live, live.ahead.pop(0))
        self._settle()

    def _put_up(self, live: _Live, task: str) -> None:
        """Put a task's missing cells on the agenda, but those that another point has put there."""
        cells = {cell.id for cell in live.plan.cells if cell.task == task}
        live.open |= cells - self._done
        for cell_id in cells & self._failed.keys():
            del self._failed[cell_id]  # a point of its own is another attempt
        taken = self._done | self._claimed
        packs = [pack for pack in live.plan.remaining(taken) if pack.task.name == task]
        self._claimed |= {cell.id for pack in packs for cell in pack.cells}
        self.add(packs)

    def _settle(self) -> None:
        """Tell the study of every point whose cells are over; begin the next tasks."""
        changed = True
        while changed:
            changed = False
            for live in list(self._live.values()):
                if self._over(live):
                    changed = True

    def _over(self, live: _Live) -> bool:
        """Whether something became of a point's present tasks."""
        for cell_id in list(live.open):
            if cell_id in self._done:
                live.open.discard(cell_id)
            elif cell_id in self._failed:
                live.open.discard(cell_id)
                live.failed = live.failed or self._failed[cell_id]
        if live.pruned and not live.open:
            self._end(live)
            self._study.prune(live.number)
            return True
        if self._stolen(live):
            return True
        if live.open:
            return False
        if live.failed is not None:
            self._end(live)
            self._study.fail(live.number, live.failed)
            return True
        if not self.rungs:
            self._report(live)
        live.steps += max(live.scores, default=0)
        live.scores = {}
        if live.ahead:
            if self._study.should_prune(live.number):
                self._end(live)
                self._study.prune(live.number)
            else:
                self._put_up(live, live.ahead.pop(0))
            return True
        self._end(live)
        self._complete(live)
        return True

    def _stolen(self, live: _Live) -> bool:
        """Whether cells that another point had put up went with it; they are put up anew."""
        lost = live.open - self._claimed
        if live.pruned or not lost:
            return False
        for task in {cell.task for cell in live.plan.cells if cell.id in lost}:
            self._put_up(live, task)
        return True

    def _end(self, live: _Live) -> None:
        del self._live[live.number]

    def _report(self, live: _Live) -> None:
        """Report each new instance: a task and seed, in an order that is every point's."""
        goal = next(iter(self._goals.values()))
        empty = self._empty(live)
        seeds = self._plan.resolved.spec.seeds
        instances = [(task.name, seed) for task in self._plan.resolved.tasks for seed in seeds]
        records = list(self._records(live))
        for number, (task, seed) in enumerate(instances):
            part = [
                item
                for item in records
                if item["cell"]["task"] == task and item["cell"]["seed"] == seed
            ]
            if part and number not in live.reported:
                live.reported.add(number)
                value = goal.value(part, empty)
                if math.isfinite(value):
                    self._study.report(live.number, number, value)

    def _complete(self, live: _Live) -> None:
        records, empty = list(self._records(live)), self._empty(live)
        values = {name: goal.value(records, empty) for name, goal in self._goals.items()}
        constraints = {
            name: item.violation(wanted.value(records, empty))
            for name, (wanted, item) in self._bounds.items()
        }
        self._study.complete(live.number, values, constraints)

    def _records(self, live: _Live) -> Iterator[Record]:
        cells = (cell for cell in live.plan.cells if cell.kind != "reference")
        return (self._record(cell.id) for cell in cells if cell.id in self._done)

    def _empty(self, live: _Live) -> Mapping[tuple[str, str], float]:
        cells = (cell for cell in live.plan.cells if cell.row == "empty" and cell.id in self._done)
        return {
            (cell.target, cell.task): float(self._record(cell.id)["result"]["validation_score"])
            for cell in cells
        }

    @override
    def _drop(self, cell: Cell, reason: str, pack: Pack) -> None:
        super()._drop(cell, reason, pack)
        self._claimed.discard(cell.id)
