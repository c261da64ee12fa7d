"""How fast models of the paper train and read, the way paper A uses them."""

import statistics
import time
from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F

from benchmarks.gpu.bench import (
    BATCH,
    SEEDS,
    WEIGHTS,
    Bench,
    Line,
    Speed,
    Stack,
    Way,
    recording,
    reserved,
    sentences,
)
from benchmarks.gpu.models import MODELS, TASKS, source_of
from trainables.compute import memory, passes, replay
from trainables.compute.passes import (
    block_batches,
    bucket,
    length_batches,
    length_step,
    pass_tokens,
    spare_tokens,
)
from trainables.core.settings import SoftSettings
from trainables.core.weight import Weight
from trainables.soft.source import Source
from trainables.soft.tuning import Replica, tune
from trainables.words.relative import Grams, gram_matrices

WAYS = tuple(
    Way(weights, dropout, graphs)
    for dropout, graphs in ((True, True), (False, True), (True, False), (False, False))
    for weights in (WEIGHTS, 1)
)
"""As shipped at first; what comes last is left out where time is short."""

SOURCES = tuple(name for name in MODELS if name != "RoBERTa-large")
TARGET_PROMPTS = 30
WARM, QUIET, TIMED = 60, 8, 20
"""Steps: at most so many warm up, until so many in a row have recorded nothing; then so many are
timed."""


class Warm:
    """A stack's first steps, until no new shape comes up.

    Attributes:
        recorded: passes that were.
        seconds: that the steps took in which some were.
        steps: of these.
    """

    def __init__(self, bench: Bench, stack: Stack) -> None:
        """Take those steps."""
        self.recorded, self.seconds, self.steps, quiet = 0, 0.0, 0, 0
        for step in range(bench.few(WARM, 2)):
            with recording() as seen:
                took = bench.clocked(partial(stack.step, step))
            if seen.recorded:
                self.recorded += seen.recorded
                self.seconds += took
                self.steps += 1
            quiet = 0 if seen.recorded else quiet + 1
            if quiet == bench.few(QUIET, 1):
                break

    def recording(self, step: float) -> float:
        """Seconds of one recording, given those of a step without."""
        return max(0.0, self.seconds - self.steps * step) / max(1, self.recorded)


def cut(bench: Bench, stack: Stack, rows: torch.Tensor) -> list[int]:
    """Tokens of each pass of a step as it is read, padding included."""
    lengths, budget = stack.source.lengths[rows], pass_tokens(bench.device)
    if stack.gradient.passes.recorded:
        parts = block_batches(lengths, budget, length_step(bench.device))
        return [count * _padded(bench, lengths[part]) for part, count in parts]
    single = length_batches(lengths, budget, spare_tokens(bench.device))
    return [len(part) * _padded(bench, lengths[part]) for part in single]


def _padded(bench: Bench, lengths: torch.Tensor) -> int:
    return bucket(int(lengths.max()), bench.device)


def _queued(bench: Bench, stack: Stack, step: int) -> float:
    """Seconds until the CPU has said what a step is to do, to a device that has nothing to do."""
    bench.wait()
    began = time.perf_counter()
    stack.step(step)
    return time.perf_counter() - began


def timed(bench: Bench, stack: Stack) -> dict[str, Any]:
    """Steps of a warm stack."""
    before = reserved(bench)
    began = time.perf_counter()
    warm = Warm(bench, stack)
    warm_up = time.perf_counter() - began
    steps = range(WARM, WARM + bench.few(TIMED, 2))
    with recording() as seen:
        seconds = bench.clocked(lambda: stack.steps(steps))
    a_step = seconds / len(steps)
    rows = [stack.rows(step) for step in steps]
    passes = [cut(bench, stack, each) for each in rows]
    needed = sum(int(stack.source.lengths[each].sum()) for each in rows)
    read = sum(map(sum, passes))
    queued = statistics.median(_queued(bench, stack, step) for step in steps[:5])
    return {
        "replicas": stack.replicas,
        "needed_tokens_per_second": needed / seconds,
        "read_tokens_per_second": read / seconds,
        "read_for_each_needed": read / needed,
        "passes_a_step": sum(map(len, passes)) / len(steps),
        "ms_a_step": 1e3 * a_step,
        "cpu_ms_a_step": 1e3 * queued,
        "warm_up_seconds": warm_up,
        "recorded": warm.recorded,
        "recorded_while_timed": seen.recorded,
        "refused": seen.refused,
        "seconds_a_recording": warm.recording(a_step),
        "peak_gib": (torch.cuda.max_memory_reserved() - before) / 2**30 if bench.cuda else None,
    }


