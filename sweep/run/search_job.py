"""A search as one run's work: its study, budget and progress line."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from sweep.ledger.ledger import Ledger
from sweep.plan.agenda import Adopt, Refuse
from sweep.plan.plan import Plan
from sweep.run.progress import NOTE, Phases, ProgressLine
from sweep.search.agenda import Budget, SearchAgenda
from sweep.search.plan import SearchPlan
from sweep.search.records import Outcome, WarmStart, read_study, studies_in
from sweep.search.study import JOURNAL, Study
from sweep.search.table import write_points
from trainables.core.cells import Pack
from trainables.errors import InputError
from trainables.files.atomic import replace_file
from trainables.files.cache import expanded

NOTES = "search.json"
"""Name of the file that keeps the hours so far, and what each study's points rest on."""

_LEAST_PARALLEL = 2


class SearchJob:
    """What a search's budget still allows."""

    def __init__(
        self, plan: SearchPlan, folder: Path, ledger: Ledger, say: Callable[[str], None]
    ) -> None:
        """Look at what is there; writes nothing."""
        self._plan, self._folder, self._ledger, self._say = plan, folder, ledger, say
        self._notes = _notes(folder)
        self._before = float(self._notes["hours"])
        self._began = time.monotonic()
        section = plan.section
        self._budget = Budget(section.trials, section.hours, section.cells, self._spent)
        self._study: Study | None = None
        self._agenda: SearchAgenda | None = None
        self._told = _outcomes(folder, plan.study)
        for outcome in self._told:
            plan.open(outcome.point)

    def nothing_left(self) -> str | None:
        """A sentence if the budget is spent or every point is known."""
        if any(item.state == "running" for item in self._told):
            return None
        finished = self._finished()
        size = self._plan.space.size
        if self._budget.allows(finished, len(self._ledger.done_ids())) and (
            size is None or len(self._told) < size
        ):
            return None
        if not self._told:
            return None
        return f"{self.state()} there; nothing left to do, no trial is started"

    def beginning(self) -> str:
        """How far the search is and how far it goes."""
        section = self._plan.section
        bounds = {"points": section.trials, "hours": section.hours, "cells": section.cells}
        ends = [f"{bound:g} {name}" for name, bound in bounds.items() if bound is not None]
        return f"{self._finished()} points are there, to run up to {' or '.join(ends)}"

    def state(self) -> str:
        """Points and cells so far."""
        outcomes = self._told if self._study is None else self._study.outcomes()
        counts = {
            state: sum(item.state == state and not item.warm for item in outcomes)
            for state in ("complete", "pruned", "failed")
        }
        points = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        return f"{points or 'no'} points and {len(self._ledger.done_ids())} cells are"

    def check(self) -> Plan:
        """A point of each method and source set."""
        return self._plan.sample()

    def changed(self) -> bool:
        """Whether this run adds anything to what was there."""
        return self._agenda is not None

    def start(self, refuse: Refuse, places: int, adopt: Adopt) -> SearchAgenda:
        """Open the study, learn from older ones, and go on."""
        plan, section = self._plan, self._plan.section
        self._study = study = Study(self._folder / JOURNAL, plan.space, plan.settings)
        self._learn(study)
        counts = study.counts()
        # Failed points cost no budget; where none is left, they stay as they are.
        allowed = self._budget.allows(
            counts.finished + counts.running, len(self._ledger.done_ids())
        )
        if allowed and (again := study.retry_failed()):
            self._say(f"{again} failed points are tried again")
        self._agenda = SearchAgenda(
            plan,
            study,
            self._budget,
            self._ledger.done_ids(),
            self._ledger.record,
            refuse,
            section.parallel or max(places, _LEAST_PARALLEL),
            adopt,
        )
        return self._agenda

    def line(self) -> ProgressLine:
        """Points of the budget, and the best one."""
        agenda = self._agenda
        if agenda is None:
            raise ValueError("not started")
        return SearchLine(agenda.share, self._headline, note=self._folder / NOTE)

    def close(self) -> None:
        """Keep the hours, write the table of points, let go of the journal."""
        if self._study is None:
            return
        self._keep_notes()
        self._told = list(self._study.outcomes())
        write_points(self._folder, self._study)
        self._study.close()
        self._study = None

    def _keep_notes(self) -> None:
        studies = {**self._notes["studies"], self._plan.study: self._plan.content}
        self._notes = {"hours": self._spent(), "studies": studies}
        replace_file(self._folder / NOTES, json.dumps(self._notes, indent=1).encode())

    def _learn(self, study: Study) -> None:
        """Take over points of the folder's older studies and of the one the spec names."""
        self._learn_from(study, self._folder / JOURNAL, self._notes, "this folder")
        self._keep_notes()
        wish = self._plan.section.warm_start
        if wish is None:
            return
        folder = self._plan.resolved.spec.base / expanded(wish)
        if not (folder / JOURNAL).is_file():
            raise InputError(
                f"search.warm_start: found {wish!r} (there is no {folder / JOURNAL}); allowed: the"
                " folder of a search"
            )
        self._learn_from(study, folder / JOURNAL, _notes(folder), str(folder))

    def _learn_from(
        self, study: Study, journal: Path, notes: Mapping[str, Any], where: str
    ) -> None:
        for name in studies_in(journal):
            if name == study.settings.name:
                continue
            rests_on, content = notes["studies"].get(name, {}), self._plan.content
            changed = [
                key for key in rests_on.keys() & content.keys() if rests_on[key] != content[key]
            ]
            if changed:
                self._say(
                    f"warning: {min(changed)} is another one than in {name} of {where};"
                    " nothing is learnt from it"
                )
            else:
                self._tell(study.warm_start(journal, name), f"{name} of {where}")

    def _tell(self, found: WarmStart, where: str) -> None:
        if found.taken or found.skipped:
            self._say(
                f"{found.taken} points learnt from {where}"
                + (f", {found.skipped} are not in this space" if found.skipped else "")
            )

    def _headline(self) -> str:
        study = self._study
        if study is None:
            return ""
        counts = study.counts()
        trials = self._plan.section.trials
        text = f"{counts.finished}{f'/{trials}' if trials else ''} points"
        if counts.failed:
            text += f" ({counts.failed} failed)"
        best = study.best()
        if best and len(best[0].values) == 1:
            text += f", best {next(iter(best[0].values.values())):.3f}"
        return text

    def _finished(self) -> int:
        return sum(item.state in ("complete", "pruned") and not item.warm for item in self._told)

    def _spent(self) -> float:
        if self._study is None and self._agenda is None:
            return self._before
        return self._before + (time.monotonic() - self._began) / 3600


