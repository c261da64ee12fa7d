"""Text files of the user's: whatever a file can be, it is read or refused in one sentence."""

import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trainables.errors import InputError

MOST_BYTES = 64 << 20
"""Largest file that is read as a whole; no spec or task file comes near."""
_LONGEST = 400


def check_regular(path: Path) -> None:
    """See that reading ``path`` comes to an end: no named pipe, device or socket.

    Raises:
        OSError: it is none that can be read; a folder is left to the reader to refuse.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(None, "it is no regular file", str(path))


def reason_of(error: Exception) -> str:
    """Why a file cannot be read, in one line, without the file's name."""
    reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
    return one_line(reason)


def one_line(value: object) -> str:
    """The text of ``value`` in one line that every terminal and file takes."""
    text = " ".join(str(value).split())
    return text if text.isprintable() else "".join(map(_printed, text))


def named(values: Iterable[object]) -> str:
    """A list of the user's own names for a sentence, cut where it is endless."""
    text = one_line(", ".join(map(str, values)))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _printed(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]


def read_text(path: Path, where: str) -> str:
    """The text of a file, without a byte order mark; every end of a line is one character.

    Raises:
        InputError: it cannot be read, is no regular file, is too large or is no UTF-8.
    """
    try:
        check_regular(path)
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MOST_BYTES:
                raise InputError(
                    f"{where}: found a file of {size:,} bytes; allowed: {MOST_BYTES:,} at most"
                )
            content = file.read()
    except (OSError, ValueError) as error:
        raise InputError(f"{where}: cannot be read ({reason_of(error)})") from None
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{where}: line {line} is not UTF-8 text ({error.reason})") from None


def check_characters(text: str, where: str) -> None:
    """See that ``text`` can be written and read.

    Raises:
        InputError: half of a surrogate pair is in it, which no file and no tokenizer takes.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = ord(text[error.start])
        raise InputError(
            f"{where}: found the lone surrogate \\u{half:04x}, half a character; allowed: both"
            " halves, or the character itself"
        ) from None


def load_json(text: str | bytes) -> Any:
    """What a JSON text holds.

    Raises:
        ValueError: it is no valid JSON; its text is one line.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(error.msg) from None
    except RecursionError:
        raise ValueError("values are nested too deep") from None
