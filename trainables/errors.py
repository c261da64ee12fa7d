"""The one exception a user's mistake turns into."""

import difflib
from collections.abc import Iterable
from typing import Any

_LONGEST = 80


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
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def nearest(name: Any, allowed: Iterable[str]) -> str:
    """`` (did you mean x?)`` where some allowed name is near, else nothing."""
    found = difflib.get_close_matches(str(name)[:_LONGEST], list(allowed), n=1)
    return f" (did you mean {found[0]}?)" if found else ""
