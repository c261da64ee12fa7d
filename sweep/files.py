"""Files that are there completely or not at all."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SEAL = b',"digest":"'
_SEAL_LENGTH = len(_SEAL) + 64 + len(b'"}')
TEMPORARY = ".tmp"
_AT_ONCE = 1 << 16


def replace_file(path: Path, content: bytes, durable: bool = True) -> None:
    """Write ``content`` to ``path`` at once and durably: other readers see the old or the new file.

    Args:
        path: the file.
        content: all it shall hold.
        durable: wait until it is on the disk. Without, a power cut may leave anything in it.

    Raises:
        OSError: the disk is full or the folder cannot be written; ``path`` is as before then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_bytes(path: str) -> bytes:
    """What a small file holds; a third of the time that ``Path.read_bytes`` takes.

    A ledger is tens of thousands of files of a few kilobytes, all of which are read at each start.

    Raises:
        OSError: there is none, or it cannot be read.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = os.read(file, _AT_ONCE)
        if len(content) < _AT_ONCE:
            return content
        parts = [content]
        while part := os.read(file, _AT_ONCE):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(file)


def canonical(value: Any) -> bytes:
    """The one JSON text of ``value``: keys sorted, no spaces.

    Raises:
        ValueError: ``value`` holds NaN or an infinity.
        TypeError: ``value`` holds something JSON cannot.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode()


def seal(record: Mapping[str, Any]) -> bytes:
    """JSON of ``record`` with a last key ``digest``, the SHA-256 of the canonical rest.

    ``record`` has at least one key.
    """
    text = canonical(record)
    digest = hashlib.sha256(text).hexdigest().encode()
    return text[:-1] + _SEAL + digest + b'"}'


def unseal(content: bytes) -> dict[str, Any]:
    """Inverse of :func:`seal`, without the digest.

    Raises:
        ValueError: ``content`` is not what was sealed.
    """
    body, tail = content[:-_SEAL_LENGTH] + b"}", content[-_SEAL_LENGTH:]
    # As written, the digest is checked on the bytes: no second JSON text is made.
    if tail.startswith(_SEAL) and tail[len(_SEAL) : -2].decode(errors="replace") == _sha(body):
        found = json.loads(body)
    else:
        found = json.loads(content)
        if not isinstance(found, dict) or found.pop("digest", None) != _sha(canonical(found)):
            raise ValueError("its digest does not fit its content")
    if not isinstance(found, dict):
        raise ValueError("it is no mapping")
    return found


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
