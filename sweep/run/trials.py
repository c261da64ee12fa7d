"""Packs as Ray Tune trials. Imported only when there is something to run."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune

from sweep.run.broker import NAMESPACE, start_broker
from sweep.run.cluster import RayLostError, ray_resources, threads_of
from sweep.run.depot import depot_config
from sweep.run.jobs import Work
from sweep.run.outcomes import Desk
from sweep.run.progress import ProgressLine
from sweep.run.trial_queue import PackQueue
from sweep.spec.resources import Share
from trainables.tune import PackTrainable

_SHORT_OF_MEMORY = ("running low on memory", "memory usage threshold", "OutOfMemory")
_HEAR_EVERY = 0.2  # seconds between two looks at what packs report while they train


@dataclass(frozen=True)
class Workshop:
    """Where and how packs run.

    Attributes:
        share: what one pack takes.
        executor: import string of what computes a pack.
        most: packs at once at most; None leaves it to the resources.
        folder: for Tune's own files, of no use afterwards.
        ship: how files get to nodes that lack them, see :func:`sweep.run.depot.shipping`.
    """

    share: Share
    executor: str
    most: int | None
    folder: Path
    ship: str | None = None


def places(share: Share, most: int | None) -> int:
    """How many packs the Ray that is up has room for now; at least 1."""
    here = ray.cluster_resources()
    wanted = {"CPU": share.cpu, "GPU": share.gpu}
    room = [int(here.get(name, 0) / amount) for name, amount in wanted.items() if amount]
    return max(1, min([*room, *([most] if most else [])]))


def run_packs(
    agenda: Work,
    desk: Desk,
    line: ProgressLine,
    workshop: Workshop,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Run the packs of an agenda to the end, in the Ray that is up.

    Args:
        agenda: what is to run.
        desk: gives out packs and writes what comes back.
        line: shows how far it is.
        workshop: where and how.
        stopping: whether the user has asked to stop.

    Raises:
        OSError: the ledger cannot be written.
        RayLostError: Ray has given up, or the actor that holds packs was killed.
        KeyboardInterrupt: the user has asked to stop.
    """
    name = f"broker-{os.getpid()}"
    broker = start_broker(name)
    # An actor lives as long as its handle.
    depot, depot_keys = depot_config(workshop.ship, f"depot-{os.getpid()}")
    share = workshop.share
    queue = PackQueue(
        agenda,
        desk,
        broker,
        {
            "broker": name,
            "namespace": NAMESPACE,
            "executor": workshop.executor,
            "device": "cuda" if share.gpu else "cpu",
            "threads": threads_of(share),
            "cpu": share.cpu,
            "most": workshop.most,
            "room": {
                "replicas": share.replicas,
                "share": min(1.0, share.gpu) or None,
                "graphs": share.graphs,
            },
            "rungs": agenda.rungs,
            **depot_keys,
        },
        workshop.most,
    )
    tuner = tune.Tuner(
        tune.with_resources(PackTrainable, ray_resources(share)),
        tune_config=tune.TuneConfig(search_alg=queue, num_samples=-1, reuse_actors=True),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(workshop.folder),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[_Pulse(agenda, desk, line, queue, stopping)],
        ),
    )
    try:
        tuner.fit()
    except KeyboardInterrupt:
        # A Ray that is going down too has nothing to give.
        with suppress(ray.exceptions.RayError):
            queue.collect()
        raise
    except Exception as error:
        if queue.error is not None:
            raise _told(queue.error) from queue.error
        # Ray Tune nests tracebacks in messages: the last line says what happened.
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise RayLostError(f"Ray Tune gave up: {reason[-1].strip()}") from error
    finally:
        del depot
    if queue.error is not None:
        raise _told(queue.error) from queue.error


def _told(error: Exception) -> Exception:
    """What stopped the queue: nothing but the broker is asked for anything there."""
    if not isinstance(error, ray.exceptions.RayError):
        return error
    return RayLostError(f"the process that hands out packs {cause_of_death(str(error))}")


def cause_of_death(text: str) -> str:
    """What became of a process, and what to do about it, from Ray's message on it."""
    if any(words in text for words in _SHORT_OF_MEMORY):
        how = "was killed by Ray's memory monitor, as this machine's memory was almost full"
    elif "SIGKILL" in text or "unexpectedly" in text:
        how = "was killed or crashed, as happens where memory is short"
    else:
        return "died"
    return f"{how}; fewer packs at once (--workers) or fewer resources.replicas take less memory"


class _Pulse(tune.Callback):
    """Shows the progress line and sees to it that Ctrl-C is never lost in Tune's loop."""

    def __init__(
        self,
        agenda: Work,
        desk: Desk,
        line: ProgressLine,
        queue: PackQueue,
        stopping: Callable[[], bool],
    ) -> None:
        self._agenda, self._desk, self._line = agenda, desk, line
        self._queue, self._stopping = queue, stopping
        self._heard = 0.0

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Called by Tune several times a second."""
        if self._stopping():
            raise KeyboardInterrupt
        if self._queue.error is not None:
            # Packs under way could not be written either: nobody waits for them.
            raise self._queue.error
        if self._agenda.rungs and time.monotonic() - self._heard > _HEAR_EVERY:
            self._heard = time.monotonic()
            self._queue.hear()
        if self._line.due():
            phases = self._queue.progress()
            if phases is not None:
                self._line.show(self._agenda.running, phases, len(self._desk.failures))

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
