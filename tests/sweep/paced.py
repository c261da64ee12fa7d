"""The tabulated method at a pace that a test sets, and no further than the test lets it."""

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sweep.testing.tabulated import run_tabulated
from trainables.core.cells import Pack, PackOutcome
from trainables.files.atomic import replace_file

EXECUTOR = f"{__name__}:run_paced"
PACE = "PROMPTSWEEP_PACE"
"""Environment variable: the file that :func:`set_pace` writes."""


def set_pace(file: Path, folder: Path, seconds: float = 0.0, most: float = float("inf")) -> None:
    """Say how long a pack takes, and at how many records in ``folder`` all packs wait."""
    replace_file(file, json.dumps([str(folder), seconds, most]).encode())


def records_in(folder: Path) -> int:
    """How many records there are."""
    return len(list(folder.glob("ledger/??/*.json")))


def is_held(file: Path, process: int) -> bool:
    """Whether a process waits in the middle of a pack, as there are as many records as may be."""
    return _mark(file, process).exists()


def _mark(file: Path, process: int) -> Path:
    return file.with_suffix(f".{process}")


def run_paced(
    pack: Pack,
    prompts: Mapping[str, np.ndarray],
    device: str = "cpu",
    progress: Callable[[str, int, int], None] | None = None,
    **more: Any,
) -> PackOutcome:
    """As :func:`run_tabulated`, once the pace allows it."""
    file = Path(os.environ[PACE])
    while True:
        folder, seconds, most = json.loads(file.read_text())
        time.sleep(seconds)
        if records_in(Path(folder)) < most:
            _mark(file, os.getpid()).unlink(missing_ok=True)
            return run_tabulated(pack, prompts, device, progress, **more)
        _mark(file, os.getpid()).touch()
        time.sleep(0.05)
