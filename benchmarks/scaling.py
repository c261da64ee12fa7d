"""Time and memory against size: ``python -m benchmarks.scaling``.

Each curve has a few points, each point a process of its own. The exponent b of time ~ size^b is
fitted to the upper half of the points, where what is paid once no longer counts. Figures are kept
as JSON and as one picture.
"""

import argparse
import json
import math
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

THREADS = 1


@dataclass(frozen=True)
class Curve:
    """One size that is varied.

    Attributes:
        what: what is timed.
        size: the name of what is varied.
        sizes: its values, rising.
        best: exponent that cannot be beaten, as far as we see.
        measure: prepares for a size and gives what is to be timed.
    """

    what: str
    size: str
    sizes: tuple[int, ...]
    best: float
    measure: Callable[[int], Callable[[], Any]]


def replicas(size: int) -> Callable[[], Any]:
    """Steps of joint tuning, stacked."""
    from benchmarks.setting import source
    from trainables.backbones import Layout
    from trainables.core.settings import SoftSettings
    from trainables.core.weight import Weight
    from trainables.soft.tuning import Replica, tune

    settings = SoftSettings(steps=2, evaluations=1, text_tokens=20)
    one = source("pocket-bert", Layout(5, text_tokens=20), rows=64, validation=8)
    stack = [Replica(seed, Weight.of(0.0)) for seed in range(size)]
    return lambda: tune([one], stack, settings, {}, "accuracy")


def planned(size: int) -> Callable[[], Any]:
    """Planning so many cells, hashing them all."""
    from benchmarks.engine import plan_of

    return lambda: plan_of(size).remaining(())


def recorded(size: int) -> Callable[[], Any]:
    """Reading a ledger of so many records."""
    from benchmarks.engine import plan_of
    from sweep.ledger.ledger import Ledger
    from sweep.testing.tabulated import tabulated_arrays, tabulated_result

    folder = tempfile.TemporaryDirectory()
    ledger, left = Ledger(Path(folder.name)), size
    for pack in plan_of(size).packs:
        for cell in pack.cells[:left]:
            result = tabulated_result(cell)
            ledger.write(cell, result, pack.id, {"seconds": 1.0}, *tabulated_arrays(cell))
            left -= 1

    def read() -> int:
        with folder:
            return len(Ledger(Path(folder.name)).done_ids())

    return read


def anchors(size: int) -> Callable[[], Any]:
    """Closed-form transfer of 20 prompts, Gram matrices of so many anchors included."""
    from trainables.transfer import transfer
    from trainables.words.relative import gram_matrices

    widths = (128, 128, 192)
    rows = [torch.nn.functional.normalize(torch.randn(size, d).double(), dim=1) for d in widths]
    prompts = [torch.randn(20, 5, d) for d in widths[:-1]]
    return lambda: transfer(prompts, gram_matrices(rows, torch.float64), [1.0, 1.0], 1.0)


def vocabulary(size: int) -> Callable[[], Any]:
    """Exact agreement of so many common words of two models."""
    from benchmarks.agreement import spaces
    from trainables.words.agreement import neighbour_agreement

    tables = spaces(size, (64, 64))
    return lambda: neighbour_agreement(tables, (64,))


def projected(size: int) -> Callable[[], Any]:
    """200 projections of 10 prompts onto so many words, as PEZ does in each step."""
    from trainables.hard.methods.projection import Projection

    projection = Projection(torch.randn(size, 128), [torch.arange(size)] * 10)
    prompts = torch.randn(10, 10, 128)
    return lambda: [projection(prompts) for _ in range(200)]


def sources(size: int) -> Callable[[], Any]:
    """The alignment loss of so many sources and its gradient, 20 replicas, 100 times."""
    from trainables.words.relative import alignment_loss, gram_matrices

    rows = [torch.nn.functional.normalize(torch.randn(2000, 128), dim=1) for _ in range(size)]
    grams = gram_matrices(rows)
    prompts = [torch.randn(20, 5, 128, requires_grad=True) for _ in range(size)]

    def run() -> None:
        for _ in range(100):
            alignment_loss(prompts, grams).sum().backward()

    return run


def tuned_sources(size: int) -> Callable[[], Any]:
    """Steps of joint tuning on so many sources, four replicas."""
    from benchmarks.setting import source
    from trainables.backbones import Layout
    from trainables.core.settings import SoftSettings
    from trainables.core.weight import Weight
    from trainables.soft.tuning import Replica, tune
    from trainables.words.relative import gram_matrices, normalised_anchors
    from trainables.words.vocabulary import common_vocabulary

    settings = SoftSettings(steps=2, evaluations=1, text_tokens=20)
    one = source("pocket-bert", Layout(5, text_tokens=20), rows=64, validation=8)
    several = [one] * size
    backbones = [each.backbone for each in several]
    grams = gram_matrices(normalised_anchors(backbones, common_vocabulary(backbones)))
    stack = [Replica(seed, Weight.of(0.5)) for seed in range(4)]
    return lambda: tune(several, stack, settings, grams, "accuracy")


