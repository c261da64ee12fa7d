"""The gradient at prompts, on models of the paper's sizes and of every family."""

from collections.abc import Iterator

import torch

from benchmarks.gpu.bench import BATCH, Bench, Line, Stack, Way, gap
from benchmarks.gpu.models import MODELS, source_of
from trainables.soft.source import Source

LENGTHS = (9, 24, 17, 30, 12, 40, 21, 33)
MOST = {
    "float32_against_cpu": 1e-3,
    "graphs_against_none": 1e-3,
    "bfloat16_against_float32": 0.1,
    "bfloat16_graphs_against_none": 0.05,
    "dropout_twice": 1e-3,
    "dropout_graphs_against_none": 1e-3,
}
"""Relative differences that rounding explains, by what is compared."""


def gradient(source: Source, dropout: bool = False, graphs: bool = False) -> torch.Tensor:
    """At two prompts, for the same rows."""
    stack = Stack(source, 1, Way(2, dropout, graphs))
    rows = torch.arange(BATCH).remainder(len(LENGTHS)).repeat(2)
    # Recorded at first, replayed then.
    return [stack.step(1, rows) for _ in range(1 + graphs)][-1].cpu()


def compared(bench: Bench, name: str) -> dict[str, float]:
    """All of :data:`MOST`."""
    on_cpu, exact, low = (
        source_of(bench.build(name, precision, device), torch.tensor(LENGTHS))
        for precision, device in (
            ("float32", "cpu"),
            ("float32", bench.device),
            ("bfloat16", bench.device),
        )
    )
    plain, rounded, dropped = gradient(exact), gradient(low), gradient(exact, dropout=True)
    pairs = {
        "float32_against_cpu": (plain, gradient(on_cpu)),
        "graphs_against_none": (gradient(exact, graphs=True), plain),
        "bfloat16_against_float32": (rounded, plain),
        "bfloat16_graphs_against_none": (gradient(low, graphs=True), rounded),
        "dropout_twice": (gradient(exact, dropout=True), dropped),
        "dropout_graphs_against_none": (gradient(exact, dropout=True, graphs=True), dropped),
    }
    return {what: gap(*pair) for what, pair in pairs.items()}


def gradients(bench: Bench) -> Iterator[Line]:
    """Every model, the largest last."""
    for name in MODELS:
        found = compared(bench, name)
        good = all(value < MOST[what] for what, value in found.items())
        yield Line(f"gradients {name}", good, dict(found))
        bench.free()
