"""One driver a folder."""

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from trainables.errors import InputError

LOCK_FILE = "driver.lock"
_PATIENCE = 0.5  # `sweep status` holds the lock for a moment when it looks


class DriverLock:
    """Exclusive right to write into a sweep's folder, for as long as the ``with`` lasts.

    The operating system lets go of it when the process dies, however it dies, so that a lock left
    behind by a killed driver is no obstacle. The file holds the pid for people.
    """

    def __init__(self, folder: Path) -> None:
        """Prepare the lock of ``folder``, which must exist."""
        self._path = folder / LOCK_FILE
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            InputError: another driver holds it.
        """
        file = self._path.open("a+", encoding="utf-8")
        deadline = time.monotonic() + _PATIENCE
        while not _take(file, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                holder = _holder(file)
                file.close()
                raise InputError(
                    f"{self._path.parent}: a sweep is running in this folder already"
                    f" (process {holder}); allowed: one driver at a time"
                )
            time.sleep(0.02)
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the lock; the file stays, since removing it would race with the next driver."""
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None


def running_driver(folder: Path) -> int | None:
    """Pid of the driver that works in ``folder``; None where there is none."""
    try:
        file = (folder / LOCK_FILE).open(encoding="utf-8")
    except OSError:
        return None
    with file:
        if _take(file, fcntl.LOCK_SH):
            return None
        holder = _holder(file)
        return int(holder) if holder.isdigit() else None


def _take(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(file: IO[str]) -> str:
    file.seek(0)
    return file.read().strip() or "unknown"
