"""The width of prompt vectors by panel, as the prompts of a sweep's folder have it."""

from pathlib import Path

import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load

from trainables.packs.records import PROMPT, read_bytes

_LARGEST = 1 << 30
"""Bytes of a prompt's file at most."""
_TRIES = 5


def widths_of(folder: Path | None, rows: pd.DataFrame) -> dict[str, int]:
    """Width by panel, from one of its prompts' files: d, of keys and values of layers D.

    Files that are missing or damaged count as none; a panel without any is left out.

    Args:
        folder: the sweep's; None where there is none.
        rows: results with the columns panel and cell.
    """
    found: dict[str, int] = {}
    if folder is None:
        return found
    for panel, part in rows.groupby("panel", sort=True):
        for cell in part["cell"].astype(str).head(_TRIES):
            width = _width(folder / "prompts" / cell[:2] / f"{cell}.safetensors")
            if width:
                found[str(panel)] = width
                break
    return found


def _width(path: Path) -> int | None:
    """D of a prompt [m, d]; None where the file holds none."""
    try:
        shape = load(read_bytes(str(path), _LARGEST))[PROMPT].shape
    except (OSError, ValueError, KeyError, SafetensorError):
        return None
    return int(shape[1]) if len(shape) == 2 else None
