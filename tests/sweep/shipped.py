"""The tabulated method, with a note of where models, task and prompt files were."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sweep.testing.tabulated import FAULTS, run_tabulated
from trainables.cells import Pack, PackOutcome
from trainables.models import folder_digest
from trainables.tasks import load_task

EXECUTOR = f"{__name__}:run_shipped"
_PLACES = "places.log"


def run_shipped(
    pack: Pack,
    prompts: Mapping[str, np.ndarray],
    device: str = "cpu",
    progress: Callable[[str, int, int], None] | None = None,
    **more: Any,
) -> PackOutcome:
    """As :func:`run_tabulated`, once everything has been found to be what was planned.

    Raises:
        RuntimeError: a model folder is another one.
    """
    for model in pack.models.values():
        if folder_digest(Path(model.location)) != model.digest:
            raise RuntimeError(f"{model.location} is not {model.alias}")
    load_task(pack.task).rows("test")
    places = [*(model.location for model in pack.models.values()), pack.task.file]
    note = {"cache": os.environ.get("PROMPTSWEEP_CACHE"), "places": places}
    note["places"] += [place for place in pack.files.values() if Path(place).exists()]
    with (Path(os.environ[FAULTS]) / _PLACES).open("a", encoding="utf-8") as log:
        log.write(f"{json.dumps(note)}\n")
    return run_tabulated(pack, prompts, device, progress, **more)


def places(folder: Path) -> list[dict[str, list[str]]]:
    """What was noted: the node's cache folder, and places of files."""
    return [json.loads(line) for line in (folder / _PLACES).read_text().splitlines()]
