"""Packs as Ray Tune trials: Tune asks a queue for the next one, and tells it when one is over.

Imported only when there is something to run.
"""

import importlib
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher

from sweep.engine.broker import NAMESPACE, start_broker
from sweep.engine.cluster import RayLostError, ray_resources, threads_of
from sweep.engine.outcomes import Outcomes
from sweep.engine.progress import ProgressLine
from sweep.engine.shipping import start_shipper
from sweep.planning.agenda import Agenda
from sweep.spec.resources import Share
from trainables.core.cells import Pack
from trainables.errors import InputError
from trainables.tune import PackTrainable

WORKER_DEATHS = 2
"""How often a pack whose worker process died is started anew."""
NODE_LOSSES = 20
"""How often a pack whose node was lost is: a spot instance that is taken back says nothing about
it, but one that takes its machines down is given up in the end."""

_SHORT_OF_MEMORY = ("running low on memory", "memory usage threshold", "OutOfMemory")
_HEAR_EVERY = 0.2  # seconds between two looks at what packs report while they train
_COLLECT_TIMEOUT = 5.0


@dataclass(frozen=True)
class TrialOptions:
    """Where and how packs run.

    Attributes:
        share: what one pack takes.
        executor: import string of what computes a pack.
        most: packs at once at most; None leaves it to the resources.
        folder: for Tune's own files, of no use afterwards.
        ship: how files get to nodes that lack them, see :func:`sweep.engine.shipping.shipping`.
    """

    share: Share
    executor: str
    most: int | None
    folder: Path
    ship: str | None = None


def room_for(share: Share, most: int | None) -> int:
    """How many packs the Ray that is up has room for now; at least 1."""
    here = ray.cluster_resources()
    wanted = {"CPU": share.cpu, "GPU": share.gpu}
    room = [int(here.get(name, 0) / amount) for name, amount in wanted.items() if amount]
    return max(1, min([*room, *([most] if most else [])]))


