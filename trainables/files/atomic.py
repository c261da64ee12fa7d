"""Files that are there completely or not at all."""

import os
from pathlib import Path

TEMPORARY = ".tmp"


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
