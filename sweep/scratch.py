"""A temporary folder that goes away even if its process was killed: the next one removes it."""

import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "promptsweep-ray-"
_IN_USE = "in-use"
_LONGEST = 40  # Ray puts socket files below, whose paths may have 107 characters
_YOUNG = 60.0  # seconds in which a new folder may have no lock yet


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for the time of the ``with``; those of killed processes are removed on the way."""
    root = temporary_root()
    remove_leftovers(root)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
    try:
        with (folder / _IN_USE).open("w") as file:
            # The system lets go of the lock with the process, however that ends.
            fcntl.flock(file, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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


def temporary_root() -> Path:
    """The usual place for temporary files, or /tmp where that has too long a path."""
    usual = tempfile.gettempdir()
    return Path(usual if len(usual) <= _LONGEST else "/tmp")
