"""What a process asks of its system: memory kept, garbage left alone, time and end."""

import ctypes
import gc
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEEP_BYTES = 1 << 30
_PR_SET_PDEATHSIG = 1


class Moment(NamedTuple):
    """A time, or a span of it, in seconds.

    Attributes:
        wall: as a clock has it.
        processor: what the threads of this process have worked, together.
    """

    wall: float
    processor: float

    def passed(self) -> "Moment":
        """The span from this moment until now."""
        there = now()
        return Moment(there.wall - self.wall, there.processor - self.processor)


def now() -> Moment:
    """This moment; only spans between two of them mean anything."""
    return Moment(time.perf_counter(), time.process_time())


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks instead of giving them back after every operation.

    CPU training allocates and frees tensors of a few MiB thousands of times a minute; by default
    each one is mapped, zeroed and unmapped by the kernel. Measured on a small causal model: 2.6 k
    to 4.6 k tokens/s.

    Returns:
        True where the C library accepted both settings; False elsewhere (nothing is changed).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)) and bool(
        mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
    )


def end_with_parent() -> None:
    """Have the system kill this process when the thread that has started it ends (on Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def no_collection() -> Iterator[None]:
    """Nothing is collected within: where millions of objects are made that all stay."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@contextmanager
def lasting() -> Iterator[None]:
    """Nothing is collected within, and what is there afterwards is never looked at again.

    For imports at the start of a process: torch and transformers are half a million objects. It
    saves 0.7 to 1.3 s of 4.4 at the import, and 0.3 s at each later collection and at the end.
    """
    with no_collection():
        yield
        gc.freeze()
