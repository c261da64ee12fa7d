"""A temporary folder that goes away even if its process was killed: the next one removes it."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainables.errors import InputError

_PREFIX = "promptsweep-ray-"
_IN_USE = "in-use"
RAY = "ray"
"""Name of the folder for Ray's own files within :func:`scratch_folder`."""

_SOCKET = 107  # bytes that the path of a socket may have
_DEEPEST = (
    f"/{_PREFIX}12345678/{RAY}/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
)
"""The longest path that Ray opens a socket at, with the largest process id that there is."""
LONGEST = _SOCKET - len(_DEEPEST)
"""Bytes that the path of a folder may have for Ray to work below it."""
_SHORT = ("/tmp", "/var/tmp", "/dev/shm")
_YOUNG = 60.0  # seconds in which a new folder may have no lock yet


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for the time of the ``with``; those of killed processes are removed on the way.

    Only this user can look into it. Its path is short enough for Ray's sockets.

    Raises:
        InputError: there is no place for it.
    """
    folder = _new_folder()
    try:
        with (folder / _IN_USE).open("w") as file:
            # The system lets go of the lock with the process, however that ends.
            fcntl.flock(file, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _new_folder() -> Path:
    found = []
    for root in temporary_roots():
        remove_leftovers(root)
        try:
            return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
        except OSError as error:
            found.append(f"{root}: {error.strerror or error}")
    raise InputError(
        f"TMPDIR: no folder for temporary files ({'; '.join(found)}); allowed: one that can be"
        f" written, with a path of at most {LONGEST} characters, as Ray's sockets are below it"
    )


def remove_leftovers(root: Path, young: float = _YOUNG) -> None:
    """Remove the folders in ``root`` that no process holds and that are ``young`` seconds old."""
    for folder in root.glob(f"{_PREFIX}*"):
        try:
            if time.time() - folder.stat().st_mtime < young:
                continue
            with (folder / _IN_USE).open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # held, gone, or somebody else's
            continue
        shutil.rmtree(folder, ignore_errors=True)


def temporary_roots() -> list[Path]:
    """Places for temporary files, the best first: the usual one, unless its path is too long."""
    try:
        usual = [tempfile.gettempdir()]
    except FileNotFoundError:  # nothing that the system knows can be written
        usual = []
    return [
        Path(place)
        for place in dict.fromkeys((*usual, *_SHORT))
        if len(os.fsencode(place)) <= LONGEST
    ]
