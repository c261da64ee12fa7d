"""A SQLite database of MLflow's: there with all its tables or not at all, and in its place."""

import fcntl
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sweep.ledger.folder import META_FILE
from sweep.tracking.places import ARTIFACTS, DATABASE
from trainables.files.atomic import TEMPORARY

_PATIENCE = 20.0  # seconds that another writer may take
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

    path = _path_in(uri)
    if path is None or _is_there(path) or not path.parent.is_dir():
        return
    url = make_url(uri)
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    with _alone(temporary):
        # Somebody else may have been faster.
        if not _is_there(path):
            client = connect(url.set(database=str(temporary)).render_as_string(False))
            client._tracking_client.store.engine.dispose()
            temporary.replace(path)


def bring_home(uri: str) -> None:
    """Have the database in a sweep's folder name the artifacts beside it.

    MLflow keeps absolute places of artifacts: after a move or a copy of the folder they would be
    those of the old one. All of them are changed in one transaction; a database elsewhere, or one
    that names its own place, is left alone.

    Args:
        uri: tracking URI.

    Raises:
        sqlite3.Error: the database cannot be read or written.
    """
    path = _path_in(uri)
    if path is None or path.name != DATABASE or not (path.parent / META_FILE).is_file():
        return
    if not _is_there(path):
        return
    home = (path.resolve().parent / ARTIFACTS).as_uri()
    with closing(sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)) as database:
        if not _homes(database) - {home}:
            return
        database.execute("BEGIN IMMEDIATE")
        try:
            for old in _homes(database) - {home}:
                _rename(database, old, home)
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise


def _homes(database: sqlite3.Connection) -> set[str]:
    """Where artifacts of experiments in a sweep's folder are."""
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    if "experiments" not in tables:  # MLflow is about to make it
        return set()
    rows = database.execute("SELECT artifact_location FROM experiments")
    return {text for (text,) in rows if text and text.startswith("file:") and _ends_home(text)}


def _ends_home(text: str) -> bool:
    return text.rstrip("/").endswith(f"/{ARTIFACTS}")


def _rename(database: sqlite3.Connection, old: str, new: str) -> None:
    """Replace one place by another in every text of every table."""
    tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (table,) in tables:
        for _, column, kind, *_ in database.execute(f'PRAGMA table_info("{table}")').fetchall():
            if kind.upper().startswith(("VARCHAR", "TEXT", "CHAR", "CLOB")):
                database.execute(
                    f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?)'
                    f' WHERE instr("{column}", ?)',
                    (old.rstrip("/"), new, old.rstrip("/")),
                )


def _path_in(uri: str) -> Path | None:
    """The file of a tracking URI that names a SQLite file; None for any other."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(uri)
    except ArgumentError:
        return None
    name = url.database or ":memory:"  # as SQLite takes it
    if url.get_backend_name() != "sqlite" or name.startswith(_NO_PATH):
        return None
    return Path(name)


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
