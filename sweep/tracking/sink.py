"""The writers beside the sweep, one for each tracker: in the background, and never in its way.

The ledger is the spool: whatever could not be written is in it, and the next run of the same
command, or ``sweep sync``, catches up.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from sweep.ledger.folder import read_meta
from sweep.ledger.ledger import Ledger, Record
from sweep.ledger.lock import DriverLock
from sweep.spec.trackers import MLFLOW, TRACKERS, check_trackers, trackers_of
from sweep.tracking.facts import Place, facts_of_folder
from sweep.tracking.view import RunData, View, grouping_of, milliseconds, sweep_run
from trainables.errors import InputError, check_known
from trainables.files.atomic import replace_file
from trainables.files.redact import redact
from trainables.packs.records import canonical, parsed, read_bytes

BATCH = 50
"""Runs written in one go."""
PATIENCE = 60.0
"""Seconds without any progress after which :meth:`Sink.close` goes on without the tracker."""
_GATHER, _LONGEST_GATHER = 0.5, 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
LAST_PAUSES = (1.0, 2.0, 4.0)
"""Seconds before each further try at the end: a server that is started anew is back by then."""
_LAST_TRIES = 15.0  # seconds after which no further one is begun
_NOTE = "-behind.json"
_REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


class Writer(Protocol):
    """Writes the runs of one sweep, each once, however often it is told of them."""

    def write(self, runs: Sequence[RunData], done: Callable[[RunData], None]) -> None:
        """Make sure that each run is there, finished and once.

        Args:
            runs: groups before their results.
            done: told of each run that is there.
        """

    def end(self, status: str, summary: Mapping[str, float]) -> None:
        """End the sweep's own run (status FINISHED, FAILED or KILLED) with its metrics."""

    def tidy(self) -> None:
        """Put right what an answer that was lost may have left twice."""


class Tracker(Protocol):
    """A program that shows runs, and where they go."""

    @property
    def where(self) -> str:
        """The place of the runs, as messages name it."""

    @property
    def shown(self) -> str:
        """How people look at them: a command or an address."""

    def prepare(self) -> None:
        """What has to be done in the driver's own thread, before anything else."""

    def open(self, parent: RunData) -> Writer:
        """Begin to write, or begin again; any exception is tried again later.

        Args:
            parent: the run of the sweep itself.
        """

    def close(self) -> None:
        """Let go of everything at once, even of what does not answer."""


