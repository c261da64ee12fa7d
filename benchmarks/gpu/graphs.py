"""Recorded passes: that all of them are, what a refused one leaves behind, what new shapes cost."""

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch

from benchmarks.gpu.bench import BATCH, Bench, Line, Stack, Way, recording, sentences
from benchmarks.gpu.models import source_of
from trainables.compute.replay import CudaGraphs

NOTHING = {"note": "nothing is recorded on a CPU"}


def recorded(bench: Bench) -> Iterator[Line]:
    """Stacks one after another in one process, as packs are; then a capture that must fail."""
    stacks, seconds = [], []
    for _ in range(3):
        source = source_of(bench.model("BERT-base"), sentences(bench, 400))
        with recording() as seen:
            stack = Stack(source, bench.few(10, 1), Way(1, False, True))
            seconds.append(bench.clocked(partial(stack.steps, range(bench.few(6, 1)))))
        stacks.append(vars(seen))
        del stack
        bench.free()
    good = all(each["recorded"] and not each["refused"] for each in stacks)
    told = {"stacks": stacks, "seconds": seconds} | ({} if bench.cuda else NOTHING)
    yield Line("recording", good if bench.cuda else None, told)
    yield _refused(bench) if bench.cuda else Line("recording refused", None, NOTHING)


def _asks(values: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Draws numbers, then waits for one of them: no capture allows that."""
    return (values * torch.rand_like(values).sum().item(),)


def _refused(bench: Bench) -> Line:
    """After a capture that fails, the process goes on as if nothing had been."""
    record = CudaGraphs()
    values = torch.ones(8, device=bench.device)
    with recording() as refused:
        again = record(_asks, [values])
    usable = bool(torch.isfinite(again()[0]).all() and torch.isfinite(_random(bench)).all())
    apart = torch.cuda.current_stream() != torch.cuda.default_stream()
    with recording() as next_one:
        replay = record(lambda item: (2 * item,), [values])
    values.fill_(3.0)
    right = bool((replay()[0] == 6.0).all())
    told = {
        "refused": vars(refused),
        "random_numbers_afterwards": usable,
        "default_stream_afterwards": not apart,
        "next_one": vars(next_one),
        "replayed_right": right,
    }
    once = refused.refused == 1 and next_one.recorded == 1
    return Line("recording refused", once and usable and right and not apart, told)


def _random(bench: Bench) -> torch.Tensor:
    return torch.randn(1000, device=bench.device)


@contextmanager
def _cudnn(bench: Bench, on: bool) -> Iterator[None]:
    """Attention by cuDNN, allowed or not."""
    if not bench.cuda:
        yield
        return
    before: bool = torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]
    torch.backends.cuda.enable_cudnn_sdp(on)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


def new_shapes(bench: Bench) -> Iterator[Line]:
    """A pass of so many rows as never before, then the same again; not recorded."""
    source = source_of(bench.model("BERT-base"), torch.full((600,), 29))
    stack = Stack(source, 1, Way(1, False, False))
    for number, on in enumerate((False, True)):
        first: list[float] = []
        second: list[float] = []
        with _cudnn(bench, on):
            for place in range(bench.few(5, 2)):
                rows = torch.arange(3 * BATCH + BATCH * place + number * BATCH // 2)
                for seconds in (first, second):
                    seconds.append(bench.clocked(partial(stack.step, 1, rows)))
        new, seen = (1e3 * statistics.median(each[1:]) for each in (first, second))
        name = f"new_shapes {'with' if on else 'without'} cuDNN's attention"
        # Training meets new shapes in nearly every pass that is not recorded; packs do without
        # cuDNN's attention for that reason.
        judged = new < 3 * seen if bench.cuda and not on else None
        yield Line(name, judged, {"new_ms": new, "seen_ms": seen})
