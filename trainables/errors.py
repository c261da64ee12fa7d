"""The one exception a user's mistake turns into, and the words of its sentences.

Every mistake is one sentence: the field, what was found, what is allowed, and a near name if any.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any

_LONGEST = 80
_LONGEST_LIST = 240
_KEPT = 10
_ENDLESS = re.compile(r"\d{41,}")


class InputError(Exception):
    """Bad input: one clear sentence naming the field or file, what was found and what is allowed.

    The command line prints it without a traceback and exits with code 2.
    """


def show(value: Any) -> str:
    """``repr`` that is never long and never fails."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # numbers of thousands of digits, self-nested lists
        text = f"a {type(value).__name__}"
    return _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def nearest(name: Any, allowed: Iterable[str]) -> str:
    """`` (did you mean x?)`` where some allowed name is near, else nothing."""
    found = difflib.get_close_matches(str(name)[:_LONGEST], list(allowed), n=1)
    return f" (did you mean {found[0]}?)" if found else ""


def check_known(
    name: Any, allowed: Iterable[str], path: str, what: str = "", further: str = ""
) -> None:
    """Refuse a name that is none of those allowed.

    Args:
        what: what the names are, put before them.
        further: what else is allowed, put behind them.

    Raises:
        InputError: with the name most like it.
    """
    names = list(allowed)
    if not isinstance(name, str) or name not in names:
        raise InputError(
            f"{path}: found {show(name)}{nearest(name, names)};"
            f" allowed: {what}{listed(names, name)}{further}"
        )


def listed(names: Iterable[str], found: Any) -> str:
    """``names`` with commas; of a list too long for a sentence those most like ``found``."""
    every = [_cut(name if name.isprintable() else repr(name)) for name in names]
    text = ", ".join(every)
    if len(text) <= _LONGEST_LIST:
        return text
    key = str(found)[:_LONGEST]
    near = sorted(every, key=lambda name: -difflib.SequenceMatcher(None, key, name).ratio())
    kept = near[:_KEPT]
    return f"{', '.join(kept)} and {len(every) - len(kept)} more"


def field_path(location: Sequence[int | str]) -> str:
    """``('pairs', 2, 0)`` as ``pairs[2][0]``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def shortened(sentence: str) -> str:
    """``sentence`` without the inner digits of endless numbers."""
    return _ENDLESS.sub(lambda digits: f"{digits[0][:20]}…", sentence)
