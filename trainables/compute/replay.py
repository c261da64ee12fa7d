"""Work on tensors of few different shapes, recorded once a shape and replayed.

A small model's pass is hundreds of short kernels, each launched by itself. A CUDA graph launches
them together; it works on the very memory it was recorded on, so that inputs are copied there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trainables.compute.memory import out_of_memory
from trainables.files.text_files import one_line

Tensors = Sequence[torch.Tensor]
Work = Callable[..., tuple[torch.Tensor, ...]]
Recorder = Callable[[Work, Tensors], Callable[[], tuple[torch.Tensor, ...]]]
"""From a function and its inputs to what computes its outputs anew from the same memory."""

_FIRST_WARM_UPS = 3
"""Runs before a recorder's first recording; one is enough later, for what a shape asks for."""


@dataclass
class Counts:
    """What this process has recorded.

    Attributes:
        recorded: functions of one shape of inputs that are replayed.
        refused: those that could not be, and run as they are.
        reason: why the last of them could not.
    """

    recorded: int = 0
    refused: int = 0
    reason: str = ""


counts = Counts()


def plain(work: Work, inputs: Tensors) -> Callable[[], tuple[torch.Tensor, ...]]:
    """Nothing is recorded: the function is called again."""
    return lambda: work(*inputs)


class CudaGraphs:
    """Records CUDA graphs.

    The graphs of one recorder share a pool of memory and a stream: they run one after another, and
    whoever replays one copies its outputs before the next (:class:`Replayed`). Another recorder has
    another pool: one whose graphs are gone takes no further ones.
    """

    def __init__(self) -> None:
        self._pool: Any = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream()
        self._warm_ups = _FIRST_WARM_UPS

    def __call__(self, work: Work, inputs: Tensors) -> Callable[[], tuple[torch.Tensor, ...]]:
        """A CUDA graph of the function; the function itself where it cannot be captured.

        Raises:
            torch.OutOfMemoryError: memory is short.
        """
        outside, side = torch.cuda.current_stream(), self._stream
        side.wait_stream(outside)
        with torch.cuda.stream(side):
            for _ in range(self._warm_ups):
                work(*inputs)
        self._warm_ups = 1
        outside.wait_stream(side)
        # What torch leaves behind where the end of a capture fails: the stream, and a generator
        # that takes itself to be captured and would refuse to give random numbers ever after.
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        before = generator.clone_state()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self._pool, stream=side):
                outputs = work(*inputs)
        except RuntimeError as error:
            torch.cuda.set_stream(outside)
            generator.graphsafe_set_state(before)
            del graph
            self._pool = torch.cuda.graph_pool_handle()
            # What ends a capture says so; what it was that could not be captured says more.
            cause = error.__context__ if isinstance(error.__context__, Exception) else error
            if out_of_memory(error) or out_of_memory(cause):
                raise torch.OutOfMemoryError(str(cause)) from None
            counts.refused += 1
            counts.reason = one_line(str(cause).partition("\n")[0])
            return plain(work, inputs)
        counts.recorded += 1

        def replay() -> tuple[torch.Tensor, ...]:
            graph.replay()
            return outputs

        return replay


RECORDERS: dict[str, Callable[[], Recorder]] = {"cuda": CudaGraphs}
"""Per type of device what makes a recorder; elsewhere nothing is gained."""


class Replayed:
    """A function of tensors, recorded for each shape of its inputs.

    Its outputs are copies: the next call may use the memory of the last one.
    """

    def __init__(self, work: Work, record: Recorder, most: int = 64) -> None:
        """Record nothing yet.

        Args:
            work: a function of tensors alone; what else it reads must stay as it is.
            most: shapes that are recorded; those that come later run as they are.
        """
        self._work, self._record, self._most = work, record, most
        self._known: dict[Any, tuple[Tensors, Callable[[], tuple[torch.Tensor, ...]]]] = {}

    def __call__(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What ``work`` gives for these inputs."""
        shape = tuple((tuple(item.shape), item.dtype) for item in inputs)
        if shape not in self._known:
            if len(self._known) >= self._most:
                return self._work(*inputs)
            own = [item.detach().clone() for item in inputs]
            try:
                self._known[shape] = (own, self._record(self._work, own))
            except Exception:  # memory is short: what is recorded takes some
                self._known.clear()
                raise
        held, replay = self._known[shape]
        for mine, given in zip(held, inputs, strict=True):
            mine.copy_(given, non_blocking=True)
        return tuple(item.clone() for item in replay())
