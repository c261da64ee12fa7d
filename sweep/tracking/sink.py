"""The writer beside the sweep: in the background, and never in its way.

The ledger is the spool: whatever could not be written is in it, and the next run of the same
command, or ``sweep sync``, catches up.
"""

import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from sweep.ledger.folder import read_meta
from sweep.ledger.ledger import Ledger, Record
from sweep.ledger.lock import DriverLock
from sweep.tracking.artifacts import PromptFiles
from sweep.tracking.facts import SinkTarget, facts_of_folder, target_of
from sweep.tracking.view import RunData, View, grouping_of, milliseconds, sweep_run
from sweep.tracking.writer import Files, RunWriter
from trainables.errors import InputError
from trainables.files.atomic import replace_file
from trainables.files.redact import redact
from trainables.packs.records import canonical, parsed, read_bytes

BATCH = 50
"""Runs written in one go."""
PATIENCE = 60.0
"""Seconds without any progress after which :meth:`MlflowSink.close` goes on without MLflow."""
_GATHER, _LONGEST_GATHER = 0.5, 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
LAST_PAUSES = (1.0, 2.0, 4.0)
"""Seconds before each further try at the end: a server that is started anew is back by then."""
_LAST_TRIES = 15.0  # seconds after which no further one is begun
NOTE = "mlflow-behind.json"
"""File in a sweep's folder that says how many runs MLflow lacks; gone once it has all."""
_REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


class MlflowSink:
    """Writes the runs of a sweep to MLflow in a thread of its own; never raises into the sweep.

    A server that cannot be reached is tried again after 1, 2, 4, … 30 s; whatever it then lacks is
    written. :meth:`close` tries a few times more and tells what is left.
    """

    def __init__(
        self,
        target: SinkTarget,
        view: View,
        files: Files,
        bulk: bool = True,
        note: Path | None = None,
    ) -> None:
        """Prepare; nothing is written before :meth:`start`.

        Args:
            view: of the sweep; nobody else may use it from now on.
            bulk: see :class:`RunWriter`.
            note: the file :data:`NOTE`; None for none.
        """
        self._note = note
        self._target = target
        self._view = view
        self._files = files
        self._bulk = bulk
        self._queue: SimpleQueue[Record | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._status = "FINISHED"
        self._writer: RunWriter | None = None
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
        # Here and not in the thread: Ray imports MLflow too, and two threads that import its parts
        # at once may leave it half made for good.
        import mlflow.tracking  # noqa: F401

        self._write_note(None)  # until it is known, should this process be killed
        for record in records:
            self._queue.put(record)
        self._thread = threading.Thread(target=self._work, name="mlflow-sink", daemon=True)
        self._thread.start()

    def add(self, record: Record) -> None:
        self._queue.put(record)

    def close(self, status: str = "FINISHED", patience: float = PATIENCE) -> str | None:
        """Write what waits and end the parent run.

        Args:
            status: MLflow status of the parent run: FINISHED, FAILED or KILLED.
            patience: seconds without any progress to wait for.

        Returns:
            None, or one sentence on what could not be written and why.
        """
        self._status = status
        if self._thread is None:
            return None
        self._queue.put(None)
        seen, since = self._progress, time.monotonic()
        while self._thread.is_alive() and time.monotonic() - since < patience:
            self._thread.join(0.2)
            if self._progress != seen:
                seen, since = self._progress, time.monotonic()
        if isinstance(self._error, InputError):
            self._write_note(self._view.behind)
            return str(self._error)
        if self._error is not None:
            return self._behind_note(_first_line(self._error))
        if self._thread.is_alive():
            return self._behind_note(f"no answer for {patience:.0f} s")
        self._forget_note()
        if self._refused:
            return redact(
                f"MLflow ({self._target.uri}) refused {len(self._refused)} runs"
                f" ({self._refused[0]}); the ledger is complete"
            )
        return None

    def _behind_note(self, reason: str) -> str:
        self._write_note(self._view.behind)
        return redact(
            f"MLflow ({self._target.uri}) could not be written ({reason}); the ledger is complete"
            f" and the next run of the same command catches up ({self._view.behind} runs behind)"
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
                self._writer = RunWriter(
                    self._target, self._view.facts, self._files, parent, self._bulk
                )
                self._progress += 1
            self._write(self._writer, list(self._view.due(closing)))
            if closing:
                if self._stumbled:
                    self._writer.tidy()
                self._writer.end(self._status)
            self._error, self._pause, self._again = None, _FIRST_PAUSE, 0.0
        except Exception as error:
            # Its list of what is there may be wrong by now: a new one begins with a new list.
            self._error, self._writer, self._stumbled = error, None, True
            self._again = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _write(self, writer: RunWriter, runs: list[RunData]) -> None:
        for start in range(0, len(runs), BATCH):
            batch = runs[start : start + BATCH]
            try:
                writer.write(batch, self._settle)
            except Exception as error:
                if not _is_refusal(error):
                    raise
                self._one_by_one(writer, batch)

    def _one_by_one(self, writer: RunWriter, runs: list[RunData]) -> None:
        """One run that MLflow does not want must not keep the others out."""
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


def sync(folder: Path, uri: str | None = None) -> str:
    """Write the runs of a sweep's folder that MLflow lacks; nothing else is read or run.

    Args:
        uri: tracking URI; None takes the spec's, or the database in the folder.

    Returns:
        One sentence on what is there now.

    Raises:
        InputError: no sweep's folder, a driver is at work in it, or MLflow cannot be written.
    """
    meta = read_meta(folder)
    with DriverLock(folder):
        ledger = Ledger(folder)
        records = list(ledger.records())
        facts = facts_of_folder(folder)
        target = target_of(folder, uri or meta["spec"]["mlflow"]["tracking_uri"])
        view, files = View(facts, grouping_of(facts)), PromptFiles(folder, facts)
        note = folder / NOTE if uri is None else None
        sink = MlflowSink(target, view, files, note=note)
        sink.start(records)
        failed = any(True for _ in ledger.failures())
        # A search plans as it goes: only what failed is known to be missing.
        planned = meta.get("planned_cells")
        whole = not failed if planned is None else len(records) >= int(planned)
        late = sink.close("FINISHED" if whole else "FAILED" if failed else "KILLED")
    if late:
        raise InputError(late.replace("the next run of the same command", "sweep sync"))
    count = sum(record["cell"]["kind"] == "transfer" for record in records)
    return f"{count} results of sweep {facts.name} are in MLflow at {redact(target.uri)}"


def runs_behind(folder: Path) -> int | None:
    """How many runs MLflow lacks of a sweep that is not running, as its last driver left it.

    Returns:
        Their number; None where MLflow has all; -1 where the driver was killed before it knew.
    """
    try:
        found = parsed(read_bytes(str(folder / NOTE)))
        count = found["behind"]
        return -1 if count is None else int(count)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return -1


def _is_refusal(error: Exception) -> bool:
    return getattr(error, "error_code", None) in _REFUSALS


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
