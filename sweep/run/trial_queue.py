"""The agenda as Ray Tune's search algorithm: Tune asks for a pack, and tells when it is over."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import ray
from ray.tune.search import Searcher

from sweep.run.jobs import Work
from sweep.run.outcomes import Desk
from trainables.core.cells import Pack

WORKER_DEATHS = 2
"""How often a pack whose worker process died is started anew."""

_COLLECT_TIMEOUT = 5.0


class PackQueue(Searcher):
    """Hands out ready packs; ``None`` while all wait for others, ``FINISHED`` at the end.

    Tune would turn an error in here into a traceback of its own loop. It is kept in ``error``
    instead, no further pack is handed out, and the runner tells.
    """

    def __init__(
        self,
        agenda: Work,
        desk: Desk,
        broker: Any,
        config: dict[str, Any],
        most: int | None = None,
    ) -> None:
        """Put an agenda before Tune.

        Args:
            agenda: what is to run.
            desk: makes messages of packs and records of outcomes.
            broker: handle of the :class:`sweep.run.broker.Broker` actor.
            config: what every trial's config holds beside the pack's id.
            most: packs that may run at once; None leaves it to the resources.
        """
        super().__init__()
        self.error: Exception | None = None
        self._agenda = agenda
        self._desk = desk
        self.broker = broker
        self._config = config
        self._most = most
        self._trials: dict[str, Any] = {}
        self._dead: dict[str, Pack] = {}
        self._again: list[Pack] = []
        self._deaths: Counter[str] = Counter()

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The config of the next trial."""
        found: dict[str, Any] | str | None = self._guarded(self._suggest, trial_id)
        return found

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Fetch the outcome and write it, whatever became of the trial."""
        self._guarded(self._close, trial_id)

    def hear(self) -> None:
        """Tell the agenda what packs report while they train, and them who is to stop."""
        self._guarded(self._hear, "")

    def progress(self) -> dict[str, tuple[str, int, int]] | None:
        """Phase, done and total of each pack under way; None where nobody answers for now."""
        found = self._guarded(self._progress, "")
        return found if isinstance(found, dict) else None

    def note_death(self, trial_id: str, cause: str) -> None:
        """Have the pack of a trial that is over started anew, unless its workers die of it.

        Not by Tune itself, which may take the death of a worker that waits between two packs for
        two failures, the second of which is final.
        """
        self._guarded(lambda name: self._mourn(name, cause), trial_id)

    def _mourn(self, trial_id: str, cause: str) -> None:
        pack = self._dead.pop(trial_id, None)
        if pack is None:
            return
        self._deaths[pack.id] += 1
        if self._deaths[pack.id] > WORKER_DEATHS:
            times = f"({self._deaths[pack.id]} times)"
            self._settle(pack, None, f"its worker process {cause} {times}")
        else:
            self._again.append(pack)

    def _progress(self, _: str) -> Any:
        try:
            return ray.get(self.broker.progress.remote(), timeout=_COLLECT_TIMEOUT)
        except ray.exceptions.GetTimeoutError:
            return None

    def _hear(self, _: str) -> None:
        for pack_id, step, scores in ray.get(self.broker.reports.remote()):
            asked = self._agenda.report(pack_id, step, scores)
            if asked:
                self.broker.stop.remote(pack_id, list(asked))

    def collect(self) -> None:
        """Write what workers have handed in and Tune has not told of; what runs on is dropped."""
        for trial_id, pack in list(self._trials.items()):
            outcome = ray.get(self.broker.take.remote(pack.id), timeout=_COLLECT_TIMEOUT)
            if outcome is not None:
                del self._trials[trial_id]
                self._desk.close(pack, outcome)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the ledger is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher for ``Tuner.restore``, which nobody calls."""
        return {}

    def _guarded(self, action: Callable[[str], Any], trial_id: str) -> Any:
        if self.error is not None:
            return Searcher.FINISHED
        try:
            return action(trial_id)
        except Exception as error:
            self.error = error
            return Searcher.FINISHED

    def _suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self._most is not None and len(self._trials) >= self._most:
            return None
        while (pack := self._again.pop() if self._again else self._agenda.next_pack()) is not None:
            try:
                inputs = self._desk.inputs(pack)
            except KeyError as error:
                reason = f"the prompt of its input {error.args[0]} is lost or damaged"
                self._settle(pack, None, reason)
                continue
            ray.get(self.broker.offer.remote(pack.id, inputs))
            self._trials[trial_id] = pack
            return {**self._config, "pack": pack.id}
        return Searcher.FINISHED if self._agenda.finished else None

    def _close(self, trial_id: str) -> None:
        pack = self._trials.pop(trial_id, None)
        if pack is None:
            return
        if self._agenda.rungs:
            self._hear(trial_id)  # what it reported last counts as well
        outcome = ray.get(self.broker.take.remote(pack.id))
        if outcome is None:
            self._dead[trial_id] = pack
        else:
            self._settle(pack, outcome, "")

    def _settle(self, pack: Pack, outcome: Any, reason: str) -> None:
        closed = self._desk.close(pack, outcome, reason)
        self._agenda.close(pack.id, closed.done, closed.failed)
