"""What the machine is, and how fast it is at the two things that bound everything here."""

import os
import platform
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

SIDE = 1024
"""Side of the matrices that are multiplied."""
MIB = 128
"""Size of the tensor that is copied: far more than a processor's cache."""


@dataclass(frozen=True)
class Rates:
    """Measured, float32.

    Attributes:
        flops: of a matrix product, a second.
        bytes: read and written by a copy, a second.
        threads: with so many threads.
    """

    flops: float
    bytes: float
    threads: int

    def record(self) -> dict[str, float]:
        """For JSON."""
        return {
            "threads": self.threads,
            "matrix_gflops": self.flops / 1e9,
            "memory_gb_per_second": self.bytes / 1e9,
        }


@dataclass(frozen=True)
class Floor:
    """The least that a piece of work needs, whoever does it: operations and bytes moved."""

    flops: float = 0.0
    bytes: float = 0.0

    def seconds(self, rates: Rates) -> float:
        """The time the slower of the two takes at the machine's own rate."""
        return max(self.flops / rates.flops, self.bytes / rates.bytes)


@cache
def rates(threads: int, rounds: int = 15) -> Rates:
    """The best of some rounds, with so many threads (which stay set)."""
    torch.set_num_threads(threads)
    left, right = torch.randn(2, SIDE, SIDE)
    product = torch.empty(SIDE, SIDE)
    source, copied = torch.ones(2, MIB * 2**18)
    multiply = min(_seconds(lambda: torch.mm(left, right, out=product)) for _ in range(rounds))
    copy = min(_seconds(lambda: copied.copy_(source)) for _ in range(rounds))
    return Rates(2 * SIDE**3 / multiply, 2 * source.nbytes / copy, threads)


def _seconds(run: Any) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def describe() -> dict[str, Any]:
    """Processor, number of cores, memory and versions."""
    import peft
    import ray
    import transformers

    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
        "ray": ray.__version__,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
