"""Finished cells of all sweeps by their content hash, to be used again by any of them.

``cells/<2 hex>/<cell>.json`` is a record as in a ledger, ``prompts/<2 hex>/<cell>-<8 hex>
.safetensors`` its prompt and predictions. Several sweeps may read and write at once: files appear
complete or not at all, nothing changes in place, digests and schema are checked on reading. A
record's time is its last use: beyond the store's size, entries unused for longest go. A store never
stops a sweep: unreadable entries are computed, failed writes left out.
"""

import errno
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sweep.ledger.extras import Extras, trimmed
from sweep.ledger.folder import check_binding
from sweep.ledger.ledger import Ledger, Record
from sweep.ledger.store_size import DAMAGED, Bound
from sweep.planning.plan import AnyPlan, Plan
from trainables.core.cells import Cell
from trainables.core.contents import is_pinned
from trainables.files.atomic import replace_file
from trainables.files.cache import cache_folder, expanded, no_cache
from trainables.packs.records import (
    LARGEST_FILE,
    TENSORS,
    canonical,
    check_file,
    file_named,
    read_bytes,
    read_record,
    seal,
)

VARIABLE = "PROMPTSWEEP_STORE"
"""Environment variable with the store's folder, or ``none``."""
OFF = "none"

_PARTIAL = "partial"
_FORGOTTEN = 86_400.0  # seconds after which a half-written file has no writer any more


def store_folder(named: str | None = None) -> Path | None:
    """The folder of the store; None for no store.

    Args:
        named: ``--store``; None takes the variable :data:`VARIABLE`, else ``store`` in
            :func:`trainables.files.cache.cache_folder`, if there is one.
    """
    wanted = named or os.environ.get(VARIABLE)
    if wanted == OFF:
        return None
    if wanted:
        return expanded(wanted).absolute()
    return None if no_cache() else cache_folder() / "store"


def shareable(cell: Cell) -> bool:
    """Whether a cell's id says all that its result depends on, today and next year."""
    return all(map(is_pinned, cell.digests.values()))


Entry = tuple[Cell, Record, bytes | None]
"""A cell, its record, and the bytes of its file."""

NOTHING = Extras()


