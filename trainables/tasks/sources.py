"""Where a task's rows come from: local files, a folder of them, or a data set of the Hub."""

import csv
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from trainables.core.contents import (
    check_no_folder,
    file_digest,
    files_below,
    is_commit,
    is_hub_name,
    no_access,
    place_of,
)
from trainables.errors import InputError, show
from trainables.files.text_files import check_regular, load_json, reason_of

_LONGEST_FIELD = 2**31 - 1

Row = Mapping[str, Any]
Reader = Callable[[TextIO, Path], Iterator[tuple[int, Row]]]


class Source(ABC):
    """Named tables of rows; a row maps column names to values.

    Attributes:
        pinned: whether equal fingerprints always mean equal rows.
    """

    pinned = True

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
        return {name: [format_of(path), self._sha256(path)] for name, path in self._files.items()}

    def rows(self, name: str) -> Iterator[tuple[int, Row]]:
        """Numbers are line numbers (of a row's last line where a CSV value has line breaks)."""
        path = self._files[name]
        try:
            check_regular(path)
            with path.open(encoding="utf-8-sig", newline="") as stream:
                yield from READERS[format_of(path)](stream, path)
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not UTF-8 text: {error.reason}") from None
        except OSError as error:
            raise InputError(f"{path} cannot be read: {reason_of(error)}") from None

    def where(self, name: str, number: int | None = None) -> str:
        return f"{self._files[name]}" + ("" if number is None else f", line {number}")

    @staticmethod
    def _sha256(path: Path) -> str:
        try:
            return file_digest(path)
        except FileNotFoundError:
            raise InputError(f"the data file {path} does not exist") from None
        except (OSError, ValueError) as error:
            raise InputError(f"the data file {path} cannot be read: {reason_of(error)}") from None


class LibrarySource(Source):
    """What ``datasets.load_dataset`` reads, one split of it a table."""

    def __init__(self, path: str, name: str | None) -> None:
        """``path`` as messages name it; ``name`` is the configuration."""
        self._path, self._name = path, name

    def rows(self, name: str) -> Iterator[tuple[int, Row]]:
        """Numbers are row numbers."""
        try:
            yield from enumerate(self._table(name), start=1)
        except InputError:
            raise
        # Whatever goes wrong in there (network, name, split, file format) is the task file's to
        # mend or to wait for, and the library has no common base class for it.
        except Exception as error:
            access = no_access(error, f"datasets/{self._path}")
            if access is not None:
                raise InputError(f"{self.where(name)} is {access}") from error
            reason = " ".join(str(error).split())
            raise InputError(
                f"{self.where(name)} cannot be loaded: {type(error).__name__}: {reason[:300]}"
            ) from error

    @abstractmethod
    def _table(self, name: str) -> Iterable[Row]:
        """The rows of a split; any error."""

    def where(self, name: str, number: int | None = None) -> str:
        config = f" ({self._name})" if self._name else ""
        place = f"split {show(name)} of the data set {self._path}{config}"
        return place + ("" if number is None else f", row {number}")


class HubSource(LibrarySource):
    """A data set of the Hub, ``owner/name``."""

    def __init__(
        self, path: str, name: str | None, revision: str | None, part: str | None = None
    ) -> None:
        """Name a data set.

        Args:
            path: ``owner/name``.
            name: configuration.
            revision: None takes the newest.
            part: a folder of it, in place of a configuration.
        """
        super().__init__(path, name or part)
        self._revision, self._part = revision, part
        self.pinned = is_commit(revision)

    def fingerprint(self) -> dict[str, Any]:
        """Name, configuration and revision: only a commit pins what they stand for."""
        found = {"path": f"{self._path}@{self._revision}", "name": self._name}
        return found if self._part is None else {**found, "folder": self._part}

    def _table(self, name: str) -> Iterable[Row]:
        # Seconds to import, and needed for such data alone.
        import datasets

        check_no_folder(self._path, "data.hub.path")
        # What the Hub converts has a folder for each configuration and knows none by its name.
        which = {"split": name, "revision": self._revision}
        table: Iterable[Row] = (
            datasets.load_dataset(self._path, self._name, **which)
            if self._part is None
            else datasets.load_dataset(self._path, data_dir=self._part, **which)
        )
        if self.pinned:
            self._check_commit(table)
        return table

    def _check_commit(self, table: Any) -> None:
        """Without the Hub the library takes what it has in its cache, of whatever revision."""
        for file in getattr(table, "cache_files", ()):
            commit = Path(file["filename"]).parent.name
            if is_commit(commit) and commit != self._revision:
                raise InputError(
                    f"data.hub.revision: found {self._revision}, which cannot be had now, and"
                    f" {self._path} in this machine's cache is {commit}; allowed: a connection to"
                    " the Hub, or the revision that is there"
                )