class Sink:
    """Writes the runs of a sweep to a tracker in a thread of its own; never raises into the sweep.

    A server that cannot be reached is tried again after 1, 2, 4, … 30 s; whatever it then lacks is
    written. :meth:`close` tries a few times more and tells what is left.
    """

    def __init__(self, title: str, tracker: Tracker, view: View, note: Path | None = None) -> None:
        """Prepare; nothing is written before :meth:`start`.

        Args:
            title: the tracker's name for people.
            view: of the sweep; nobody else may use it from now on.
            note: the file :func:`note_of`; None for none.
        """
        self.title = title
        self.tracker = tracker
        self._note = note
        self._view = view
        self._queue: SimpleQueue[Record | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._status, self._failed = "FINISHED", 0
        self._writer: Writer | None = None
        self._error: Exception | None = None
        self._refused: list[str] = []
        self._stumbled = False
        self._pause = _FIRST_PAUSE
        self._again = 0.0
        self._progress = 0
        self._began = int(1000 * time.time())
        self._versions: dict[str, Any] = {}

    def start(self, records: Iterable[Record]) -> None:
        """Start the thread with the ledger's records; later ones come through :meth:`add`."""
        with suppress(Exception):  # what fails here fails again where it is told
            self.tracker.prepare()
        self._write_note(None)  # until it is known, should this process be killed
        for record in records:
            self._queue.put(record)
        name = f"{self.title}-sink"
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def add(self, record: Record) -> None:
        self._queue.put(record)

    def close(
        self, status: str = "FINISHED", failed: int = 0, patience: float = PATIENCE
    ) -> str | None:
        """Write what waits and end the parent run.

        Args:
            status: of the parent run: FINISHED, FAILED or KILLED.
            failed: how many cells have failed.
            patience: seconds without any progress to wait for.

        Returns:
            None, or one sentence on what could not be written and why.
        """
        self.finish(status, failed)
        return self.wait(patience)

    def finish(self, status: str, failed: int) -> None:
        """Nothing comes any more: have what waits written, and the parent run ended."""
        self._status, self._failed = status, failed
        self._queue.put(None)

    def wait(self, patience: float = PATIENCE) -> str | None:
        """The end of what :meth:`finish` has begun, as :meth:`close` tells it."""
        if self._thread is None:
            return None
        seen, since = self._progress, time.monotonic()
        while self._thread.is_alive() and time.monotonic() - since < patience:
            self._thread.join(0.2)
            # Who stops a sweep waits so long in all.
            if self._progress != seen and self._status != "KILLED":
                seen, since = self._progress, time.monotonic()
        hangs = self._thread.is_alive()
        self.tracker.close()
        if hangs:
            slow = self._progress != seen
            return self._behind_note(
                f"{'not done after' * slow or 'no answer for'} {patience:.0f} s"
            )
        if isinstance(self._error, InputError):
            self._write_note(self._view.behind)
            return str(self._error)
        if self._error is not None:
            return self._behind_note(_first_line(self._error))
        self._forget_note()
        if self._refused:
            return redact(
                f"{self.title} ({self.tracker.where}) refused {len(self._refused)} runs"
                f" ({self._refused[0]}); the ledger is complete"
            )
        return None

    def _behind_note(self, reason: str) -> str:
        self._write_note(self._view.behind)
        return redact(
            f"{self.title} ({self.tracker.where}) could not be written ({reason}); the"
            " ledger is complete and the next run of the same command catches up"
            f" ({self._view.behind} runs behind)"
        )

    def _write_note(self, behind: int | None) -> None:
        if self._note is not None:
            with suppress(OSError):
                replace_file(self._note, canonical({"behind": behind}))

    def _forget_note(self) -> None:
        if self._note is not None:
            with suppress(OSError):
                self._note.unlink(missing_ok=True)

    def _work(self) -> None:
        closing, began = False, 0.0
        while not closing:
            closing, began = self._take(), time.monotonic()
            if closing or began >= self._again:
                self._try(closing)
        # Who stops a sweep does not wait for a server, nor anybody for one that fails slowly.
        for pause in LAST_PAUSES[:1] if self._status == "KILLED" else LAST_PAUSES:
            if self._error is None or isinstance(self._error, InputError):
                return
            if time.monotonic() - began > _LAST_TRIES:
                return
            time.sleep(pause)
            self._try(closing)

    def _take(self) -> bool:
        """Take what has come, and wait a moment for more of it; whether that was the last."""
        now = time.monotonic()
        waiting = _LONGEST_PAUSE if self._error is None else max(0.0, self._again - now)
        try:
            record = self._queue.get(timeout=waiting)
            until = time.monotonic() + _LONGEST_GATHER
            while record is not None:
                self._learn(record)
                if time.monotonic() > until:
                    return False
                record = self._queue.get(timeout=_GATHER)
        except Empty:
            return False
        return True

    def _learn(self, record: Record) -> None:
        self._began = min(self._began, milliseconds(record["finished"]))
        self._versions = self._versions or record.get("versions") or {}
        self._view.learn(record)

    def _try(self, closing: bool) -> None:
        try:
            if self._writer is None:
                parent = sweep_run(self._view.facts, self._began, self._versions)
                self._writer = self.tracker.open(parent)
                self._progress += 1
            self._write(self._writer, list(self._view.due(closing)))
            if closing:
                if self._stumbled:
                    self._writer.tidy()
                summary = self._view.summary.metrics(self._view.facts.planned, self._failed)
                self._writer.end(self._status, summary)
            self._error, self._pause, self._again = None, _FIRST_PAUSE, 0.0
        except Exception as error:
            # Its list of what is there may be wrong by now: a new one begins with a new list.
            self._error, self._writer, self._stumbled = error, None, True
            self._again = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _write(self, writer: Writer, runs: list[RunData]) -> None:
        for start in range(0, len(runs), BATCH):
            batch = runs[start : start + BATCH]
            try:
                writer.write(batch, self._settle)
            except Exception as error:
                if not _is_refusal(error):
                    raise
                self._one_by_one(writer, batch)

    def _one_by_one(self, writer: Writer, runs: list[RunData]) -> None:
        """One run that a server does not want must not keep the others out."""
        for run in runs:
            try:
                writer.write([run], self._settle)
            except Exception as error:
                if not _is_refusal(error):
                    raise
                self._refused.append(_first_line(error))
                self._view.drop(run)

    def _settle(self, run: RunData) -> None:
        self._view.settle(run)
        self._progress += 1


class Sinks:
    """The sinks of a sweep, as one."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks

    @property
    def places(self) -> list[str]:
        """Where the runs are, a line for each tracker."""
        return [f"{sink.title} at {redact(sink.tracker.where)}" for sink in self._sinks]

    @property
    def shown(self) -> list[str]:
        """How people look at the runs, a line for each tracker."""
        return [f"{sink.title + ':':<8} {redact(sink.tracker.shown)}" for sink in self._sinks]

    def start(self, records: Iterable[Record]) -> None:
        known = records if len(self._sinks) == 1 else list(records)
        for sink in self._sinks:
            sink.start(known)

    def add(self, record: Record) -> None:
        for sink in self._sinks:
            sink.add(record)

    def close(
        self, status: str = "FINISHED", failed: int = 0, patience: float = PATIENCE
    ) -> str | None:
        """As :meth:`Sink.close`, of all of them: they write what waits at the same time."""
        for sink in self._sinks:
            sink.finish(status, failed)
        told = [sink.wait(patience) for sink in self._sinks]
        return "; ".join(filter(None, told)) or None


def make_sinks(names: Sequence[str], place: Place, notes: bool = True) -> Sinks:
    """What writes runs to the trackers of these names.

    Args:
        notes: whether the folder says what they lack.
    """
    facts, sinks = place.facts, []
    for name, kind in ((name, TRACKERS[name]) for name in names):
        view = View(facts, grouping_of(facts))
        note = note_of(place.folder, name) if notes else None
        sinks.append(Sink(kind.title, kind.load()(place), view, note))
    return Sinks(sinks)


def sync(folder: Path, uri: str | None = None, names: Sequence[str] = ()) -> str:
    """Write the runs of a sweep's folder that its trackers lack; nothing else is read or run.

    Args:
        uri: tracking URI; None takes the spec's, or the database in the folder.
        names: trackers; none for those of the spec, with ``uri`` MLflow alone.

    Returns:
        One sentence on what is there now.

    Raises:
        InputError: no sweep's folder, a driver is at work in it, there is no such tracker, or one
            cannot be written.
    """
    meta = read_meta(folder)
    chosen = tuple(names) or ((MLFLOW,) if uri else trackers_of(meta["spec"]))
    for name in chosen:
        check_known(name, TRACKERS, "--tracker")
    check_trackers(chosen, "--tracker" if names else "tracking")
    with DriverLock(folder):
        ledger = Ledger(folder)
        records = list(ledger.records())
        facts = facts_of_folder(folder)
        place = Place(folder, facts, uri or meta["spec"]["mlflow"]["tracking_uri"])
        sinks = make_sinks(chosen, place, notes=uri is None)
        sinks.start(records)
        failed = sum(1 for _ in ledger.failures())
        # A search plans as it goes: only what failed is known to be missing.
        planned = meta.get("planned_cells")
        whole = not failed if planned is None else len(records) >= int(planned)
        status = "FINISHED" if whole else "FAILED" if failed else "KILLED"
        late = sinks.close(status, failed)
    if late:
        raise InputError(late.replace("the next run of the same command", "sweep sync"))
    where = " and ".join(sinks.places)
    return f"{len(records)} results of sweep {facts.name} are in {where}"


def note_of(folder: Path, name: str) -> Path:
    """File in a sweep's folder that says how many runs a tracker lacks; gone once it has all."""
    return folder / f"{name}{_NOTE}"


def runs_behind(folder: Path) -> dict[str, int]:
    """How many runs the trackers lack of a sweep that is not running, as its last driver left it.

    Returns:
        Their number by tracker, without those that have all; -1 where the driver was killed before
        it knew.
    """
    return {
        path.name.removesuffix(_NOTE): _count_in(path) for path in sorted(folder.glob(f"*{_NOTE}"))
    }


def _count_in(note: Path) -> int:
    try:
        count = parsed(read_bytes(str(note)))["behind"]
        return -1 if count is None else int(count)
    except (OSError, ValueError, KeyError, TypeError):
        return -1


def _is_refusal(error: Exception) -> bool:
    return getattr(error, "error_code", None) in _REFUSALS


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
