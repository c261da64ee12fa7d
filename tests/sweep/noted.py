"""The tabulated method, with a note of which node ran which pack."""

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sweep.testing.tabulated import FAULTS, run_tabulated
from trainables.cells import Pack, PackOutcome

EXECUTOR = f"{__name__}:run_noted"
NODES = "PROMPTSWEEP_NOTED_NODES"
"""Environment variable: packs wait until so many nodes have begun one (default 1)."""
_PATIENCE = 200.0


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

    note = {
        "pack": pack.id,
        "node": ray.get_runtime_context().get_node_id(),
        "device": device,
        "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }
    with (folder / "nodes.log").open("a", encoding="utf-8") as log:
        log.write(f"{json.dumps(note)}\n")
    deadline = time.monotonic() + _PATIENCE
    while len(packs_by_node(folder)) < int(os.environ.get(NODES, "1")):
        if time.monotonic() > deadline:
            raise RuntimeError("too few nodes took packs")
        time.sleep(0.05)
    return run_tabulated(pack, prompts, device, progress, **more)


def notes(folder: Path) -> list[dict[str, str]]:
    """What was noted in the folder for faults, in order."""
    log = folder / "nodes.log"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def packs_by_node(folder: Path) -> Counter[str]:
    """How many packs each node began."""
    return Counter(note["node"] for note in notes(folder))
