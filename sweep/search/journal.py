"""The journal of a search: one file that only the driver writes, whole after any kill.

Optuna's own file backend locks with a symbolic link, which a killed process leaves behind (30 s of
waiting), and syncs every line. Here the operating system holds the lock; lines reach the kernel at
once and the disk once a second. A power cut may take the last second and leave a torn line, which
is cut off at the next start; lost points are suggested again, and the ledger has their results.

The format is Optuna's: optuna-dashboard reads it.
"""

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from trainables.errors import InputError

_SYNC_SECONDS = 1.0


class DriverJournal(JournalFileBackend):
    """A journal file in the hands of one process."""

    def __init__(self, path: Path) -> None:
        """Open the file, or start it; a torn last line is cut off.

        Raises:
            InputError: another process writes it, or it cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror})") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise InputError(
                f"{path}: another process writes this search's journal; allowed: one driver at a"
                " time"
            ) from None
        cut_torn_end(path)
        self._synced = 0.0
        super().__init__(str(path))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Hand lines to the kernel.

        Raises:
            OSError: the disk is full; the file is as before then.
        """
        lines = [json.dumps(log, separators=(",", ":")) for log in logs]
        content = "".join(f"{line}\n" for line in lines).encode()
        before = os.fstat(self._file.fileno()).st_size
        try:
            written = 0
            while written < len(content):
                written += self._file.write(content[written:])
        except OSError:
            self._file.truncate(before)
            raise

    def sync(self) -> None:
        """See to it that all but the last second is on the disk."""
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def close(self) -> None:
        """Let go of the file, all of it on the disk."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()


def cut_torn_end(path: Path) -> None:
    """Cut off lines at the end that were never written as a whole."""
    content = path.read_bytes()
    kept = len(content)
    while kept and not _whole(content[content.rfind(b"\n", 0, kept - 1) + 1 : kept]):
        kept = content.rfind(b"\n", 0, kept - 1) + 1
    if kept < len(content):
        os.truncate(path, kept)


def _whole(line: bytes) -> bool:
    if not line.endswith(b"\n"):
        return False
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def open_storage(backend: JournalFileBackend, path: Path) -> JournalStorage:
    """Optuna's storage over a journal.

    Raises:
        InputError: a line is no record.
    """
    try:
        return JournalStorage(backend)
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise InputError(
            f"{path}: the journal of the search is damaged ({type(error).__name__}); allowed: the"
            " file as it was written (set it aside to begin the search anew: what the ledger holds"
            " is not run again)"
        ) from None


def read_storage(path: Path) -> JournalStorage:
    """The storage of a journal for reading only; a driver may go on writing.

    Raises:
        InputError: there is no such file, or it is damaged.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; allowed: the journal of a search")
    return open_storage(JournalFileBackend(str(path)), path)
