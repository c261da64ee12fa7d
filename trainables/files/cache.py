"""Where results that any sweep may use again are kept on this machine; what ``~`` stands for."""

import contextlib
import hashlib
import os
from pathlib import Path

from trainables.errors import InputError, show
from trainables.files.atomic import replace_file

VARIABLE = "PROMPTSWEEP_CACHE"
"""Environment variable with the folder; by default ``promptsweep`` in the user's cache folder."""
NOWHERE = Path(os.devnull)
"""Nothing is ever found in it, and what is written fails as on a disk that cannot be written."""


def cache_folder() -> Path:
    """The folder; it need not exist, and what is in it may be deleted at any time.

    Where the user has no home folder it is in :data:`NOWHERE`: see :func:`no_cache`.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return expanded(named)
    return (_usual() or NOWHERE) / "promptsweep"


def no_cache() -> str | None:
    """A sentence where nothing can be kept or found; None where there is a place for a cache."""
    if os.environ.get(VARIABLE) or _usual() is not None:
        return None
    home = os.environ.get("HOME")
    none = home in (None, "", str(NOWHERE))
    found = "this user has no home folder" if none else f"HOME is {home}, which cannot be used"
    return f"nothing is kept for later sweeps, as {found}; {VARIABLE} names a folder for it"


def expanded(path: str | Path) -> Path:
    """``path`` with the home folder that a ``~`` at its beginning stands for.

    Raises:
        InputError: there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(
            f"found {show(str(path))}, but there is no home folder for its"
            f" {show(Path(path).parts[0])}; allowed: a path that begins otherwise"
        ) from None


def home_variables() -> dict[str, str]:
    """What to set where this user has no home folder: libraries break on a ``~`` without one."""
    try:
        Path("~").expanduser()
    except RuntimeError:
        return {"HOME": str(NOWHERE)}
    return {}


def _usual() -> Path | None:
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        folder = Path(base) if base else Path("~/.cache").expanduser()
        # Whether it is there does not matter, but whether that can be seen.
        folder.joinpath("promptsweep").exists()
        return folder if above(folder).is_dir() else None
    except (RuntimeError, OSError):
        return None


def above(folder: Path) -> Path:
    """The next folder above, or this one, that is there."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def keep(path: Path | None, content: bytes) -> None:
    """Keep bytes for other processes; a cache that cannot be written costs time, not results."""
    if path is not None:
        with contextlib.suppress(OSError):
            digest = hashlib.sha256(content).digest()
            replace_file(path, digest + content, durable=False)


def recall(path: Path | None) -> bytes | None:
    """What :func:`keep` has put there, marked as read just now; None where nothing whole is."""
    if path is None:
        return None
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(memoryview(content)[32:]).digest() != content[:32]:
        return None
    with contextlib.suppress(OSError):  # it may be read only
        path.touch()
    return content[32:]
