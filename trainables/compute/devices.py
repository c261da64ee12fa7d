"""The GPUs that torch sees, and where it sees none, why."""

import ctypes
import os
from typing import Any

import torch

from trainables.files.text_files import one_line


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
