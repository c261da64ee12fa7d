"""GGUF files: one file with config, tokenizer and weights, as llama.cpp reads them. Torch-free.

The library reads such a file and gives every weight back as plain numbers (dequantised). Here only
its header is read: what it says of itself, and whether all of it is there. The format is that of
ggml's ``docs/gguf.md``, versions 2 and 3, little-endian.
"""

import importlib.util
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

from trainables.errors import InputError
from trainables.files.text_files import one_line

SUFFIX = ".gguf"
NEEDED = ("gguf", "accelerate")
"""Packages that the library reads such files with."""
CHAT_TEMPLATE = "tokenizer.chat_template"

_MAGIC, _VERSIONS = b"GGUF", (2, 3)
_NUMBERS = {**dict(enumerate("BbHhIif?")), **dict(enumerate("Qqd", 10))}
"""Per type of a value that is a number, how :mod:`struct` reads it."""
_STRING, _ARRAY = 8, 9
_ALIGNMENT = 32
_MOST_DIMENSIONS = 8


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Attributes:
        metadata: by key; of arrays only their lengths.
        shapes: of its tensors by name, in the library's order.
        types: how each of them is stored, by name: ``Q4_K``, ``F32``, …
    """

    metadata: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, str]

    @property
    def stored(self) -> str:
        """The types, that of most numbers first."""
        sizes: dict[str, int] = {}
        for name, kind in self.types.items():
            sizes[kind] = sizes.get(kind, 0) + prod(self.shapes[name])
        return ", ".join(sorted(sizes, key=lambda kind: (-sizes[kind], kind)))

    @property
    def numbers(self) -> int:
        """How many numbers its weights are."""
        return sum(prod(shape) for shape in self.shapes.values())


def is_gguf(location: str | Path) -> bool:
    """Whether a model's place is such a file, by its name; a folder is none."""
    return Path(location).suffix.lower() == SUFFIX and not Path(location).is_dir()


def check_packages(path: Path) -> None:
    """Raise InputError where the library lacks a package to read such files with."""
    lacking = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if lacking:
        raise InputError(
            f"{path}: reading a GGUF file needs the package {' and '.join(lacking)}, which is not"
            f" installed; allowed: pip install {' '.join(lacking)}, or a model folder"
        )


def read_header(path: Path) -> Header:
    """The header of a file, which is there as a whole.

    Raises:
        InputError: it is no such file, is cut short, or one of several parts; without the model's
            name.
    """
    check_packages(path)
    try:
        stat = path.stat()
        return _read(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); allowed: a GGUF file"
        ) from None


@lru_cache(maxsize=16)
def _read(path: Path, size: int, changed: int) -> Header:
    """``changed`` is part of what is kept: a file may be written anew."""
    del changed
    if size < 24:
        raise InputError(f"{path}: it has {size} bytes; allowed: a GGUF file")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            return _parsed(path, _Cursor(content))
        except (struct.error, UnicodeDecodeError, KeyError, IndexError) as error:
            raise InputError(
                f"{path}: its header cannot be read ({one_line(error)[:80]}); allowed: a whole GGUF"
                " file"
            ) from None


def _parsed(path: Path, cursor: "_Cursor") -> Header:
    if cursor.take(4) != _MAGIC:
        raise InputError(f"{path}: it does not begin with GGUF; allowed: a GGUF file")
    (version,) = cursor.numbers("I")
    if version not in _VERSIONS:
        raise InputError(
            f"{path}: found GGUF version {version}; allowed: {' and '.join(map(str, _VERSIONS))},"
            " little-endian"
        )
    tensors, keys = cursor.numbers("QQ")
    metadata = {}
    for _ in range(keys):
        key = cursor.text()
        metadata[key] = cursor.value(*cursor.numbers("I"))
    parts = metadata.get("split.count", 0)
    if isinstance(parts, int) and parts > 1:
        raise InputError(
            f"{path}: it is one of {parts} parts; allowed: a GGUF file with the whole model"
            " (llama-gguf-split --merge)"
        )
    shapes: dict[str, tuple[int, ...]] = {}
    types: dict[str, str] = {}
    ends = [0]
    for _ in range(tensors):
        name = cursor.text()
        (count,) = cursor.numbers("I")
        if count > _MOST_DIMENSIONS:
            raise KeyError(f"a tensor of {count} dimensions")
        shape = cursor.numbers(f"{count}Q")
        number, offset = cursor.numbers("IQ")
        types[name], length = _stored(path, number, prod(shape))
        shapes[name] = tuple(reversed(shape))
        ends.append(offset + length)
    if not shapes:
        raise InputError(f"{path}: it holds no weights; allowed: a GGUF file with a whole model")
    alignment = int(metadata.get("general.alignment", _ALIGNMENT)) or _ALIGNMENT
    whole = -(-cursor.place // alignment) * alignment + max(ends)
    if len(cursor.content) < whole:
        raise InputError(
            f"{path}: cut short, {len(cursor.content)} of {whole} bytes; allowed: the whole file"
        )
    return Header(metadata, shapes, types)


def _stored(path: Path, number: int, count: int) -> tuple[str, int]:
    """Name of a type, and bytes of so many numbers of it."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        kind = GGMLQuantizationType(number)
    except ValueError:
        raise InputError(
            f"{path}: its weights are of the type {number}, which the package gguf does not know;"
            f" allowed: {', '.join(kind.name for kind in GGMLQuantizationType)}"
        ) from None
    block, size = GGML_QUANT_SIZES[kind]
    return kind.name, -(-count // block) * size


class _Cursor:
    """A place in a file's bytes; reading beyond their end is a :class:`struct.error`."""

    def __init__(self, content: mmap.mmap) -> None:
        self.content = content
        self.place = 0

    def take(self, count: int) -> bytes:
        found = self.content[self.place : self.place + count]
        if len(found) < count:
            raise struct.error("it ends in the middle")
        self.place += count
        return found

    def numbers(self, form: str) -> tuple[int, ...]:
        return struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))

    def text(self) -> str:
        return self.take(*self.numbers("Q")).decode()

    def value(self, kind: int) -> Any:
        if kind in _NUMBERS:
            return self.numbers(_NUMBERS[kind])[0]
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            raise KeyError(f"a value of type {kind}")
        inner, count = self.numbers("IQ")
        if inner in _NUMBERS:
            self.take(count * struct.calcsize(_NUMBERS[inner]))
        else:
            for _ in range(count):
                self.value(inner)
        return count