def speed(bench: Bench) -> Iterator[Line]:
    """Steps of every source, in every way; all sources in one way before the next."""
    for way in WAYS:
        for name in SOURCES[: bench.few(len(SOURCES), 2)]:
            source = source_of(bench.model(name), sentences(bench))
            stack = Stack(source, bench.few(SEEDS, 1), way)
            found = timed(bench, stack)
            del stack
            bench.free()
            bench.training[name, way.kind, way.graphs] = Speed(
                found["needed_tokens_per_second"],
                found["recorded"] + found["recorded_while_timed"],
                found["seconds_a_recording"],
            )
            found["share_of_matrix_rate"] = (
                found["read_tokens_per_second"] * bench.cost(name).of(way.kind) / bench.rate
            )
            ok = None if bench.tiny else found["refused"] == 0
            yield Line(f"speed {name}", ok, vars(way) | found)


def _grams(pair: list[Source]) -> Grams:
    """Over words that stand for those that the two have in common."""
    words = 500 if pair[0].backbone.rows < 10000 else 5000
    tables = [source.backbone.embeddings[:words].double() for source in pair]
    return gram_matrices([F.normalize(table, dim=1) for table in tables])


class _Clock:
    """Tells tuning's time where asked to, and leaves the device alone else."""

    def __init__(self, bench: Bench, at: tuple[int, ...]) -> None:
        self._bench, self._at = bench, at
        self.seconds: list[float] = []
        self.recorded: list[int] = []

    def __call__(self, step: int, steps: int) -> None:
        if step in self._at:
            self._bench.wait()
            self.seconds.append(time.perf_counter())
            self.recorded.append(replay.counts.recorded)


def tuning(bench: Bench) -> Iterator[Line]:
    """A whole joint tuning of a pair as :func:`trainables.soft.tuning.tune` does it."""
    pair = [source_of(bench.model(name), sentences(bench)) for name in ("BERT-base", "GPT-2")]
    weights = (0.1, 0.3, 0.5, 0.7, 0.9, "annealing")
    seeds = range(bench.few(SEEDS, 1))
    replicas = [Replica(seed, Weight.of(weight)) for weight in weights for seed in seeds]
    for graphs in (True, False):
        warm = bench.few(WARM, 1) if graphs else bench.few(5, 1)
        last = warm + bench.few(TIMED, 1)
        # The only evaluation comes after the last step.
        clock = _Clock(bench, (warm, last, last + 1))
        settings = SoftSettings(steps=last + 1, evaluations=1, dropout=True, batch_size=BATCH)
        tune(pair, replicas, settings, _grams(pair), "accuracy", clock, graphs=graphs)
        a_step = (clock.seconds[1] - clock.seconds[0]) / (last - warm)
        found = {
            "graphs": graphs,
            "replicas": len(replicas),
            "seconds_a_step": a_step,
            "recorded_while_timed": clock.recorded[1] - clock.recorded[0],
            "evaluation_seconds": clock.seconds[2] - clock.seconds[1] - a_step,
        }
        bench.free()
        yield Line("tuning BERT-base + GPT-2", None, found)


def reading(bench: Bench) -> Iterator[Line]:
    """Evaluation of the prompts of a pack, by tokens of a pass; the target at first."""
    lengths = TASKS["rotten_tomatoes"].lengths(
        bench.few(1066, 20), torch.Generator().manual_seed(3)
    )
    for name in ("RoBERTa-large", *SOURCES)[: bench.few(len(MODELS), 2)]:
        source = source_of(bench.model(name), lengths)
        count = bench.few(TARGET_PROMPTS, 3)
        prompts = 0.1 * torch.randn(count, 5, source.backbone.width, device=bench.device)
        tokens = count * int(source.lengths.sum())
        most = passes.read_tokens(bench.device)
        for budget in sorted({8192, 32768, most}):
            first, seconds = _evaluated(bench, source, prompts, budget)
            if budget == most:
                bench.reading[name] = Speed(tokens / seconds)
            found = {
                "pass_tokens": budget,
                "prompts": count,
                "seconds": seconds,
                "seconds_at_first": first,
                "needed_tokens_per_second": tokens / seconds,
                "share_of_matrix_rate": tokens / seconds * bench.cost(name).reading / bench.rate,
            }
            yield Line(f"reading {name}", None, found)


def _evaluated(
    bench: Bench, source: Source, prompts: torch.Tensor, budget: int
) -> tuple[float, float]:
    """Seconds of an evaluation in passes of so many tokens, and of a second one."""
    memory.forget()

    def read() -> None:
        source.backbone.split_logits(source.validation, source.label_ids, prompts)

    kind = torch.device(bench.device).type
    with patch.dict(passes.READ_TOKENS, {kind: budget}):
        return bench.clocked(read), bench.clocked(read)
