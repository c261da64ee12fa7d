"""Work on tensors of few different shapes, recorded once a shape and replayed.

A small model's pass is hundreds of short kernels, each launched by itself. A CUDA graph launches
them together; it works on the very memory it was recorded on, so that inputs are copied there.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch

Tensors = Sequence[torch.Tensor]
Work = Callable[..., tuple[torch.Tensor, ...]]
Recorder = Callable[[Work, Tensors], Callable[[], tuple[torch.Tensor, ...]]]
"""From a function and its inputs to what computes its outputs anew from the same memory."""

_WARM_UPS = 3


@cache
def _pool() -> Any:
    return torch.cuda.graph_pool_handle()


def plain(work: Work, inputs: Tensors) -> Callable[[], tuple[torch.Tensor, ...]]:
    """Nothing is recorded: the function is called again."""
    return lambda: work(*inputs)


def cuda_graph(work: Work, inputs: Tensors) -> Callable[[], tuple[torch.Tensor, ...]]:
    """A CUDA graph of the function; the function itself where it cannot be captured.

    All graphs share one pool of memory: they run one after another, and whoever replays one copies
    its outputs before the next (:class:`Replayed`).
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UPS):
            work(*inputs)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph, pool=_pool()):
            outputs = work(*inputs)
    except RuntimeError:  # an operation that waits for the device, say
        return plain(work, inputs)

    def replay() -> tuple[torch.Tensor, ...]:
        graph.replay()
        return outputs

    return replay


RECORDERS: dict[str, Recorder] = {"cuda": cuda_graph}
"""Per type of device how work is recorded; elsewhere nothing is gained."""


class Replayed:
    """A function of tensors, recorded for each shape of its inputs.

    Its outputs are copies: the next call may use the memory of the last one.
    """

    def __init__(self, work: Work, record: Recorder, most: int = 64) -> None:
        """Record nothing yet.

        Args:
            work: a function of tensors alone; what else it reads must stay as it is.
            record: how.
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
            self._known[shape] = (own, self._record(self._work, own))
        held, replay = self._known[shape]
        for mine, given in zip(held, inputs, strict=True):
            mine.copy_(given, non_blocking=True)
        return tuple(item.clone() for item in replay())
