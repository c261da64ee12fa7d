"""Long work on a large table in a second process, while this one goes on."""

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import pandas as pd

from analysis.contrasts.examples import examples_of
from analysis.data.results import Sweep
from analysis.dependence.dependence import Dependence, dependence
from trainables.compute.process import end_with_parent

LARGE = 20_000
"""Rows from which a second process is worth its start."""
T = TypeVar("T")


@contextmanager
def background(work: Callable[[pd.DataFrame], T], frame: pd.DataFrame) -> Iterator[Callable[[], T]]:
    """Begin ``work(frame)``; calling what the ``with`` gives waits for the result.

    For a small table, with one core, or without fork, the work is done at that call.
    """
    # Elsewhere a child would have to import everything anew, or may not be forked safely.
    if len(frame) < LARGE or (os.cpu_count() or 1) < 2 or sys.platform != "linux":
        yield lambda: work(frame)
        return
    with ProcessPoolExecutor(1, get_context("fork"), end_with_parent) as pool:
        yield pool.submit(work, frame).result


def dependence_of(
    sweep: Sweep, select_lambda: str
) -> AbstractContextManager[Callable[[], list[Dependence]]]:
    """Begin with what transfer depends on, which takes longer than all the rest."""
    work = partial(_dependence, folder=sweep.folder, select_lambda=select_lambda)
    return background(work, sweep.frame)


def _dependence(frame: pd.DataFrame, folder: Path, select_lambda: str) -> list[Dependence]:
    return dependence(frame, select_lambda, examples_of(folder, frame))
