"""The width of prompt vectors by model, as the prompts of a sweep's folder have it."""

import os
from pathlib import Path
from typing import Any

import pandas as pd

from trainables.packs.records import OPEN, PROMPT, check_regular, parsed

_LONGEST = 1 << 20
_TRIES = 5


def widths_of(folder: Path | None, rows: pd.DataFrame) -> dict[str, int]:
    """Width d by model, from the header of one of its prompts' files.

    Files that are missing or damaged count as none; a model without any is left out.

    Args:
        folder: the sweep's; None where there is none.
        rows: results with the columns target and cell.
    """
    found: dict[str, int] = {}
    if folder is None:
        return found
    for target, part in rows.groupby("target", sort=True):
        for cell in part["cell"].astype(str).head(_TRIES):
            width = _width(folder / "prompts" / cell[:2] / f"{cell}.safetensors")
            if width:
                found[str(target)] = width
                break
    return found


def _width(path: Path) -> int | None:
    """D of a prompt [m, d]; None where the file holds none."""
    try:
        file = os.open(path, OPEN)
        try:
            check_regular(file, 1 << 30)
            size = int.from_bytes(os.read(file, 8), "little")
            header: Any = parsed(os.read(file, size)) if 0 < size <= _LONGEST else {}
        finally:
            os.close(file)
        shape = header[PROMPT]["shape"]
        return int(shape[1]) if len(shape) == 2 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