class Store:
    """Records and prompts by cell id, in one folder."""

    def __init__(
        self,
        folder: Path,
        warn: Callable[[str], None] = lambda line: None,
        repair: bool = False,
        most: int | None = None,
    ) -> None:
        """Open a store; the folder need not exist.

        Args:
            warn: takes one line on what is wrong.
            repair: whether to set damaged entries aside and to remove what killed writers left.
            most: bytes it may hold once something was written; None for no bound.
        """
        self._bound = Bound(folder, most)
        self.folder = folder
        self._warn = warn
        self._repair = repair
        self._writable = True
        if repair:
            self._tidy()

    def get(self, cell: Cell, wanted: Extras = NOTHING) -> tuple[Record, bytes | None] | None:
        """A cell's record and the bytes of its file; None where there is nothing whole.

        Args:
            wanted: calibrations and predictions that it must have; others are taken out of it.
        """
        path = self._record_path(cell.id)
        try:
            record, content = self._whole(path, cell.id)
            if record["cell"] != cell.to_json():
                raise ValueError("it holds another cell")
            found = trimmed(record, content, wanted)
            if found is not None:
                canonical(found[0])  # it can be written again
        except (OSError, ValueError) as error:
            self._missed(path, error)
            return None
        if self._repair:
            with suppress(OSError):
                os.utime(path)
        return found

    def check(self, path: Path) -> Record | None:
        """The record at ``path`` of the store; None where it, or its file, is damaged or gone."""
        try:
            return self._whole(path, path.stem)[0]
        except (OSError, ValueError) as error:
            self._missed(path, error)
            return None

    def peek(self, path: Path) -> Record | None:
        """The same, without a look at its file, and nothing is set aside."""
        try:
            return read_record(str(path), path.stem)
        except (OSError, ValueError):
            return None

    def put(self, record: Record, prompt: bytes | None, sweep: Mapping[str, str]) -> None:
        """Keep a finished cell unless one with as many extras is there; a failure is the last try.

        Args:
            record: as the ledger has it.
            sweep: ``name`` and ``spec_hash`` of the sweep; a cell taken from a store keeps its
                origin.
        """
        path = self._record_path(record["id"])
        if not self._writable or (path.exists() and not self._richer(record, path)):
            return
        kept = {key: value for key, value in record.items() if key != "reused_from"}
        try:
            named = file_named(record)
            if prompt is not None and named is not None:
                self._write(self._prompt_path(record["id"], named["sha256"]), prompt)
            origin = record.get("reused_from") or dict(sweep)
            content = seal({**kept, "sweep": origin})
            self._write(path, content)
            self._bound.wrote(len(content) + len(prompt or b""))
        except OSError as error:
            self._writable = False
            self._warn(
                f"the store {self.folder} cannot be written ({error.strerror or error}); finished"
                " cells are in this sweep's folder alone"
            )

    def among(
        self, cells: Iterable[Cell], done: Collection[str], wanted: Extras
    ) -> Iterator[Entry]:
        """Cells that are not in ``done``, each with what :meth:`get` gives, where it is whole."""
        for cell in cells:
            if cell.id not in done and shareable(cell):
                found = self.get(cell, wanted)
                if found is not None:
                    yield (cell, *found)

    def lacks(self, cell_id: str) -> bool:
        """Whether there is no entry, whole or not, and one can be written."""
        return self._writable and not self._record_path(cell_id).exists()

    def _richer(self, record: Record, path: Path) -> bool:
        """Whether a record has calibrations or predictions that the stored one lacks."""
        has = Extras.of(record)
        if not has:
            return False
        try:
            return bool(has.lacking(Extras.of(read_record(str(path), record["id"]))))
        except (OSError, ValueError):
            return True

    def _whole(self, path: Path, cell_id: str) -> tuple[Record, bytes | None]:
        """A record with its file, both as they must be.

        Raises:
            FileNotFoundError: there is no record, or no longer one.
            OSError, ValueError: it or its file is not as it must be.
        """
        record = read_record(str(path), cell_id)
        named = file_named(record)
        if named is None:
            return record, None
        try:
            content = read_bytes(str(self._prompt_path(cell_id, named["sha256"])), LARGEST_FILE)
        except OSError:
            path.stat()  # somebody else may have made room: the record goes first
            raise ValueError("its file cannot be read") from None
        check_file(record, content, TENSORS)
        return record, content

    def _record_path(self, cell_id: str) -> Path:
        return self.folder / "cells" / cell_id[:2] / f"{cell_id}.json"

    def _prompt_path(self, cell_id: str, digest: str) -> Path:
        # Two sweeps may compute one cell at once, and on GPUs not to the last bit alike: the digest
        # keeps either's record with its own prompt.
        return self.folder / "prompts" / cell_id[:2] / f"{cell_id}-{digest[:8]}.safetensors"

    def _write(self, path: Path, content: bytes) -> None:
        # Not flushed to the disk: the ledger was, and what a power cut spoils fails its digest.
        replace_file(path, content, durable=False, scratch=self.folder / _PARTIAL)

    def _missed(self, path: Path, error: OSError | ValueError) -> None:
        """Nothing: an entry that cannot be read is none; what can never be is set aside."""
        if isinstance(error, ValueError) or error.errno == errno.ELOOP:
            self._set_aside(path, error)

    def _set_aside(self, path: Path, error: Exception) -> None:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        self._warn(f"{path} is damaged ({reason}) and is computed again")
        if not self._repair:
            return
        with suppress(OSError):
            damaged = self.folder / DAMAGED
            damaged.mkdir(exist_ok=True)
            path.replace(damaged / f"{time.time_ns()}-{path.name}")

    def _tidy(self) -> None:
        with suppress(OSError):
            for file in (self.folder / _PARTIAL).iterdir():
                if time.time() - file.stat().st_mtime > _FORGOTTEN:
                    file.unlink(missing_ok=True)


