"""The tabulated method, with a note of which node ran which pack, and what it found there."""

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sweep.testing.tabulated import FAULTS, run_tabulated
from trainables.core.cells import Pack, PackOutcome
from trainables.files.atomic import replace_file
from trainables.models.names import folder_digest
from trainables.tasks import load_task

EXECUTOR = f"{__name__}:run_noted"
SHIPPED = f"{__name__}:run_shipped"
_PATIENCE = 200.0
_PACE, _NOTES = "pace.json", "nodes.log"


def set_pace(folder: Path, nodes: int, seconds: float = 0.0) -> None:
    """Say how long a pack takes, and until how many nodes have begun one all packs wait."""
    replace_file(folder / _PACE, json.dumps([nodes, seconds]).encode())


def forget(folder: Path) -> None:
    """Nothing was noted in the folder for faults."""
    (folder / _NOTES).unlink(missing_ok=True)


def run_noted(
    pack: Pack,
    prompts: Mapping[str, np.ndarray],
    device: str = "cpu",
    progress: Callable[[str, int, int], None] | None = None,
    **more: Any,
) -> PackOutcome:
    """As :func:`run_tabulated`; one line in ``nodes.log`` of the folder for faults.

    Raises:
        RuntimeError: there are never as many nodes as asked for.
    """
    import ray

    folder = Path(os.environ[FAULTS])
    places = [*(model.location for model in pack.models.values()), pack.task.file]
    note = {
        "pack": pack.id,
        "node": ray.get_runtime_context().get_node_id(),
        "device": device,
        "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "cache": os.environ.get("PROMPTSWEEP_CACHE"),
        "places": [*places, *(place for place in pack.files.values() if Path(place).exists())],
    }
    with (folder / _NOTES).open("a", encoding="utf-8") as log:
        log.write(f"{json.dumps(note)}\n")
    nodes, seconds = json.loads((folder / _PACE).read_text())
    deadline = time.monotonic() + _PATIENCE
    while len(packs_by_node(folder)) < nodes:
        if time.monotonic() > deadline:
            raise RuntimeError("too few nodes took packs")
        time.sleep(0.05)
    time.sleep(seconds)
    return run_tabulated(pack, prompts, device, progress, **more)


def run_shipped(pack: Pack, prompts: Mapping[str, np.ndarray], **more: Any) -> PackOutcome:
    """As :func:`run_noted`, once everything has been found to be what was planned.

    Raises:
        RuntimeError: a model folder is another one.
    """
    for model in pack.models.values():
        if folder_digest(Path(model.location)) != model.digest:
            raise RuntimeError(f"{model.location} is not {model.alias}")
    load_task(pack.task).rows("test")
    return run_noted(pack, prompts, **more)


def notes(folder: Path) -> list[dict[str, Any]]:
    """What was noted in the folder for faults, in order."""
    log = folder / _NOTES
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def packs_by_node(folder: Path) -> Counter[str]:
    """How many packs each node began."""
    return Counter(note["node"] for note in notes(folder))
