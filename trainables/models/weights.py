"""Headers of safetensors files: whether a model folder's weights are all there, none of them read.

Torch-free.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from trainables.core.texts import some
from trainables.errors import InputError
from trainables.files.text_files import load_json, read_text

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_NAMED = "transformers_weights"
"""Field of a config.json with the name of the file in place of :data:`SINGLE`."""
_POINTER = b"version https://git-lfs"
_LONGEST = 100_000_000
"""Bytes of a header at most, as the library has it."""
_MANY = 3
"""Of names that are missing, how many are said."""


def tensor_shapes(folder: Path, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shape by name of every tensor that the library would load from a model folder.

    Args:
        config: content of its config.json.

    Raises:
        InputError: a file is no safetensors file, is cut short, is missing, or lacks a tensor that
            the index says is in it; without the model's name.
    """
    name = config.get(_NAMED) or (SINGLE if (folder / SINGLE).exists() else INDEX)
    if not isinstance(name, str) or not (folder / name).is_file():
        raise InputError(
            f"{folder} holds neither {SINGLE} nor {INDEX}; allowed: weights in files of these names"
        )
    if not name.endswith(".json"):
        return _shapes(folder / name)
    wanted = _index(folder / name)
    files = sorted(set(wanted.values()))
    gone = [file for file in files if not (folder / file).is_file()]
    if gone:
        raise InputError(
            f"{folder / name}: names files that are not there ({some(gone, _MANY)}); allowed: a"
            f" folder with all {len(files)} files of weights"
        )
    shapes = {file: _shapes(folder / file) for file in files}
    lost = [tensor for tensor, file in wanted.items() if tensor not in shapes[file]]
    if lost:
        raise InputError(
            f"{folder / name}: names tensors that are not in their files ({some(lost, _MANY)});"
            " allowed: an index and weights that were written together"
        )
    return {tensor: shape for found in shapes.values() for tensor, shape in found.items()}


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file of a model folder.

    Raises:
        InputError: it cannot be read, or is none.
    """
    try:
        found = load_json(read_text(path, str(path)))
    except ValueError as error:
        raise InputError(f"{path}: cannot be read ({error}); allowed: a JSON object") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: found {type(found).__name__}; allowed: a JSON object")
    return found


def _index(path: Path) -> dict[str, str]:
    found = read_object(path).get("weight_map")
    names = found.values() if isinstance(found, dict) else ()
    if not names or any(not isinstance(name, str) or Path(name).name != name for name in names):
        raise InputError(
            f"{path}: weight_map does not give the file of each tensor; allowed: names of files in"
            " the same folder, by tensor"
        )
    return dict(found or {})


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(file, framework="np") as opened:
            names = opened.keys()
            return {name: tuple(opened.get_slice(name).get_shape()) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{file}: {_why(file, error)}") from None


def _why(file: Path, error: Exception) -> str:
    """What is wrong with a file that is not read as safetensors."""
    try:
        with file.open("rb") as handle:
            start = handle.read(len(_POINTER))
        if start == _POINTER:
            return "a Git LFS pointer stands in its place; allowed: the weights (git lfs pull)"
        size, whole = file.stat().st_size, _whole_size(file)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        size = whole = 0
    if size < whole:
        return f"cut short, {size} of {whole} bytes; allowed: the whole file"
    reason = " ".join(str(error).split())[:200]
    return f"cannot be read ({reason}); allowed: a safetensors file"


def _whole_size(file: Path) -> int:
    """Bytes of a safetensors file as it says itself, as far as it is there to say it."""
    with file.open("rb") as handle:
        header = int.from_bytes(handle.read(8), "little")
        content = handle.read(header) if header <= _LONGEST else b""
    if len(content) < header:
        return 8 + header if header <= _LONGEST else 0
    entries = json.loads(content)
    ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
    return 8 + header + max(map(int, ends), default=0)