class Reuse:
    """One sweep's dealings with a store: what it takes from it and what it gives."""

    def __init__(
        self,
        store: Store | None,
        ledger: Ledger,
        sweep: Mapping[str, str],
        wanted: Extras = NOTHING,
    ) -> None:
        """Connect a ledger, of which this is the driver, with a store.

        Args:
            store: None: nothing is taken and nothing given.
            sweep: ``name`` and ``spec_hash``.
            wanted: what the spec asks for: a cell that lacks some of it is computed.
        """
        self._store = store
        self._ledger = ledger
        self._sweep = dict(sweep)
        self._wanted = wanted

    def find(self, cells: Iterable[Cell]) -> set[str]:
        """Ids of those cells that the ledger lacks and the store has, whole."""
        return {cell.id for cell, _, _ in self._found(cells)}

    def take(self, cells: Iterable[Cell]) -> set[str]:
        """Take cells that the ledger lacks from the store into it; the ids of those taken.

        Raises:
            OSError: the ledger cannot be written.
        """
        taken = set()
        for cell, record, prompt in self._found(cells):
            origin = record.pop("sweep", None)
            self._ledger.adopt({**record, "reused_from": origin}, prompt)
            taken.add(cell.id)
        return taken

    def keep(self, record: Record) -> None:
        if self._store is None or not shareable(Cell.from_json(record["cell"])):
            return
        try:
            named = file_named(record)
            file = None if named is None else str(self._ledger.folder / named["file"])
            prompt = None if file is None else read_bytes(file, LARGEST_FILE)
        except (OSError, ValueError):  # the ledger says so itself when it is read
            return
        self._store.put(record, prompt, self._sweep)

    def keep_all(self, cells: Iterable[Cell]) -> None:
        """Give those cells that the ledger has and the store lacks, from before there was one."""
        if self._store is None:
            return
        done = self._ledger.done_ids()
        for cell in cells:
            if cell.id in done and shareable(cell) and self._store.lacks(cell.id):
                with suppress(KeyError):
                    self.keep(self._ledger.record(cell.id))

    def _found(self, cells: Iterable[Cell]) -> Iterator[Entry]:
        if self._store is not None:
            done = self._ledger.done_ids()
            yield from self._store.among(cells, done, self._wanted)


def make_reuse(
    plan: AnyPlan,
    ledger: Ledger,
    folder: Path | None,
    warn: Callable[[str], None],
    most: int | None = None,
) -> Reuse:
    """A running plan's dealings with the store in ``folder`` (None: none) of ``most`` bytes."""
    spec = plan.resolved.spec
    store = None if folder is None else Store(folder, warn, repair=True, most=most)
    return Reuse(store, ledger, {"name": spec.name, "spec_hash": plan.hash}, Extras.asked(spec))


def held(plan: Plan, out: Path | None, store: Path | None) -> tuple[set[str], set[str]]:
    """Ids of cells that a folder has, and of those it lacks and a store has; writes nothing.

    Args:
        out: a sweep's folder, new or the plan's; None for none.
        store: the store's folder; None for none.

    Raises:
        InputError: the folder belongs to another spec.
    """
    done: set[str] = set()
    if out is not None:
        check_binding(out, plan)
        done = Ledger(out).done_ids()
    if store is None:
        return done, set()
    wanted = Extras.asked(plan.resolved.spec)
    return done, {cell.id for cell, *_ in Store(store).among(plan.cells, done, wanted)}


def counted(plan: Plan, done: set[str], stored: set[str]) -> dict[str, Any]:
    """The counts of a plan, with what :func:`held` found.

    Returns:
        :meth:`Plan.counts`, with ``done`` (in the folder), ``in_store`` (in the store only) and
        ``to_run`` (in neither).
    """
    counts = plan.counts(done | stored)
    return {**counts, "done": counts["done"] - len(stored), "in_store": len(stored)}
