"""Which data files there are, and which of them is what."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainables.errors import InputError, show
from trainables.files.text_files import named, reason_of
from trainables.tasks.sources import READERS, format_of
from trainables.tasks.splits import SPLITS

WHOLE = "all"
"""Name of the one file that holds everything."""
HELD_OUT = 0.2
"""Share of the rows for each of validation and test where there is no file for it."""

_ROLES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}


def find_files(place: Path) -> dict[str, Path]:
    """Data files by what they are for.

    Args:
        place: a file, or a folder with one or with ``train``, ``validation`` (also ``valid``,
            ``val``, ``dev``) and ``test``.

    Returns:
        One file as :data:`WHOLE`, or ``train`` and what there is beside it.

    Raises:
        InputError: no such file, another format, or a folder in which the files are not clear.
    """
    kinds = ", ".join(READERS)
    try:
        files = sorted(item for item in place.iterdir()) if place.is_dir() else None
        there = place.exists()
    except OSError as error:
        raise InputError(f"--data: {place} cannot be read ({reason_of(error)})") from None
    if not there:
        raise InputError(
            f"--data: found no {place}; allowed: a file that ends in {kinds}, or a folder of them"
        )
    if files is None:
        if format_of(place) not in READERS:
            raise InputError(
                f"--data: found {show(str(place))}; allowed: files that end in {kinds}"
            )
        return {WHOLE: place}
    return _roles(place, [item for item in files if item.is_file() and format_of(item) in READERS])


def _roles(place: Path, files: list[Path]) -> dict[str, Path]:
    if len(files) == 1:
        return {WHOLE: files[0]}
    found: dict[str, Path] = {}
    for file in files:
        role = _ROLES.get(file.stem.lower())
        if role in found:
            raise InputError(
                f"--data: found {found[role].name} and {file.name} in {place}, both of them"
                f" {role} files; allowed: one"
            )
        if role:
            found[role] = file
    if "train" not in found:
        names = named(file.name for file in files) or "no data file"
        raise InputError(
            f"--data: found {names} in {place}; allowed: one file that ends in"
            f" {', '.join(READERS)}, or train, validation and test files"
        )
    return {role: found[role] for role in SPLITS if role in found}


def split_section(files: Mapping[str, Path]) -> dict[str, Any]:
    """The section ``splits`` of the task file: what has no file is held out from the first one."""
    origin = next(iter(files))
    return {
        role: role
        if role in files
        else origin
        if role == "train"
        else {"from": origin, "share": HELD_OUT, "seed": 0}
        for role in SPLITS
    }
