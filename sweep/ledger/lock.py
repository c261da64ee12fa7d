"""One driver a folder."""

import contextlib
import fcntl
import os
import socket
import time
from pathlib import Path
from typing import IO, Self

from trainables.errors import InputError

LOCK_FILE = "driver.lock"
_PATIENCE = 0.5  # `sweep status` holds the lock for a moment when it looks


class DriverLock:
    """Exclusive right to write into a sweep's folder, while the ``with`` lasts.

    The operating system frees it when the process dies. The file holds pid and host for people: on
    a shared disk the other driver may be on another machine.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_FILE
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            InputError: another driver holds it.
            OSError: the folder cannot be written, or its disk knows no locks.
        """
        file = self._path.open("ab+", buffering=0)
        try:
            self._wait(file)
        except BaseException:
            file.close()
            raise
        # Nobody needs what is written: a full disk is the business of those who come after.
        with contextlib.suppress(OSError):
            file.truncate(0)
            file.write(f"{os.getpid()} {socket.gethostname()}\n".encode())
        self._file = file
        return self

    def _wait(self, file: IO[bytes]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not _take(file, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                pid, host = _holder(file)
                raise InputError(
                    f"{self._path.parent}: a sweep is running in this folder already"
                    f" (process {pid} on {host}); allowed: one driver at a time"
                )
            time.sleep(0.02)

    def __exit__(self, *error: object) -> None:
        """Let go of the lock; the file stays, since removing it would race with the next driver."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.truncate(0)
            self._file.close()
            self._file = None


def running_driver(folder: Path) -> int | None:
    """Pid of the driver that works in ``folder``; None where there is none."""
    try:
        file = (folder / LOCK_FILE).open("rb")
    except OSError:
        return None
    with file:
        if _take(file, fcntl.LOCK_SH):
            return None
        pid, _ = _holder(file)
        return int(pid) if pid.isdigit() else None


def _take(file: IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(file: IO[bytes]) -> tuple[str, str]:
    """Pid and host, as far as the file names them."""
    file.seek(0)
    pid, _, host = file.read(400).decode(errors="replace").strip().partition(" ")
    return pid or "unknown", host or "a host it does not name"
