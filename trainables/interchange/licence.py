"""What a model's folder says about its licence."""

from pathlib import Path
from typing import Any

from trainables.errors import InputError
from trainables.files.strict_yaml import load_yaml
from trainables.files.text_files import read_text

_CARD = "README.md"
_MARK = "---"


def licence_of(location: str) -> str | None:
    """The licence that the card (``README.md``) of a model's folder names; None where none does.

    A Hub name gives None: nothing is asked of the Hub for it.
    """
    try:
        text = read_text(Path(location) / _CARD, _CARD)
    except InputError:
        return None
    start, mark, rest = text.partition(f"{_MARK}\n")
    if start.strip() or not mark:
        return None
    try:
        head: Any = load_yaml(rest.partition(f"\n{_MARK}")[0], _CARD)
    except InputError:
        return None
    named = head.get("license") if isinstance(head, dict) else None
    if isinstance(named, list):
        named = ", ".join(map(str, named))
    return named if isinstance(named, str) and named else None