class FolderSource(LibrarySource):
    """A folder of data files as the Hub's data sets have them."""

    def __init__(self, folder: Path, name: str | None) -> None:
        """``name`` is the configuration."""
        super().__init__(str(folder), name)
        self._folder = folder

    @property
    def files(self) -> dict[str, Path]:
        """All files that count, by name within the folder; errors as :meth:`fingerprint`."""
        try:
            found = files_below(self._folder)
        except OSError as error:
            raise InputError(f"{error.filename} cannot be read: {error.strerror}") from None
        if not found:
            raise InputError(f"data.hub.path: the folder {self._folder} holds no files")
        return found

    def fingerprint(self) -> dict[str, Any]:
        """SHA-256 of every file, by name within the folder, and the configuration.

        Where the folder is changes nothing, nor whether a file is a link.

        Raises:
            InputError: a file cannot be read, or there is none.
        """
        try:
            digests = {name: file_digest(path) for name, path in self.files.items()}
        except OSError as error:
            raise InputError(f"{error.filename} cannot be read: {error.strerror}") from None
        return {"folder": digests, "name": self._name}

    def _table(self, name: str) -> Iterable[Row]:
        import datasets

        datasets.disable_progress_bars()  # they would come again with every pack
        counted = {str(path.absolute()) for path in self.files.values()}
        # The library's cache knows a file by its path and time, an archive by its path alone, and
        # so gives old rows for new content: it gets a cache of its own for each reading.
        with tempfile.TemporaryDirectory(prefix="promptsweep-data-") as cache:
            builder = datasets.load_dataset_builder(str(self._folder), self._name, cache_dir=cache)
            for files in (builder.config.data_files or {}).values():
                for file in files:
                    if file not in counted:
                        raise InputError(
                            f"{self._folder} names the data file {file}, which is hidden or not in"
                            " the folder; allowed: files of the folder"
                        )
            builder.download_and_prepare()
            yield from builder.as_dataset(split=name)


def hub_source(
    path: str, name: str | None, revision: str | None, base: Path, part: str | None = None
) -> Source:
    """What ``data.hub`` stands for: a folder where there is one, else a data set of the Hub.

    Args:
        path: as the task file has it.
        name: configuration.
        revision: of the Hub.
        base: folder that a relative path starts from: the task file's.
        part: the folder of a data set of the Hub that is taken, in place of a configuration.

    Raises:
        InputError: neither a folder nor a name of the Hub, or a folder with a revision or a part.
    """
    folder = place_of(path, base, "data.hub.path")
    if folder.is_dir():
        if part is not None:
            raise InputError(
                f"data.hub.folder: found {show(part)}, but data.hub.path is the folder {folder};"
                " allowed: the inner folder as data.hub.path"
            )
        if revision is not None:
            raise InputError(
                f"data.hub.revision: found {show(revision)}, but data.hub.path is the folder"
                f" {folder}, which has none; allowed: no revision, or a name of the Hub that is no"
                " folder beside the task file"
            )
        return FolderSource(Path(os.path.realpath(folder)), name)
    if not is_hub_name(path):
        raise InputError(
            f"data.hub.path: found {show(path)}, and {folder} is no folder; allowed: a folder"
            " (relative to the task file), or a Hub name owner/name"
        )
    return HubSource(path, name, revision, part)


def _read_jsonl(stream: TextIO, path: Path) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            row = load_json(line)
        except ValueError as error:
            raise InputError(f"{path}, line {number} is not valid JSON: {error}") from None
        if not isinstance(row, dict):
            raise InputError(
                f"{path}, line {number} holds a JSON {type(row).__name__}, "
                'but must hold an object such as {"text": "fine", "label": 0}'
            )
        yield number, row


def _delimited(**dialect: Any) -> Reader:
    def read(stream: TextIO, path: Path) -> Iterator[tuple[int, Row]]:
        csv.field_size_limit(_LONGEST_FIELD)  # the default refuses long texts that are in order
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
            raise InputError(f"{path}, line 1 names the column {show(column)} twice")


def format_of(path: str | Path) -> str:
    """Key of :data:`READERS` for a file's name; capitals make no difference."""
    return Path(path).suffix.lower()


READERS: Mapping[str, Reader] = {
    ".jsonl": _read_jsonl,
    ".csv": _delimited(),
    # A TSV value is taken as it stands: quotation marks in published sets are often unbalanced.
    ".tsv": _delimited(delimiter="\t", quoting=csv.QUOTE_NONE),
}
"""Reader by file suffix."""
