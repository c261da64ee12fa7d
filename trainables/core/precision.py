"""Precisions of the frozen models.

Only what a model computes is rounded: prompts, their optimiser, the embeddings that prompts live
among and all relative geometry stay in float32 (Gram matrices in float64).
"""

from pathlib import Path

FLOAT32, TF32, BFLOAT16 = "float32", "tf32", "bfloat16"
PRECISIONS = (FLOAT32, TF32, BFLOAT16)
"""``tf32`` is float32 whose matrix products a GPU rounds to 10 bits; a CPU has no such products."""


def type_of(precision: str) -> str:
    return FLOAT32 if precision == TF32 else precision


_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""What Linux calls instructions for bfloat16: Intel's and AMD's, Intel's tiles, Arm's."""


def native_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this processor multiplies bfloat16 by itself; elsewhere it is slower than float32.

    False where the system does not say, as outside of Linux.
    """
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    named = [line.partition(":")[2] for line in lines if line.startswith(("flags", "Features"))]
    # Of a machine with unequal cores none may lack it.
    return bool(named) and all(_FLAGS & set(flags.split()) for flags in named)
