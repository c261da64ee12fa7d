"""The ledger: one file a finished cell, written once and only by the driver.

``ledger/<2 hex>/<cell>.json`` is a record, ``prompts/<2 hex>/<cell>.safetensors`` the prompt or
readout and the predictions it names, ``ledger/failed/<cell>.json`` why a cell has no record. The
presence of a record that passes its digest means *done*; everything else (MLflow, tables, report)
is a view.
"""

import errno
import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sweep.ledger.prompt_file import file_content, tensor_in
from trainables.core.cells import Cell
from trainables.core.predictions import splits_of
from trainables.files.atomic import TEMPORARY, replace_file
from trainables.files.names import check_cell_id
from trainables.files.plain import plain_result
from trainables.files.redact import redact
from trainables.packs.records import (
    LARGEST_FILE,
    PROMPT,
    READOUT,
    canonical,
    check_file,
    file_named,
    file_place,
    parsed,
    read_bytes,
    read_record,
    record_files,
    record_in,
    seal,
)

Record = dict[str, Any]
_NO_FILE = (errno.ELOOP, errno.ENXIO)  # links in a circle, a socket


class Ledger:
    """Finished and failed cells of one folder.

    Reading checks digests and schema; a prompt's content is checked when it is read, or with
    ``repair`` always. What fails counts as missing; with ``repair``, for the holder of the driver's
    lock alone, it is moved to ``ledger/damaged/``, and half-written files are removed.
    """

    def __init__(
        self,
        folder: Path,
        versions: Mapping[str, str] | None = None,
        repair: bool = False,
        warn: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Open the ledger of a sweep's folder; reads nothing yet.

        Args:
            warn: takes one line for each record set aside.
        """
        self.folder = folder
        self._place = str(folder)
        self._versions = dict(versions or {})
        self._repair = repair
        self._warn = warn
        self._done: set[str] | None = None

    def done_ids(self) -> set[str]:
        """Ids of finished cells whose record and file are intact."""
        if self._done is None:
            if self._repair:
                for half_written in self.folder.rglob(f".*{TEMPORARY}"):
                    half_written.unlink(missing_ok=True)
            self._done = {record["id"] for record in self.records()}
        return self._done

    def records(self) -> Iterator[Record]:
        """Every intact record, in the order of the ids."""
        for path, cell_id in record_files(self.folder / "ledger"):
            record = self._read(path, cell_id, self._repair)
            if record is not None:
                yield record

    def record(self, cell_id: str) -> Record:
        """The record of one cell.

        Raises:
            KeyError: the cell has no intact record.
            InputError: ``cell_id`` cannot be one.
        """
        check_cell_id(cell_id)
        record = self._read(str(self._record_path(cell_id)), cell_id, True)
        if record is None:
            raise KeyError(cell_id)
        return record

    def prompt(self, cell_id: str) -> Any:
        """The prompt of a finished cell: float32 array [m, d], or uint8 [n], a text's UTF-8.

        Raises:
            KeyError: the cell has no intact record or no prompt.
        """
        return self._kept(cell_id, PROMPT)

    def readout(self, cell_id: str) -> Any:
        """The readout of a finished cell, float32 array [C, h + 1].

        Raises:
            KeyError: the cell has no intact record or no readout.
        """
        return self._kept(cell_id, READOUT)

    def _kept(self, cell_id: str, name: str) -> Any:
        named = self.record(cell_id).get(name)
        if named is None:
            raise KeyError(cell_id)
        try:
            return tensor_in(self._file_bytes(named["file"]), name)
        except ValueError as error:
            self._set_aside(self._record_path(cell_id), error)
            raise KeyError(cell_id) from None

    def write(
        self,
        cell: Cell,
        result: Mapping[str, Any],
        pack: str,
        cost: Mapping[str, float],
        prompt: Any = None,
        predictions: Mapping[str, Any] | None = None,
        readout: Any = None,
    ) -> Record | None:
        """Make a cell finished: first its file, then its record; a failure of it is forgotten.

        Args:
            result: its numbers; those that are not finite become null.
            cost: seconds of the whole pack.
            prompt: float32 array [m, d], uint8 array [n] of a text in UTF-8, or None.
            predictions: arrays of :mod:`trainables.core.predictions`, or None.
            readout: float32 array [C, h + 1], or None.

        Returns:
            The record; None where the cell was finished already, which then stays as it is.

        Raises:
            ValueError: the result has no finite ``score``, or prompt, readout or predictions are
                none.
            TypeError: the result is no mapping, or holds what JSON cannot.
            OSError: the record could not be written.
        """
        if cell.id in self.done_ids():
            return None
        record = {
            "id": cell.id,
            "cell": cell.to_json(),
            "result": plain_result(result),
            "pack": pack,
            "cost": plain_result(cost, score=False),
            "finished": _now(),
            "versions": self._versions,
            **self._write_file(cell, prompt, predictions or {}, readout),
        }
        content = seal(record)
        record_in(content, cell.id)  # what could not be read must not be written
        replace_file(self._record_path(cell.id), content)
        self.done_ids().add(cell.id)
        self._failed_path(cell.id).unlink(missing_ok=True)
        return record

    def adopt(self, record: Mapping[str, Any], prompt: bytes | None) -> None:
        """Make a cell finished whose record and file another sweep has written.

        Nothing waits for the disk: what a power cut spoils fails its digest, and is adopted again.

        Args:
            record: as another ledger has it.
            prompt: the content of the file that the record names, or None.

        Raises:
            OSError: the ledger cannot be written.
        """
        cell_id = record["id"]
        if cell_id in self.done_ids():
            return
        if prompt is not None:
            replace_file(self._prompt_path(cell_id), prompt, durable=False)
        replace_file(self._record_path(cell_id), seal(record), durable=False)
        self.done_ids().add(cell_id)
        self._failed_path(cell_id).unlink(missing_ok=True)

    def fail(self, cell: Cell, reason: str, pack: str, trace: str = "", attempt: int = 1) -> None:
        """Record why a cell has no result.

        Args:
            reason: one sentence.
            attempt: how often this run has tried it.
        """
        failure = {
            "id": cell.id,
            "cell": cell.to_json(),
            "reason": redact(reason),
            "traceback": redact(trace),
            "attempt": attempt,
            "pack": pack,
            "finished": _now(),
        }
        replace_file(self._failed_path(cell.id), canonical(failure))

    def failures(self) -> Iterator[Record]:
        """Records of cells that failed and have not been finished since."""
        for path in sorted((self.folder / "ledger" / "failed").glob("*.json")):
            try:
                failure = parsed(read_bytes(str(path)))
            except (OSError, ValueError):
                continue
            if isinstance(failure, dict) and failure.get("id") not in self.done_ids():
                yield failure

    def _record_path(self, cell_id: str) -> Path:
        return self.folder / "ledger" / cell_id[:2] / f"{cell_id}.json"

    def _prompt_path(self, cell_id: str) -> Path:
        return self.folder / file_place(cell_id)

    def _failed_path(self, cell_id: str) -> Path:
        return self.folder / "ledger" / "failed" / f"{cell_id}.json"

    def _write_file(
        self, cell: Cell, prompt: Any, predictions: Mapping[str, Any], readout: Any
    ) -> dict[str, Any]:
        """Write the cell's file, if there is anything for it; what the record says of it."""
        splits = splits_of(predictions)
        if prompt is None and readout is None and not splits:
            return {"prompt": None, "predictions": None}
        # Strings only: that is all that safetensors metadata holds.
        about = {
            "cell": cell.id,
            "kind": cell.kind,
            "row": cell.row,
            "task": cell.task,
            "model": cell.target,
            "model_digest": cell.digests.get(cell.target, ""),
            "sources": "+".join(cell.sources),
        }
        content = file_content(about, prompt, predictions, readout)
        path = self._prompt_path(cell.id)
        replace_file(path, content)
        named = {
            "file": path.relative_to(self.folder).as_posix(),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        return {
            "prompt": None if prompt is None else named,
            "predictions": {**named, "splits": list(splits)} if splits else None,
            **({} if readout is None else {READOUT: named}),
        }

    def _read(self, path: str, cell_id: str, prompt: bool) -> Record | None:
        """The record at ``path`` if it and its file are intact, else None.

        ``prompt``: check prompt and readout in the file too, not only the file's digest.
        """
        try:
            record = read_record(path, cell_id)
            named = file_named(record)
            if named is not None:
                check_file(
                    record, self._file_bytes(named["file"]), (PROMPT, READOUT) if prompt else ()
                )
        except FileNotFoundError:
            return None
        except ValueError as error:
            self._set_aside(Path(path), error)
            return None
        except OSError as error:
            if error.errno not in _NO_FILE:  # it may pass, as a disk's errors do
                raise
            self._set_aside(Path(path), error)
            return None
        return record

    def _file_bytes(self, file: str) -> bytes:
        try:
            return read_bytes(f"{self._place}/{file}", LARGEST_FILE)
        except OSError:
            raise ValueError(f"its file {file} cannot be read") from None

    def _set_aside(self, path: Path, error: Exception) -> None:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        shown = path.relative_to(self.folder).as_posix()
        self._warn(f"{shown} is damaged ({reason}) and counts as missing")
        if self._done is not None:
            self._done.discard(path.stem)
        if not self._repair:
            return
        damaged = self.folder / "ledger" / "damaged"
        damaged.mkdir(parents=True, exist_ok=True)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        for item in (path, self._prompt_path(path.stem)):
            if item.exists():
                item.replace(damaged / f"{stamp}-{item.name}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
