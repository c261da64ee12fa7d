"""``python -m benchmarks.gpu``: one JSON line a check, as soon as it is known.

A line has ``ok``: true, false, or null where nothing is judged. The exit code is 1 if any is false.
"""

import argparse
import json
import time
import traceback
from collections.abc import Generator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.bench import Bench, Check, Line
from benchmarks.gpu.card import environment, name_of, rates
from benchmarks.gpu.gradients import gradients
from benchmarks.gpu.graphs import new_shapes, recorded
from benchmarks.gpu.packs import parity, shortage
from benchmarks.gpu.projection import projection
from benchmarks.gpu.speed import reading, speed, tuning

CHECKS: dict[str, tuple[Check, float]] = {
    "environment": (environment, 0.0),
    "rates": (rates, 5.0),
    "recording": (recorded, 15.0),
    "parity": (parity, 15.0),
    "memory": (shortage, 15.0),
    "new_shapes": (new_shapes, 10.0),
    "gradients": (gradients, 15.0),
    "reading": (reading, 15.0),
    "tuning": (tuning, 30.0),
    "speed": (speed, 20.0),
    "projection": (projection, 0.0),
}
"""In the order in which they are done. Each begins, and goes on after a line, where more than so
many seconds of the budget are left."""


class Told:
    """The lines so far: printed, and written to a file after each.

    Attributes:
        good: whether none said that something is wrong.
    """

    def __init__(self, bench: Bench, file: Path | None) -> None:
        """Tell nothing yet."""
        self._bench, self._file, self._began = bench, file, time.perf_counter()
        self._lines: list[dict[str, Any]] = []
        self.good = True

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.perf_counter() - self._began

    def add(self, line: Line) -> None:
        """Tell one more."""
        self.good = self.good and line.ok is not False
        place = {"check": line.check, "ok": line.ok, "at": self.seconds}
        self._lines.append(shortened(place | line.found))
        print(json.dumps(self._lines[-1]), flush=True)
        if self._file:
            record = {
                "device": name_of(self._bench.device),
                "scale": self._bench.scale,
                "lines": self._lines,
                "costs": {name: asdict(cost) for name, cost in self._bench.costs.items()},
            }
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def shortened(value: Any) -> Any:
    """Numbers of four digits, in whatever holds them; no number that JSON lacks."""
    if isinstance(value, dict):
        return {key: shortened(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [shortened(item) for item in value]
    if isinstance(value, float):
        if value != value or abs(value) == float("inf"):
            return str(value)
        return round(value) if abs(value) >= 1e4 else float(f"{value:.4g}")
    return value


def guarded(bench: Bench, name: str, check: Check) -> Generator[Line, None, None]:
    """A check's lines; that it raised is one more."""
    try:
        yield from check(bench)
    except Exception as error:
        trace = traceback.format_exc().strip().splitlines()[-6:]
        yield Line(name, False, {"error": f"{type(error).__name__}: {error}"[:600], "trace": trace})


def run(bench: Bench, told: Told, names: Sequence[str], budget: float) -> None:
    """Do some checks within so many seconds."""
    for name in names:
        check, needs = CHECKS[name]
        lines = guarded(bench, name, check)
        # Nothing begins after the budget, be it a check or what comes after one of its lines.
        while (left := budget - told.seconds) > needs:
            line = next(lines, None)
            if line is None:
                break
            told.add(line)
        else:
            told.add(Line(name, None, {"skipped": f"{max(0.0, left):.0f} s of the budget left"}))
        lines.close()
        bench.free()


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small models: tries the code only")
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=list(CHECKS), metavar="NAME")
    parser.add_argument(
        "--budget", type=float, default=900.0, help="seconds; no check begins later"
    )
    parser.add_argument("--json", type=Path, help="a file that has all lines, written after each")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parsed(arguments)
    if torch.device(options.device).type == "cuda" and not torch.cuda.is_available():
        error = f"torch {torch.__version__} finds no card"
        print(json.dumps({"check": "environment", "ok": False, "error": error}))
        return 1
    bench = Bench(options.device, options.tiny)
    told = Told(bench, options.json)
    names = dict.fromkeys(["environment", *options.only])
    run(bench, told, [name for name in CHECKS if name in names], options.budget)
    return 0 if told.good else 1


if __name__ == "__main__":
    raise SystemExit(main())
