"""What a model's folder says about its licence."""

from pathlib import Path
from typing import Any

import yaml

_MARK = "---"


def licence_of(location: str) -> str | None:
    """The licence that the card (``README.md``) of a model's folder names; None where none does.

    A Hub name gives None: nothing is asked of the Hub for it.
    """
    try:
        text = (Path(location) / "README.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError):
        return None
    start, mark, rest = text.partition(f"{_MARK}\n")
    if start.strip() or not mark:
        return None
    try:
        head: Any = yaml.safe_load(rest.partition(f"\n{_MARK}")[0])
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    named = head.get("license") if isinstance(head, dict) else None
    if isinstance(named, list):
        named = ", ".join(map(str, named))
    return named if isinstance(named, str) and named else None
