"""Values of a spec that are set from outside it: ``methods.soft.steps=60``."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from trainables.errors import InputError, field_path, show
from trainables.files.strict_yaml import load_yaml

OPTION = "--set"
_PATH = re.compile(r"[^.\[\]]+(?:\.[^.\[\]]+|\[\d{1,6}\])*")
_STEP = re.compile(r"\[(\d+)\]|[^.\[\]]+")

Steps = tuple[str | int, ...]


def overridden(content: Mapping[Any, Any], overrides: Sequence[str]) -> Mapping[Any, Any]:
    """``content`` with values set one after the other; what is given is left as it was.

    Args:
        content: of a spec's YAML, not checked yet.
        overrides: ``PATH=VALUE``: keys with dots between them, places in lists in brackets as in
            messages, and YAML. Mappings that are not there are made; whether the spec may have
            such a key is for its own checks to say.

    Raises:
        InputError: it is not of this form, the value is no YAML, or the path goes through
            something that has no such place.
    """
    found: Any = content
    for text in overrides:
        path, _, value = (part.strip() for part in text.partition("="))
        if "=" not in text or not _PATH.fullmatch(path):
            raise InputError(
                f"{OPTION}: found {show(text)}; allowed: PATH=VALUE, such as"
                " methods.soft.steps=60 or transfer[0].solver=ridge"
            )
        steps = tuple(step[0] if step[1] is None else int(step[1]) for step in _STEP.finditer(path))
        found = _with(found, (), steps, load_yaml(value, f"{OPTION} {path}"))
    return dict(found)


def _with(node: Any, done: Steps, steps: Steps, value: Any) -> Any:
    """``node``, found at ``done``, with ``value`` at ``steps`` below it; a copy as far as changed.

    What a YAML alias shares with other places changes here only.
    """
    if not steps:
        return value
    first = steps[0]
    if isinstance(first, int):
        if not isinstance(node, list) or first >= len(node):
            raise _no_way(node, done, steps, f"a list of more than {first}")
        changed = list(node)
        changed[first] = _with(node[first], (*done, first), steps[1:], value)
        return changed
    if node is not None and not isinstance(node, Mapping):
        place = f", or a place of the list, such as {field_path((*done, 0))}"
        raise _no_way(node, done, steps, f"a mapping{place * isinstance(node, list)}")
    known = {str(key): key for key in node or ()}
    # Names of models may have dots: the longest key that is there.
    count = next((n for n in range(len(steps), 1, -1) if field_path(steps[:n]) in known), 1)
    key = known.get(field_path(steps[:count]), first)
    below = None if node is None else node.get(key)
    return {**(node or {}), key: _with(below, (*done, key), steps[count:], value)}


def _no_way(node: Any, done: Steps, steps: Steps, allowed: str) -> InputError:
    found = (
        "nothing"
        if node is None
        else "a mapping"
        if isinstance(node, Mapping)
        else f"a list of {len(node)}"
        if isinstance(node, list)
        else show(node)
    )
    return InputError(
        f"{OPTION} {field_path((*done, *steps))}: found {found} at {field_path(done)};"
        f" allowed: {allowed}"
    )
