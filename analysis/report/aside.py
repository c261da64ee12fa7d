"""Long work on a large table in a second process, while this one goes on."""

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

import pandas as pd

from trainables.compute.process import end_with_parent

LARGE = 20_000
"""Rows from which a second process is worth its start."""
T = TypeVar("T")


@contextmanager
def aside(work: Callable[[pd.DataFrame], T], frame: pd.DataFrame) -> Iterator[Callable[[], T]]:
    """Begin ``work(frame)``; what the ``with`` gives waits for it and returns what it returned.

    Of a small table, with one core, or where processes cannot be forked, the work is done when it
    is asked for.
    """
    # Elsewhere a child would have to import everything anew, or may not be forked safely.
    if len(frame) < LARGE or (os.cpu_count() or 1) < 2 or sys.platform != "linux":
        yield lambda: work(frame)
        return
    with ProcessPoolExecutor(1, get_context("fork"), end_with_parent) as pool:
        yield pool.submit(work, frame).result