CURVES = {
    "replicas": Curve("tuning, a step", "replicas", (2, 4, 8, 16, 32), 1.0, replicas),
    "plan": Curve("planning", "cells", (2000, 4000, 8000, 16000), 1.0, planned),
    "ledger": Curve("reading the ledger", "cells", (500, 1000, 2000, 4000), 1.0, recorded),
    "anchors": Curve("closed-form transfer", "anchors", (2000, 4000, 8000, 16000), 1.0, anchors),
    "agreement": Curve("agreement", "common words", (1000, 2000, 4000, 8000), 2.0, vocabulary),
    "projection": Curve("projection", "words", (2000, 4000, 8000, 16000), 1.0, projected),
    "sources": Curve("joint tuning", "sources", (1, 2, 3, 4, 6), 1.0, tuned_sources),
    "alignment": Curve("alignment loss", "sources", (2, 4, 6, 8, 12), 2.0, sources),
}


def point(name: str, size: int, rounds: int) -> dict[str, float]:
    """One point in this process: least processor seconds of some rounds, peak memory."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    run = CURVES[name].measure(size)
    before = _peak_mib()
    seconds = []
    for _ in range(rounds):
        began = time.process_time()
        run()
        seconds.append(time.process_time() - began)
    return {
        "size": size,
        "seconds": min(seconds),
        "above_start_mib": _peak_mib() - before,
        "peak_mib": _peak_mib(),
    }


def _peak_mib() -> float:
    kilo = 2**10 if sys.platform != "darwin" else 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / kilo


def exponent(points: Sequence[dict[str, float]], key: str = "seconds") -> float:
    """Slope of a straight line through the upper half of the points (at least 3), log by log."""
    upper = points[-max(3, (len(points) + 1) // 2) :]
    x = np.log([each["size"] for each in upper])
    y = np.log([max(each[key], 1e-9) for each in upper])
    return float(np.polyfit(x, y, 1)[0])


def measure(names: Sequence[str], rounds: int = 2, points: int | None = None) -> dict[str, Any]:
    """Curves by name, each point in a fresh process.

    Args:
        names: of :data:`CURVES`.
        rounds: runs a point.
        points: only the first so many sizes.
    """
    found = {}
    for name in names:
        curve = CURVES[name]
        measured = []
        for size in curve.sizes[:points]:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                once = 1 if name == "ledger" else rounds  # its folder is gone after a reading
                measured.append(pool.apply(point, (name, size, once)))
        found[name] = {
            "what": curve.what,
            "size": curve.size,
            "exponent": exponent(measured),
            "best": curve.best,
            "points": measured,
        }
    return found


def draw(found: dict[str, Any], file: Path) -> None:
    """All curves, log by log, with the straight line of the best exponent."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "promptsweep"
    import matplotlib.pyplot as plt

    columns = 4
    rows = math.ceil(len(found) / columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3.2 * columns, 2.8 * rows), squeeze=False)
    for axis in axes.flat[len(found) :]:
        axis.set_visible(False)
    for axis, curve in zip(axes.flat, found.values(), strict=False):
        sizes = [each["size"] for each in curve["points"]]
        seconds = [each["seconds"] for each in curve["points"]]
        line = [seconds[-1] * (size / sizes[-1]) ** curve["best"] for size in sizes]
        axis.loglog(sizes, line, color="0.7", linewidth=1)
        axis.loglog(sizes, seconds, "o-", color="#0b6", markersize=4)
        axis.set_title(f"{curve['what']}: exponent {curve['exponent']:.2f}", fontsize=9)
        axis.set_xlabel(curve["size"], fontsize=8)
        axis.set_ylabel("processor seconds", fontsize=8)
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize=7)
        axis.minorticks_off()
        axis.tick_params(labelsize=7)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=CURVES, default=list(CURVES))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/scaling.json"))
    parser.add_argument("--figure", type=Path, default=Path("benchmarks/results/scaling.svg"))
    options = parser.parse_args()
    found = measure(options.only, options.rounds)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    draw(found, options.figure)
    for curve in found.values():
        last = curve["points"][-1]
        print(
            f"{curve['what']} against {curve['size']}: time grows as size^{curve['exponent']:.2f}"
            f" (best {curve['best']:g}); {last['size']:,}: {last['seconds']:.2f} s,"
            f" {last['above_start_mib']:.0f} MiB"
        )


if __name__ == "__main__":
    main()