def run_packs(
    agenda: Agenda,
    outcomes: Outcomes,
    line: ProgressLine,
    options: TrialOptions,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Run the packs of an agenda to the end, in the Ray that is up.

    Raises:
        InputError: no pack can run, as workers cannot use what they were given.
        OSError: the ledger cannot be written.
        RayLostError: Ray has given up, or the actor that holds packs was killed.
        KeyboardInterrupt: the user has asked to stop.
    """
    name, share = f"broker-{os.getpid()}", options.share
    broker = start_broker(name)
    # An actor lives as long as its handle.
    shipper, ship_keys = start_shipper(options.ship, f"shipper-{os.getpid()}")
    config = {
        "broker": name,
        "namespace": NAMESPACE,
        "executor": options.executor,
        "device": "cuda" if share.gpu else "cpu",
        "threads": threads_of(share),
        "cpu": share.cpu,
        "most": options.most,
        "room": {
            "replicas": share.replicas,
            "share": min(1.0, share.gpu) or None,
            "graphs": share.graphs,
        },
        "rungs": agenda.rungs,
        **ship_keys,
    }
    queue = TrialQueue(agenda, outcomes, broker, config, options.most)
    tuner = tune.Tuner(
        tune.with_resources(PackTrainable, ray_resources(share)),
        tune_config=tune.TuneConfig(search_alg=queue, num_samples=-1, reuse_actors=True),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(options.folder),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[_Pulse(queue, line, stopping)],
        ),
    )
    try:
        with unloaded_trackers():
            tuner.fit()
    except KeyboardInterrupt:
        # A Ray that is going down too has nothing to give.
        with suppress(ray.exceptions.RayError):
            queue.collect()
        raise
    except Exception as error:
        if queue.error is None:
            # Ray Tune nests tracebacks in messages: the last line says what happened.
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise RayLostError(f"Ray Tune gave up: {reason[-1].strip()}") from error
    finally:
        del shipper
    if isinstance(queue.error, ray.exceptions.RayError):
        # Nothing but the broker is asked for anything in the queue.
        cause = cause_of_death(str(queue.error))
        raise RayLostError(f"the process that hands out packs {cause}") from queue.error
    if queue.error is not None:
        raise queue.error


@contextmanager
def unloaded_trackers() -> Iterator[None]:
    """Keep Tune from loading Weights & Biases, only to count its users.

    The package takes seconds, and makes folders that stay where a driver is killed. Afterwards Ray
    finds it again.
    """
    name = "ray.air.integrations.wandb"
    if "wandb" in sys.modules or name in sys.modules:
        yield
        return
    sys.modules["wandb"] = None  # type: ignore[assignment]
    try:
        importlib.import_module(name)
    finally:
        del sys.modules["wandb"]
    try:
        yield
    finally:
        sys.modules.pop(name, None)


def cause_of_death(text: str) -> str:
    """What became of a process, and what to do about it, from Ray's message on it."""
    if any(words in text for words in _SHORT_OF_MEMORY):
        how = "was killed by Ray's memory monitor, as this machine's memory was almost full"
    elif "SIGKILL" in text or "unexpectedly" in text:
        how = "was killed or crashed, as happens where memory is short"
    else:
        return "died"
    return f"{how}; fewer packs at once (--workers) or fewer resources.replicas take less memory"


def is_gone(node: str) -> bool:
    """Whether a node, by Ray's id, has left the cluster."""
    return all(item["NodeID"] != node for item in ray.nodes() if item["Alive"])


class TrialQueue(Searcher):
    """Ray Tune's searcher: hands out ready packs; ``None`` while all wait for others.

    An error is kept in ``error`` and stops further packs; :func:`run_packs` raises it. Tune would
    turn it into a traceback of its own.
    """

    def __init__(
        self,
        agenda: Agenda,
        outcomes: Outcomes,
        broker: Any,
        config: dict[str, Any],
        most: int | None = None,
    ) -> None:
        """Put an agenda before Tune.

        Args:
            outcomes: makes payloads of packs and records of what they give back.
            broker: handle of the :class:`sweep.engine.broker.Broker` actor.
            config: what every trial's config holds beside the pack's id.
            most: packs that may run at once; None leaves it to the resources.
        """
        super().__init__()
        self.error: Exception | None = None
        self.agenda, self.outcomes = agenda, outcomes
        self._broker, self._config, self._most = broker, config, most
        self._trials: dict[str, Pack] = {}
        self._dead: dict[str, Pack] = {}
        self._again: list[Pack] = []
        self._deaths: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        found: dict[str, Any] | str | None = self._guarded(self._suggest, trial_id)
        return found

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Fetch the outcome and write it, whatever became of the trial."""
        self._guarded(self._close, trial_id)

    def note_death(self, trial_id: str, cause: str) -> None:
        """Start the pack of a dead trial anew, unless its workers die of it.

        The loss of a whole node is none of a pack's deaths. Tune itself may count the death of a
        worker between two packs as two failures.
        """
        self._guarded(self._note_death, trial_id, cause)

    def hear(self) -> None:
        """Tell the agenda what packs report while they train, and them who is to stop."""
        self._guarded(self._hear)

    def progress(self) -> dict[str, tuple[str, int, int]] | None:
        """Phase, done and total of each pack under way; None where nobody answers for now."""
        found = self._guarded(self._progress)
        return found if isinstance(found, dict) else None

    def collect(self) -> None:
        """Write what workers have handed in and Tune has not told of; what runs on is dropped."""
        for trial_id, pack in list(self._trials.items()):
            outcome = ray.get(self._broker.take.remote(pack.id), timeout=_COLLECT_TIMEOUT)
            if outcome is not None:
                del self._trials[trial_id]
                self.outcomes.close(pack, outcome)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the ledger is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher for ``Tuner.restore``, which nobody calls."""
        return {}

    def _guarded(self, action: Callable[..., Any], *arguments: str) -> Any:
        if self.error is not None:
            return Searcher.FINISHED
        try:
            return action(*arguments)
        except Exception as error:
            self.error = error
            return Searcher.FINISHED

    def _suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self._most is not None and len(self._trials) >= self._most:
            return None
        while (pack := self._again.pop() if self._again else self.agenda.next_pack()) is not None:
            try:
                payload = self.outcomes.payload(pack)
            except KeyError as error:
                reason = f"the prompt of its input {error.args[0]} is lost or damaged"
                self._settle(pack, None, reason)
                continue
            ray.get(self._broker.offer.remote(pack.id, payload))
            self._trials[trial_id] = pack
            return {**self._config, "pack": pack.id}
        return Searcher.FINISHED if self.agenda.finished else None

    def _close(self, trial_id: str) -> None:
        pack = self._trials.pop(trial_id, None)
        if pack is None:
            return
        if self.agenda.rungs:
            self._hear()  # what it reported last counts as well
        outcome = ray.get(self._broker.take.remote(pack.id))
        if outcome is None:
            self._dead[trial_id] = pack
        elif isinstance(outcome, Mapping) and outcome.get("ends"):
            raise InputError(outcome["error"])
        else:
            self._settle(pack, outcome)

    def _note_death(self, trial_id: str, cause: str) -> None:
        pack = self._dead.pop(trial_id, None)
        if pack is None:
            return
        node = ray.get(self._broker.node_of.remote(pack.id))
        gone = bool(node) and is_gone(node)
        if gone:
            self._broker.excuse.remote(pack.id)
        counts, most = (self._lost, NODE_LOSSES) if gone else (self._deaths, WORKER_DEATHS)
        counts[pack.id] += 1
        if counts[pack.id] > most:
            who = "node was lost" if gone else f"worker process {cause}"
            self._settle(pack, None, f"its {who} ({counts[pack.id]} times)")
        else:
            self._again.append(pack)

    def _settle(self, pack: Pack, outcome: Any, reason: str = "") -> None:
        closed = self.outcomes.close(pack, outcome, reason)
        self.agenda.close(pack.id, closed.done, closed.failed)

    def _hear(self) -> None:
        for pack_id, step, scores in ray.get(self._broker.reports.remote()):
            stop = self.agenda.report(pack_id, step, scores)
            if stop:
                self._broker.stop.remote(pack_id, list(stop))

    def _progress(self) -> Any:
        try:
            return ray.get(self._broker.progress.remote(), timeout=_COLLECT_TIMEOUT)
        except ray.exceptions.GetTimeoutError:
            return None


class _Pulse(tune.Callback):
    """Shows the progress line and sees to it that Ctrl-C is never lost in Tune's loop."""

    def __init__(self, queue: TrialQueue, line: ProgressLine, stopping: Callable[[], bool]) -> None:
        self._queue, self._line, self._stopping = queue, line, stopping
        self._heard = 0.0

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Called by Tune several times a second."""
        queue = self._queue
        if self._stopping():
            raise KeyboardInterrupt
        if queue.error is not None:
            # Packs under way could not be written either: nobody waits for them.
            raise queue.error
        if queue.agenda.rungs and time.monotonic() - self._heard > _HEAR_EVERY:
            self._heard = time.monotonic()
            queue.hear()
        if self._line.due():
            phases = queue.progress()
            if phases is not None:
                self._line.show(queue.agenda.running, phases, len(queue.outcomes.failures))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called by Tune after a trial whose worker has died."""
        try:
            text = Path(trial.error_file).read_text()
        except (OSError, TypeError):
            text = ""
        self._queue.note_death(trial.trial_id, cause_of_death(text))

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks for ``Tuner.restore``, which nobody calls."""
        return {}
