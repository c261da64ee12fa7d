"""The file beside a record: its prompt or readout, if it has one, and the predictions kept of it.

One safetensors file a cell, so that a cell costs one file besides its record. Tensors are
``prompt`` (float32 [m, d], or uint8 [n], a text's UTF-8), ``readout`` (float32 [C, h + 1]) and
those of :mod:`trainables.core.predictions`. The same content has the same bytes, whichever run
writes it.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

from trainables.core.predictions import GOLD, checked
from trainables.packs.records import PROMPT, READOUT, canonical


def file_content(
    about: Mapping[str, str],
    prompt: Any = None,
    predictions: Mapping[str, Any] | None = None,
    readout: Any = None,
) -> bytes:
    """The bytes of the file.

    Args:
        about: put into the header; of a text, the text comes to it.
        prompt: float32 array [m, d], uint8 array [n] of a text in UTF-8, or None.
        predictions: arrays of :mod:`trainables.core.predictions`, or None.
        readout: float32 array [C, h + 1], or None.

    Raises:
        ValueError: one of them is none.
    """
    tensors = checked(predictions or {})
    named = dict(about)
    if prompt is not None:
        tensors[PROMPT] = _checked_prompt(prompt)
        if tensors[PROMPT].ndim == 1:
            named["text"] = tensors[PROMPT].tobytes().decode()
    if readout is not None:
        tensors[READOUT] = _matrix("readout", readout)
    return _written(tensors, named)


def without(content: bytes, splits: Collection[str]) -> bytes | None:
    """The file without the predictions on some splits; None where nothing is left."""
    gone = {name for split in splits for name in (split, split + GOLD)}
    tensors = {name: value for name, value in _tensors(content).items() if name not in gone}
    return _written(tensors, _header(content)[0].get("__metadata__", {})) if tensors else None


def tensor_in(content: bytes, name: str = PROMPT) -> Any:
    """A tensor in a file; None where it holds none of the name, ValueError where it is no file."""
    return _tensors(content).get(name)


def _tensors(content: bytes) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        found: dict[str, Any] = load(content)
    except (SafetensorError, KeyError) as error:  # KeyError: a type that NumPy lacks
        raise ValueError(f"its file holds no tensors ({error})") from None
    return found


def _checked_prompt(prompt: Any) -> Any:
    import numpy as np

    if getattr(prompt, "dtype", None) != np.uint8:
        return _matrix("prompt", prompt)
    array = np.ascontiguousarray(prompt)
    if array.ndim != 1:
        raise ValueError(f"its prompt is no text (shape {array.shape})")
    return array


def _matrix(name: str, values: Any) -> Any:
    import numpy as np

    array = np.ascontiguousarray(values, dtype=np.float32)
    if array.ndim != 2 or not array.size or not np.isfinite(array).all():
        raise ValueError(f"its {name} is no matrix of finite numbers (shape {array.shape})")
    return array


def _written(tensors: Mapping[str, Any], about: Mapping[str, str]) -> bytes:
    from safetensors.numpy import save

    content: bytes = save(dict(tensors), dict(about))
    # The library writes what it is told in an order of its own, each time.
    found, start = _header(content)
    header = canonical(found)
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[start:]


def _header(content: bytes) -> tuple[dict[str, Any], int]:
    start = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:start]), start
