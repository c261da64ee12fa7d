"""Files that are there completely or not at all."""

import os
from pathlib import Path

TEMPORARY = ".tmp"


def replace_file(
    path: Path, content: bytes, durable: bool = True, scratch: Path | None = None
) -> None:
    """Write ``content`` to ``path`` at once and durably: other readers see the old or the new file.

    Args:
        durable: wait until it is on the disk. Without, a power cut may leave anything in it.
        scratch: a folder on the same disk to write it in first; by default the file's own.

    Raises:
        OSError: the disk is full or the folder cannot be written; ``path`` is as before then.
    """
    folder = scratch or path.parent
    for place in {folder, path.parent}:
        place.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{path.name}.{os.getpid()}{TEMPORARY}"
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
