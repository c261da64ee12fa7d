"""What the device is, and the rates that everything else is measured by."""

import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.bench import Bench, Line

_DRIVER = Path("/proc/driver/nvidia/version")


def _driver() -> str | None:
    found = re.search(r"\d+\.\d+(\.\d+)?", _DRIVER.read_text()) if _DRIVER.is_file() else None
    return found[0] if found else None


def name_of(device: str) -> str:
    """The card's name, or the processor's kind."""
    if torch.device(device).type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{device} ({platform.machine()}, {os.cpu_count()} cores)"


def environment(bench: Bench) -> Iterator[Line]:
    """Versions, the card, and what torch is allowed to do on it."""
    found: dict[str, Any] = {
        "device": name_of(bench.device),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "matmul_precision": torch.get_float32_matmul_precision(),
    }
    yield Line("environment", True, found | (_card(bench) if bench.cuda else {}))


def _card(bench: Bench) -> dict[str, Any]:
    place = torch.cuda.get_device_properties(bench.device)
    flags: Any = torch.backends.cuda
    cudnn: Any = torch.backends.cudnn
    return {
        "capability": f"{place.major}.{place.minor}",
        "gib": round(place.total_memory / 2**30, 1),
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "cudnn": cudnn.version(),
        "bfloat16": torch.cuda.is_bf16_supported(),
        "tf32": flags.matmul.allow_tf32,
        "bfloat16_reduced_sums": flags.matmul.allow_bf16_reduced_precision_reduction,
        "cudnn_attention": flags.cudnn_sdp_enabled(),
        "attention": _attention(bench.device),
    }


def _attention(device: str) -> str:
    """Which of torch's attentions a masked call in bfloat16 with gradient gets."""
    query = torch.randn(8, 12, 40, 64, device=device, dtype=torch.bfloat16, requires_grad=True)
    mask = torch.ones(8, 1, 40, 40, dtype=torch.bool, device=device)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        F.scaled_dot_product_attention(query, query, query, attn_mask=mask)
    names = {event.key for event in seen.key_averages() if "scaled_dot_product" in event.key}
    return ", ".join(sorted(name.removeprefix("aten::") for name in names))


def rates(bench: Bench) -> Iterator[Line]:
    """Matrix products, copies, launches."""
    found: dict[str, Any] = {
        f"{name}_tflops": bench.matrix_rate(getattr(torch, name)) / 1e12
        for name in ("bfloat16", "float32")
    }
    if bench.cuda:
        found["tf32_tflops"] = _tf32(bench) / 1e12
    source = torch.ones(2**28 if bench.cuda else 2**22, device=bench.device)
    target, small = torch.empty_like(source), torch.ones(8, device=bench.device)
    copied = 2 * source.nbytes / bench.seconds(lambda: target.copy_(source))
    found["copy_gb_per_second"] = copied / 1e9
    found["microseconds_a_launch"] = 1e3 * bench.seconds(lambda: _launch(small, 1000))
    yield Line("rates", True, found)


def _tf32(bench: Bench) -> float:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        return bench.matrix_rate(torch.float32)
    finally:
        torch.set_float32_matmul_precision(before)


def _launch(small: torch.Tensor, times: int) -> None:
    for _ in range(times):
        small.add_(1.0)
