"""What the checks of a card share: its models, its clock, and the training steps they time."""

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from benchmarks.gpu.costs import Cost, cost_of
from benchmarks.gpu.models import PROMPT, TASKS, build
from trainables.backbones import Backbone
from trainables.compute import replay
from trainables.scoring.losses import StackLoss
from trainables.soft.source import Source, TaskGradient

BATCH = 16
SEEDS, WEIGHTS = 5, 6
"""Of paper A: a joint stack trains each seed under so many weights other than 0."""


@dataclass(frozen=True)
class Line:
    """What a check found.

    Attributes:
        check: its name, and of what.
        ok: whether it is as it must be; None where nothing is judged.
        found: the numbers.
    """

    check: str
    ok: bool | None
    found: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Way:
    """How a stack is trained: weights a seed, with dropout or without, recorded or not."""

    weights: int
    dropout: bool
    graphs: bool

    @property
    def kind(self) -> str:
        """The work that is done, however it is done."""
        return kind_of(self.weights > 1, self.dropout)


def kind_of(joint: bool, dropout: bool) -> str:
    return f"{'joint' if joint else 'single'} {'dropout' if dropout else 'calm'}"


@dataclass(frozen=True)
class Speed:
    """A model's speed in one kind of work.

    Attributes:
        tokens: needed ones that pass in a second, padding not counted.
        shapes: passes that a stack records.
        recording: seconds of one of them.
    """

    tokens: float
    shapes: int = 0
    recording: float = 0.0


class Bench:
    """A device, and what has been measured on it so far.

    Attributes:
        device: torch's name of it.
        tiny: small models: the code is tried, nothing is measured.
        cuda: whether the device is a card.
        scale: of the models.
        precision: what they compute in.
        costs: FLOPs counted, by model.
        training: speeds by model, kind of work, and whether passes were recorded.
        reading: speeds by model.
    """

    def __init__(self, device: str, tiny: bool = False) -> None:
        """Measure nothing yet."""
        self.device, self.tiny = device, tiny
        self.cuda = torch.device(device).type == "cuda"
        self.scale = "tiny" if tiny else "base"
        self.precision = "bfloat16" if self.cuda else "float32"
        self.costs: dict[str, Cost] = {}
        self.training: dict[tuple[str, str, bool], Speed] = {}
        self.reading: dict[str, Speed] = {}
        self._models: dict[str, Backbone] = {}
        if self.cuda:
            torch.backends.cuda.enable_cudnn_sdp(False)  # as a pack does

    def model(self, name: str) -> Backbone:
        """A model of the paper, kept for the next check."""
        if name not in self._models:
            self._models[name] = self.build(name, self.precision)
        return self._models[name]

    def build(self, name: str, precision: str, device: str | None = None) -> Backbone:
        """A model of the paper, nobody else's."""
        return build(name, self.scale, device or self.device, precision)

    def cost(self, name: str) -> Cost:
        """FLOPs a token of a model."""
        if name not in self.costs:
            known = self._models.get(name)
            self.costs[name] = cost_of(known or self.build(name, self.precision))
        return self.costs[name]

    @cached_property
    def rate(self) -> float:
        """FLOP/s of large matrix products in what the models compute in."""
        return self.matrix_rate(getattr(torch, self.precision))

    def matrix_rate(self, kind: torch.dtype) -> float:
        """FLOP/s of the product of large square matrices."""
        size = 8192 if self.cuda else 512
        left, right = (torch.randn(size, size, device=self.device).to(kind) for _ in "ab")
        return 2 * size**3 / self.seconds(lambda: left @ right)

    def wait(self) -> None:
        """Until the device has done everything."""
        if self.cuda:
            torch.cuda.synchronize()

    def free(self) -> None:
        """Give back what nobody holds of a card."""
        if self.cuda:
            gc.collect()
            torch.cuda.empty_cache()

    def seconds(self, work: Callable[[], object], rounds: int = 6) -> float:
        """Median of some calls, after two that warm up."""
        found = [self.clocked(work) for _ in range(2 + (1 if self.tiny else rounds))]
        return statistics.median(found[2:])

    def clocked(self, work: Callable[[], object]) -> float:
        """Seconds of one call, on a device that has nothing else to do."""
        self.wait()
        began = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - began

    def few(self, count: int, tiny: int) -> int:
        """A count, and that of a trial."""
        return tiny if self.tiny else count


Check = Callable[[Bench], Iterator[Line]]


def sentences(bench: Bench, count: int = 2000) -> torch.Tensor:
    """Lengths of texts as those of the sentences' task."""
    generator = torch.Generator().manual_seed(2)
    return TASKS["rotten_tomatoes"].lengths(bench.few(count, 100), generator)


class Stack:
    """Prompts in training on one model, each seed under several weights: they see the same rows.

    Attributes:
        gradient: of the stack's loss.
        source: the model with its rows.
    """

    def __init__(self, source: Source, seeds: int, way: Way) -> None:
        """A stack of ``seeds`` times ``way.weights`` replicas."""
        self.source, self._seeds, self._weights = source, seeds, way.weights
        self.replicas = seeds * way.weights
        loss = StackLoss("label_words", way.dropout, list(range(seeds)) * way.weights)
        self.gradient = TaskGradient(source, loss, way.graphs)
        generator = torch.Generator().manual_seed(5)
        prompts = 0.1 * torch.randn(
            self.replicas, PROMPT, source.backbone.width, generator=generator
        )
        self._prompts = prompts.to(source.backbone.device)

    def rows(self, step: int) -> torch.Tensor:
        """Training examples of a step."""
        generator = torch.Generator().manual_seed(step)
        drawn = torch.randint(len(self.source.train), (self._seeds, BATCH), generator=generator)
        return drawn.repeat(self._weights, 1).flatten()

    def step(self, step: int, rows: torch.Tensor | None = None) -> torch.Tensor:
        """The gradient of a step, on its own rows or on these."""
        chosen = self.rows(step) if rows is None else rows
        return self.gradient(self._prompts, chosen, torch.ones(self.replicas), step)[1]

    def steps(self, steps: range) -> None:
        """Several, without waiting for the device between them."""
        for step in steps:
            self.step(step)


def reserved(bench: Bench) -> int:
    """Bytes of a card that are taken; from here its peak is looked for."""
    bench.free()
    if not bench.cuda:
        return 0
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_reserved()


@dataclass
class Recorded:
    """What was recorded within :func:`recording`."""

    recorded: int = 0
    refused: int = 0
    reason: str = ""


@contextmanager
def recording() -> Iterator[Recorded]:
    """Counts passes that are recorded, and those that could not be; known afterwards."""
    before, found = replace(replay.counts), Recorded()
    try:
        yield found
    finally:
        found.recorded = replay.counts.recorded - before.recorded
        found.refused = replay.counts.refused - before.refused
        found.reason = replay.counts.reason if found.refused else ""


def gap(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Length of the difference, relative to that of what is expected."""
    one, two = found.double().cpu(), expected.double().cpu()
    return float((one - two).norm() / two.norm())
