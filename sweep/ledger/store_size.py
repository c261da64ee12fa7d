"""How large the store is, what is in it, and how room is made: least recently used entries first.

An entry is a cell's record with the prompt files of that cell. Others may read and write meanwhile:
a record goes before its files, so that a reader finds an entry whole or not at all.
"""

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainables.errors import InputError, show

VARIABLE = "PROMPTSWEEP_STORE_SIZE"
"""Environment variable with the store's size, as ``--store-size`` takes it."""
USUAL_SIZE = "20GB"
NO_BOUND = "none"
DAMAGED = "damaged"
_DAY = 86_400.0
_ROOM = 0.9  # what is filled after room was made, so that it is not made for every entry anew
_UNITS = {"B": 1, "kB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000, "TB": 1_000_000_000_000}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?b)", re.IGNORECASE)


def size_of(text: str | None, option: str = "--store-size") -> int | None:
    """Bytes that a size such as ``20GB`` stands for; None where there is no bound.

    Args:
        text: as the user wrote it; None takes :data:`VARIABLE`, and without that
            :data:`USUAL_SIZE`.
        option: what the user wrote it for.

    Raises:
        InputError: it is no size.
    """
    if text is None and os.environ.get(VARIABLE):
        text, option = os.environ[VARIABLE], VARIABLE
    wanted = (text or USUAL_SIZE).strip()
    if wanted == NO_BOUND:
        return None
    found = _SIZE.fullmatch(wanted)
    units = {name.lower(): factor for name, factor in _UNITS.items()}
    size = int(float(found[1]) * units[found[2].lower()]) if found else 0
    if size < 1:
        raise InputError(
            f"{option}: found {show(text)}; allowed: a number with {', '.join(_UNITS)}, such as"
            f" 20GB, or {NO_BOUND}"
        )
    return size


def size_text(size: float) -> str:
    """Bytes for people, such as ``1.5 GB``."""
    unit = max((name for name in _UNITS if _UNITS[name] <= max(size, 1)), key=_UNITS.__getitem__)
    return f"{size / _UNITS[unit]:.3g} {unit}"


@dataclass
class StoredEntry:
    """What one cell has in the store.

    Attributes:
        used: when it was used last, in seconds since 1970.
        size: bytes of all its files.
        files: path and time of each, the record first.
    """

    used: float = 0.0
    size: int = 0
    files: list[tuple[str, int]] = field(default_factory=list)

    def add(self, path: str, found: os.stat_result) -> None:
        self.files.append((path, found.st_mtime_ns))
        self.size += found.st_size
        self.used = self.used or found.st_mtime

    def remove(self) -> bool:
        """Delete its files; whether it went, which it does not where it was used since."""
        for name, written in self.files:
            path = Path(name)
            with suppress(OSError):
                if path.lstat().st_mtime_ns != written:
                    return False
                path.unlink()
        return True


def entries(folder: Path) -> dict[str, StoredEntry]:
    found: dict[str, StoredEntry] = {}
    # Records first: they say when an entry was used, and go first.
    for kind in ("cells", "prompts"):
        for path, seen in _files(folder / kind):
            name = path.rpartition("/")[2].partition(".")[0]
            cell = name.rpartition("-")[0] if kind == "prompts" else name
            found.setdefault(cell, StoredEntry()).add(path, seen)
    return found


def _files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Files in a folder's folders; what vanishes meanwhile is left out."""
    for shard in _listed(folder):
        for item in _listed(shard.path):
            with suppress(OSError):
                if not item.is_dir(follow_symlinks=False):
                    yield item.path, item.stat(follow_symlinks=False)


def _listed(folder: Path | str) -> list["os.DirEntry[str]"]:
    try:
        return list(os.scandir(folder))
    except OSError:
        return []


def make_room(folder: Path, most: float, older_than: float | None = None) -> tuple[int, int]:
    """Remove what is damaged, and least recently used entries until the rest fits.

    Nothing is removed where nothing is too much.

    Args:
        most: bytes that may be left.
        older_than: seconds: what was not used for as long goes in any case.

    Returns:
        How many entries were removed, and the bytes that are left.
    """
    there = sorted(entries(folder).values(), key=lambda entry: entry.used)
    left = sum(entry.size for entry in there)
    broken = [(item.path, item.stat(follow_symlinks=False)) for item in _listed(folder / DAMAGED)]
    if left + sum(seen.st_size for _, seen in broken) > most or older_than is not None:
        for path, _ in broken:
            with suppress(OSError):
                Path(path).unlink()
    removed, now = 0, time.time()
    for entry in there:
        if left <= most and (older_than is None or now - entry.used < older_than):
            break
        if entry.remove():
            left -= entry.size
            removed += 1
    return removed, left


class Bound:
    """Keeps a store within its size while a sweep writes into it."""

    def __init__(self, folder: Path, most: int | None) -> None:
        """Nothing is looked at before something is written; ``most`` None: no bound."""
        self._folder = folder
        self._most = most
        self._size: int | None = None

    def wrote(self, size: int) -> None:
        """So many bytes were written: make room where they are too much."""
        if self._most is None:
            return
        if self._size is None:
            self._size = sum(entry.size for entry in entries(self._folder).values())
        else:
            self._size += size
        if self._size > self._most:
            _, self._size = make_room(self._folder, _ROOM * self._most)


def care(
    folder: Path,
    look: Callable[[Path], Mapping[str, Any] | None],
    thorough: bool = False,
    size: int | None = None,
    days: float | None = None,
) -> dict[str, Any]:
    """Look after a store, and say what is in it.

    Args:
        look: the record in a file, None if unreadable, such as
            :meth:`sweep.ledger.store.Store.check`.
        thorough: whether it sets damaged ones aside.
        size: bytes to prune to; None for no bound.
        days: entries unused for so many days go; None for no such bound.

    Returns:
        ``folder``, ``entries``, ``bytes``, ``sweeps`` (``entries`` and ``bytes`` by name), and the
        numbers of ``damaged`` and ``removed`` entries.
    """
    removed = 0
    if size is not None or days is not None:
        older = None if days is None else days * _DAY
        removed, _ = make_room(folder, float("inf") if size is None else size, older)
    count: Counter[str] = Counter()
    total: Counter[str] = Counter()
    damaged = 0
    for entry in entries(folder).values():
        path = Path(entry.files[0][0])
        whole = path.is_relative_to(folder / "cells")
        record = look(path) if whole else None
        if record is None and whole and thorough:
            damaged += 1
            continue
        name = "(none)" if record is None else str((record.get("sweep") or {}).get("name"))
        count[name] += 1
        total[name] += entry.size
    return {
        "folder": str(folder),
        "entries": count.total(),
        "bytes": total.total(),
        "sweeps": {
            name: {"entries": number, "bytes": total[name]} for name, number in count.most_common()
        },
        "damaged": damaged,
        "removed": removed,
    }


def format_care(found: Mapping[str, Any]) -> str:
    width = max(map(len, found["sweeps"]), default=0)
    removed, damaged = found["removed"], found["damaged"]
    return "\n".join(
        [
            f"store {found['folder']}: {found['entries']:,} entries, {size_text(found['bytes'])}",
            *(
                f"  {name.ljust(width)}  {item['entries']:,} entries, {size_text(item['bytes'])}"
                for name, item in found["sweeps"].items()
            ),
            *([f"  {removed:,} removed"] if removed else []),
            *([f"  {damaged:,} damaged, set aside"] if damaged else []),
        ]
    )
