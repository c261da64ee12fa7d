"""A search as one run's work: its study, budget and progress line."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from typing_extensions import override

from sweep.engine.feed import Feed, Say
from sweep.engine.progress import NOTE, ProgressLine
from sweep.ledger.ledger import Ledger
from sweep.ledger.store import Reuse
from sweep.planning.agenda import Adopt, Refuse
from sweep.search.agenda import Budget, SearchAgenda
from sweep.search.plan import SearchPlan
from sweep.search.records import Outcome, read_study, studies_in
from sweep.search.study import JOURNAL, Study
from sweep.search.table import write_points
from trainables.errors import InputError
from trainables.files.atomic import replace_file
from trainables.files.cache import expanded

NOTES = "search.json"
"""Name of the file that keeps the hours so far, and what each study's points rest on."""

_LEAST_PARALLEL = 2


class SearchFeed(Feed):
    """What a search's budget still allows."""

    def __init__(
        self, plan: SearchPlan, folder: Path, ledger: Ledger, reuse: Reuse, say: Say
    ) -> None:
        """Look at what is there; of the store each point takes what it needs when it begins."""
        super().__init__(plan, folder, ledger, say)
        self._notes = _notes(folder)
        self._before = float(self._notes["hours"])
        self._began = time.monotonic()
        section = plan.section
        self._budget = Budget(section.trials, section.hours, section.cells, self._spent)
        self._study: Study | None = None
        self._agenda: SearchAgenda | None = None
        self._outcomes = _outcomes(folder, plan.study)
        for outcome in self._outcomes:
            plan.open(outcome.point)

    @override
    def nothing_left(self) -> str | None:
        if not self._outcomes or any(item.state == "running" for item in self._outcomes):
            return None
        size = self._plan.space.size
        if self._budget.allows(self._finished(), len(self._ledger.done_ids())) and (
            size is None or len(self._outcomes) < size
        ):
            return None
        return f"{self.state()} there; nothing left to do, no trial is started"

    @override
    def beginning(self) -> str:
        section = self._plan.section
        bounds = {"points": section.trials, "hours": section.hours, "cells": section.cells}
        ends = [f"{bound:g} {name}" for name, bound in bounds.items() if bound is not None]
        return f"{self._finished()} points are there, to run up to {' or '.join(ends)}"

    @override
    def state(self) -> str:
        outcomes = self._outcomes if self._study is None else self._study.outcomes()
        counts = {
            state: sum(item.state == state and not item.warm for item in outcomes)
            for state in ("complete", "pruned", "failed")
        }
        points = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        return f"{points or 'no'} points and {len(self._ledger.done_ids())} cells are"

    @override
    def changed(self) -> bool:
        return self._agenda is not None

    @override
    def start(self, refuse: Refuse, room: int, adopt: Adopt) -> SearchAgenda:
        plan, done = self._plan, self._ledger.done_ids()
        self._study = study = Study(self._folder / JOURNAL, plan.space, plan.settings)
        self._learn(study)
        counts = study.counts()
        # Failed points cost no budget; where none is left, they stay as they are.
        allowed = self._budget.allows(counts.finished + counts.running, len(done))
        if allowed and (again := study.retry_failed()):
            self._say(f"{again} failed points are tried again")
        parallel = plan.section.parallel or max(room, _LEAST_PARALLEL)
        self._agenda = SearchAgenda(
            plan, study, self._budget, done, self._ledger.record, refuse, parallel, adopt
        )
        return self._agenda

    @override
    def line(self) -> ProgressLine:
        if self._agenda is None:
            raise ValueError("not started")
        note, share = self._folder / NOTE, self._agenda.share
        return ProgressLine(0, 0, (), note=note, share=share, headline=self._headline)

    @override
    def close(self) -> None:
        """Keep the hours, write the table of points, let go of the journal."""
        if self._study is None:
            return
        self._keep_notes()
        self._outcomes = list(self._study.outcomes())
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
                    f"warning: {min(changed)} has changed since {name} of {where};"
                    " nothing is learnt from it"
                )
            else:
                learnt = study.warm_start(journal, name)
                if learnt.taken or learnt.skipped:
                    skipped = f", {learnt.skipped} are not in this space" * bool(learnt.skipped)
                    self._say(f"{learnt.taken} points learnt from {name} of {where}{skipped}")

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
        return sum(
            item.state in ("complete", "pruned") and not item.warm for item in self._outcomes
        )

    def _spent(self) -> float:
        if self._study is None and self._agenda is None:
            return self._before
        return self._before + (time.monotonic() - self._began) / 3600


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
