"""Names of the ways of transfer of a sweep, from the settings in which they differ.

A way is what a spec lists under ``transfer``: a solver with its settings. Its name is the solver
and those settings in which the sweep's ways with this solver differ, words before numbers:
``readout states 512``. A value stands for itself unless it could be that of another setting too.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from analysis.data.combinations import HARD, flat, later_defaults
from trainables.core.settings import TransferSettings

AS_TEXT = "as text"
"""The one way of hard prompts."""
_SETTINGS = tuple(item.name for item in fields(TransferSettings))
_SOLVER = "solver"
_NAMED = ("selection", "shots", "texts_from", "anchor_sample", "top_k")
"""Settings that always bear their name: their values alone say little."""

_UNSAID = ("selection", "none")

Values = Mapping[str, Any]


def ways(rows: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """Per record the name of its way of transfer; None where nothing was carried over.

    Args:
        rows: per record its columns and its cell's ``settings``.
    """
    found: dict[str, Values] = {}
    keys: list[str | None] = []
    for row in rows:
        if row["kind"] != "transfer":
            keys.append(None)
            continue
        if row["family"] == HARD:
            keys.append(AS_TEXT)
            continue
        given = flat(row["settings"])
        values = later_defaults() | {name: given[name] for name in _SETTINGS if name in given}
        key = json.dumps(values, sort_keys=True)
        found.setdefault(key, values)
        keys.append(key)
    names = {AS_TEXT: AS_TEXT, **_names(found)}
    return [None if key is None else names[key] for key in keys]


def _names(found: Mapping[str, Values]) -> dict[str, str]:
    by_solver: dict[str, list[str]] = {}
    for key, values in found.items():
        by_solver.setdefault(str(values.get(_SOLVER) or "closed_form"), []).append(key)
    return {
        key: _name(solver, found[key], [found[other] for other in keys])
        for solver, keys in by_solver.items()
        for key in keys
    }


def _name(solver: str, mine: Values, every: Sequence[Values]) -> str:
    """One way's name beside ``every`` way with the same solver."""
    differing = [
        name
        for name in _SETTINGS
        if name != _SOLVER and len({json.dumps(values.get(name)) for values in every}) > 1
    ]
    numbers = [name for name in differing if _is_number(values.get(name) for values in every)]
    words = [name for name in differing if name not in numbers]
    parts = [solver]
    for group in (words, numbers):
        # Two numbers are never told apart by themselves, two words are where no value is shared.
        shared = len(group) > 1 if group is numbers else _share_values(group, every)
        for name in group:
            if (value := mine.get(name)) is not None and (name, value) != _UNSAID:
                parts.append(f"{name} {_shown(value)}" if shared or name in _NAMED
                             else _shown(value))  # fmt: skip
    return " ".join(parts)


def _is_number(values: Iterable[Any]) -> bool:
    known = [value for value in values if value is not None]
    return all(isinstance(value, int | float) for value in known)


def _share_values(names: Sequence[str], every: Sequence[Values]) -> bool:
    held = [{_shown(values.get(name)) for values in every} for name in names]
    return len(set().union(*held)) < sum(map(len, held))


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
