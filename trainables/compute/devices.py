"""The GPUs that torch sees, and where it sees none, why."""

import ctypes
import os
import platform
from typing import Any

import torch

from trainables.errors import InputError
from trainables.files.text_files import one_line


class NoGpuError(InputError):
    """A worker that was given a GPU cannot use it, for this pack or any other."""

    ends = True


def check_device(device: str) -> None:
    """See that torch can use the device that packs were given.

    Raises:
        NoGpuError: it is a GPU, and torch sees none here.
    """
    if torch.device(device).type != "cuda" or torch.cuda.is_available():
        return
    there = cuda()
    raise NoGpuError(
        f"resources.gpu: found a GPU that torch {torch.__version__} on {platform.node()} does not"
        f" see ({gpus()[1]}; built for CUDA {there['torch'] or 'none'}, driver for"
        f" {there['driver'] or 'none'}); allowed: on every node a torch built for a CUDA that its"
        " driver knows, or gpu: 0"
    )


def gpus() -> tuple[list[dict[str, Any]], str | None]:
    """``name`` and ``memory`` in bytes of each GPU, and where there is none, torch's reason."""
    try:
        torch.cuda.init()
        cards = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
        return [{"name": card.name, "memory": card.total_memory} for card in cards], None
    except (AssertionError, RuntimeError, OSError) as error:
        shown = os.environ.get("CUDA_VISIBLE_DEVICES")
        hidden = "" if shown is None else f" (CUDA_VISIBLE_DEVICES is {shown!r})"
        return [], f"{one_line(error).partition('. ')[0].rstrip('.')}{hidden}"


def cuda() -> dict[str, str | None]:
    """The CUDA that ``torch`` was built with, and the newest that the ``driver`` knows."""
    number = ctypes.c_int()
    try:
        failed = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(number))
    except (OSError, AttributeError):
        failed = 1
    driver = None if failed else f"{number.value // 1000}.{number.value % 1000 // 10}"
    return {"torch": torch.version.cuda, "driver": driver}
