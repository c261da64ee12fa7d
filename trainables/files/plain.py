"""Measured numbers made fit for JSON."""

import math
from collections.abc import Mapping
from typing import Any


def plain_result(result: Mapping[str, Any], score: bool = True) -> dict[str, Any]:
    """Python numbers only; NaN and infinities become None.

    Args:
        result: numbers, texts and nested lists and mappings of them; NumPy scalars and arrays too.
        score: demand a finite ``score``.

    Raises:
        ValueError: the score is missing or not finite.
        TypeError: ``result`` is no mapping, or something in it is neither number, text, list nor
            mapping.
    """
    if not isinstance(result, Mapping):
        raise TypeError(f"a {type(result).__name__} is no mapping of numbers")
    plain = {str(key): _plain(value) for key, value in result.items()}
    if score and not isinstance(plain.get("score"), int | float):
        raise ValueError(f"its score is {result.get('score')!r}, not a finite number")
    return plain


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return _plain(value.tolist())
    raise TypeError(f"a {type(value).__name__} is neither number, text, list nor mapping")
