"""Where a task's rows come from: local files or a data set of the Hugging Face Hub."""

import csv
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from trainables.errors import InputError

Row = Mapping[str, Any]
Reader = Callable[[TextIO, Path], Iterator[tuple[int, Row]]]


class Source(ABC):
    """Named tables of rows; a row maps column names to values."""

    @abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """JSON-able value that changes with the data; enters the task's digest.

        Raises:
            InputError: the data is missing (local files only).
        """

    @abstractmethod
    def rows(self, name: str) -> Iterator[tuple[int, Row]]:
        """(number, row) of the table ``name``, in order; numbers count from 1.

        Raises:
            InputError: it cannot be read; on the Hub also: there is no such table.
        """

    @abstractmethod
    def where(self, name: str, number: int | None = None) -> str:
        """How to name a table, or one of its rows, in a message."""


class FileSource(Source):
    """One JSONL, CSV or TSV file a table (UTF-8; CSV and TSV begin with the column names)."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        """``files``: path of each table; the suffix tells the format."""
        self._files = dict(files)

    def fingerprint(self) -> dict[str, Any]:
        """Format and SHA-256 of every file; moving or renaming a file changes nothing."""
        return {name: [path.suffix, self._sha256(path)] for name, path in self._files.items()}

    def rows(self, name: str) -> Iterator[tuple[int, Row]]:
        """Numbers are line numbers (of a row's last line where a CSV value has line breaks)."""
        path = self._files[name]
        try:
            with path.open(encoding="utf-8-sig", newline="") as stream:
                yield from READERS[path.suffix](stream, path)
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not UTF-8 text: {error.reason}") from None
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from None

    def where(self, name: str, number: int | None = None) -> str:
        """File, and line."""
        return f"{self._files[name]}" + ("" if number is None else f", line {number}")

    @staticmethod
    def _sha256(path: Path) -> str:
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest()
        except FileNotFoundError:
            raise InputError(f"the data file {path} does not exist") from None
        except OSError as error:
            raise InputError(f"the data file {path} cannot be read: {error.strerror}") from None


class HubSource(Source):
    """A data set that ``datasets.load_dataset`` finds: ``owner/name``, or a folder with data."""

    def __init__(self, path: str, name: str | None, revision: str | None) -> None:
        """``name`` is the configuration; None for ``revision`` takes the newest."""
        self._path, self._name, self._revision = path, name, revision

    def fingerprint(self) -> dict[str, Any]:
        """Name, configuration and revision; an unpinned data set's changes remain unseen."""
        return {"path": f"{self._path}@{self._revision}", "name": self._name}

    def rows(self, name: str) -> Iterator[tuple[int, Row]]:
        """Numbers are row numbers."""
        # Seconds to import, and needed for the Hub alone.
        import datasets

        try:
            table = datasets.load_dataset(
                self._path, self._name, split=name, revision=self._revision
            )
        # Whatever goes wrong in there (network, name, split, file format) is the task file's to
        # mend or to wait for, and the library has no common base class for it.
        except Exception as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{self.where(name)} cannot be loaded: {type(error).__name__}: {reason[:300]}"
            ) from error
        yield from enumerate(table, start=1)

    def where(self, name: str, number: int | None = None) -> str:
        """Data set, split, and row."""
        config = f" ({self._name})" if self._name else ""
        place = f"split {name!r} of the data set {self._path}{config}"
        return place + ("" if number is None else f", row {number}")


def _read_jsonl(stream: TextIO, path: Path) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {number} is not valid JSON: {error.msg}") from None
        if not isinstance(row, dict):
            raise InputError(
                f"{path}, line {number} holds a JSON {type(row).__name__}, "
                'but must hold an object such as {"text": "fine", "label": 0}'
            )
        yield number, row


def _delimited(**dialect: Any) -> Reader:
    def read(stream: TextIO, path: Path) -> Iterator[tuple[int, Row]]:
        reader = csv.reader(stream, strict=True, **dialect)
        header: list[str] | None = None
        try:
            for values in reader:
                if not values:
                    continue
                if header is None:
                    header = values
                    _check_header(header, path)
                    continue
                if len(values) != len(header):
                    raise InputError(
                        f"{path}, line {reader.line_num} has {len(values)} values, "
                        f"but the first line names {len(header)} columns"
                    )
                yield reader.line_num, dict(zip(header, values, strict=True))
        except csv.Error as error:
            raise InputError(f"{path}, line {reader.line_num} is malformed: {error}") from None

    return read


def _check_header(header: list[str], path: Path) -> None:
    for column in header:
        if header.count(column) > 1:
            raise InputError(f"{path}, line 1 names the column {column!r} twice")


READERS: Mapping[str, Reader] = {
    ".jsonl": _read_jsonl,
    ".csv": _delimited(),
    # A TSV value is taken as it stands: quotation marks in published sets are often unbalanced.
    ".tsv": _delimited(delimiter="\t", quoting=csv.QUOTE_NONE),
}
"""Reader by file suffix."""