class SearchLine(ProgressLine):
    """Points done, rate of cells, and the time left of the budget."""

    def __init__(
        self, share: Callable[[], float], headline: Callable[[], str], **rest: Any
    ) -> None:
        """Start the clock."""
        super().__init__(0, 0, (), **rest)
        self._budget, self._headline = share, headline
        self._first = share()

    def figures(self, running: Iterable[Pack], phases: Phases, failed: int = 0) -> dict[str, Any]:
        """As of a grid, and ``headline``: points and cells so far."""
        found = super().figures(running, phases, failed)
        return {**found, "headline": f"{self._headline()} | {self._done} cells"}

    def left(self, elapsed: float, worked: float) -> float | None:
        """Seconds left if the budget goes on being used up as fast as so far."""
        del worked
        share = self._budget()
        if share - self._first < 0.02:
            return None
        return elapsed * (1 - share) / (share - self._first)


def _notes(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / NOTES).read_bytes())
        return {"hours": float(found["hours"]), "studies": dict(found["studies"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"hours": 0.0, "studies": {}}


def _outcomes(folder: Path, study: str) -> list[Outcome]:
    journal = folder / JOURNAL
    if not journal.is_file() or study not in studies_in(journal):
        return []
    return list(read_study(journal, study).outcomes)
