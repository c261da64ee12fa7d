"""A SQLite database of MLflow's that is there with all its tables, or not at all."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sweep.files import TEMPORARY

_NO_PATH = (":memory:", "file:")
"""What a database's name begins with that SQLite does not take for a path."""


def make_database(uri: str, connect: Callable[[str], Any]) -> None:
    """Make the database that a tracking URI names, where it names a SQLite file that is not there.

    MLflow makes its tables by dozens of migrations, one statement after another; killed among them
    it leaves a file that it can neither use nor mend. So they are made in a file beside it, which
    takes its place when it is complete.

    Args:
        uri: tracking URI; of servers and other databases nothing is made.
        connect: MLflow's client of a tracking URI, which makes the tables.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(uri)
    except ArgumentError:
        return
    name = url.database or ":memory:"  # as SQLite takes it
    if url.get_backend_name() != "sqlite" or name.startswith(_NO_PATH):
        return
    path = Path(name)
    if _is_there(path) or not path.parent.is_dir():
        return
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    with _alone(temporary):
        # Somebody else may have been faster.
        if not _is_there(path):
            client = connect(url.set(database=str(temporary)).render_as_string(False))
            client._tracking_client.store.engine.dispose()
            temporary.replace(path)


def _is_there(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


@contextmanager
def _alone(temporary: Path) -> Iterator[None]:
    """Nobody else works on this file, which is empty at first and gone afterwards."""
    journal = temporary.with_name(f"{temporary.name}-journal")
    with temporary.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            # Not through ``file``: while it waited, that may have become the finished database.
            if temporary.exists():
                temporary.write_bytes(b"")
            journal.unlink(missing_ok=True)
            yield
        finally:
            temporary.unlink(missing_ok=True)
            journal.unlink(missing_ok=True)
