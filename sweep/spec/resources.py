"""What one pack takes of a machine, and its precision: as the spec says, or by what there is."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.spec.spec import Resources, SweepSpec
from trainables.core.precision import BFLOAT16, FLOAT32, PRECISIONS, native_bfloat16
from trainables.errors import InputError

AUTO = "auto"
Node = Mapping[str, float]
"""What a node has, in Ray's names: ``CPU``, ``GPU``, ``accelerator_type:…``."""


@dataclass(frozen=True)
class Share:
    """What one pack takes.

    Attributes:
        cpu: cores.
        gpu: GPUs or a part of one.
        accelerator: type of GPU; None for any.
        replicas: prompts in a stack; None for as many as fit.
        graphs: whether passes are recorded and replayed on a GPU.
        reason: why so, where the spec leaves it to the program.
    """

    cpu: float
    gpu: float
    accelerator: str | None = None
    replicas: int | None = None
    graphs: bool = True
    reason: str | None = None


def settle(resources: Resources, nodes: Sequence[Node]) -> Share:
    """What one pack takes here.

    ``gpu: auto`` is a whole GPU if there is one: one stack of prompts fills it better than several
    packs. ``cpu: auto`` is the GPU's share of its node's cores, and one core without a GPU, where
    several packs use cores better than threads.

    Raises:
        InputError: something is ``auto`` and no node that trains is up.
    """
    asked = [name for name in ("cpu", "gpu") if getattr(resources, name) is None]
    rest: dict[str, Any] = {
        "accelerator": resources.accelerator,
        "replicas": resources.replicas,
        "graphs": resources.graphs,
    }
    if not asked:
        return Share(resources.cpu or 0.0, resources.gpu or 0.0, **rest)
    able = [node for node in nodes if node.get("CPU", 0) > 0 or node.get("GPU", 0) > 0]
    if not able:
        raise InputError(
            f"resources.{asked[0]}: found auto, but no node that trains is up yet; allowed: a"
            " number, which tells the cluster what to start"
        )
    cards = [node for node in able if node.get("GPU", 0) > 0]
    gpu = (1.0 if cards else 0.0) if resources.gpu is None else resources.gpu
    cpu = resources.cpu
    if cpu is None:
        cpu = min(node.get("CPU", 0) // node["GPU"] for node in cards) if gpu and cards else 1.0
        cpu = max(1.0, cpu)
    return Share(cpu, gpu, **rest, reason=_reason(cpu, gpu, able))


def gpus_here() -> int:
    """GPUs of this machine that may be used, counted without loading their driver."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is not None:
        return len([name for name in shown.split(",") if name.strip() not in ("", "-1")])
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))


def settled(asked: str, resources: Resources) -> str:
    """The precision that a spec asks for.

    ``auto`` is bfloat16 if packs take a GPU or this machine's processor has it, else float32. The
    machine that starts the sweep decides.
    """
    if asked != AUTO:
        return asked
    here = {"CPU": float(os.cpu_count() or 1), "GPU": float(gpus_here())}
    return BFLOAT16 if settle(resources, [here]).gpu or native_bfloat16() else FLOAT32


def check_known_here(spec: SweepSpec) -> None:
    """See that a spec leaves nothing to this machine that a cluster's other nodes decide.

    Raises:
        InputError: the precision would follow this machine's hardware, and enter every hash.
    """
    if spec.precision == AUTO and not spec.resources.gpu:
        raise InputError(
            "precision: found auto on a cluster, whose workers this machine does not know; allowed:"
            f" {', '.join(PRECISIONS)}, or auto beside a number of GPUs (resources.gpu)"
        )


def _reason(cpu: float, gpu: float, nodes: Sequence[Node]) -> str:
    cores, cards = (int(sum(node.get(key, 0) for node in nodes)) for key in ("CPU", "GPU"))
    found = f"{_count(cards, 'GPU')} and {_count(cores, 'core')} on {_count(len(nodes), 'node')}"
    takes = f"{_count(gpu, 'GPU')} and {_count(cpu, 'core')}" if gpu else _count(cpu, "core")
    why = (
        "a pack's prompts train as one stack, which fills a card"
        if gpu
        else "packs side by side use cores better than threads of one pack"
    )
    return f"resources auto: {found}, so a pack takes {takes} ({why})"


def _count(number: float, name: str) -> str:
    return f"{number:g} {name}{'' if number == 1 else 's'}" if number else f"no {name}"
