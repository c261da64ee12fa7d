"""Wall time and memory of the quickstart sweep: ``python -m benchmarks.quickstart``.

Runs the preset in a folder of its own, as a user would, and adds up the resident memory of the
driver and all its children (Ray's processes and workers among them) every two seconds. Shared pages
count in every process that maps them, so that the peak printed is an upper bound.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

LIMIT_MINUTES = 5
LIMIT_GIB = 4


def resident(process: psutil.Process) -> tuple[int, int]:
    """(resident, proportional) bytes of a process and everything below it."""
    total = proportional = 0
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0, 0
    for member in family:
        try:
            total += member.memory_info().rss
            proportional += member.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied, AttributeError):
            continue
    return total, proportional


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="quickstart")
    parser.add_argument("--out", type=Path, help="keep the sweep here")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/quickstart.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        out = options.out or Path(scratch) / "out"
        began = time.monotonic()
        command = [sys.executable, "-m", "sweep.cli", "run", options.preset, "--out", str(out)]
        running = subprocess.Popen(command, env=os.environ | {"PYTHONUNBUFFERED": "1"})
        watched = psutil.Process(running.pid)
        peak = peak_proportional = 0
        while running.poll() is None:
            total, proportional = resident(watched)
            peak, peak_proportional = max(peak, total), max(peak_proportional, proportional)
            time.sleep(2.0)
        seconds = time.monotonic() - began
        cells = sum(1 for _ in (out / "ledger").glob("??/*.json"))
    if running.returncode:
        sys.exit(running.returncode)
    record = {
        "preset": options.preset,
        "cells": cells,
        "seconds": round(seconds, 1),
        "peak_resident_gib": round(peak / 2**30, 2),
        "peak_proportional_gib": round(peak_proportional / 2**30, 2),
        "processors": os.cpu_count(),
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"{cells} cells in {seconds / 60:.1f} min (limit {LIMIT_MINUTES})")
    print(
        f"peak memory {peak_proportional / 2**30:.2f} GiB, shared pages counted once;"
        f" {peak / 2**30:.2f} GiB counted in every process (limit {LIMIT_GIB})"
    )


if __name__ == "__main__":
    main()
