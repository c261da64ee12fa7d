"""``pairs``: which sources are tuned together.

Written in a spec as ``all`` (every two sources; none where there is one source), a list of lists of
sources (``[]`` for none), or patterns: ``A+B*`` is every set of sources of which one matches ``A``
and another one ``B*`` (``*``, ``?`` and ``[]`` as in file names).
"""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import combinations, product
from typing import Any

from trainables.errors import InputError, listed, nearest, show

ALL = "all"
Pairs = str | tuple[tuple[str, ...] | str, ...]
"""A checked value: the word ``all``, or source sets and patterns."""


def parse_pairs(value: Any) -> Pairs:
    """Check the value of a spec; its names are not looked up.

    Raises:
        ValueError: it is none of the forms; the text says why where that is not plain.
    """
    if value == ALL:
        return ALL
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list):
        raise ValueError
    found: list[tuple[str, ...] | str] = []
    for item in items:
        checked = _pattern(item) if isinstance(item, str) else _named(item)
        if any(_same(checked, other) for other in found):
            name = checked if isinstance(checked, str) else " + ".join(checked)
            raise ValueError(f"the pair {name} stands there twice")
        found.append(checked)
    return tuple(found)


def _named(item: Any) -> tuple[str, ...]:
    if not isinstance(item, list) or not all(isinstance(name, str) for name in item):
        raise ValueError
    if len(item) < 2 or len(set(item)) < len(item):
        raise ValueError
    return tuple(item)


def _pattern(item: str) -> str:
    parts = [part.strip() for part in item.split("+")]
    if len(parts) < 2 or not all(parts):
        raise ValueError
    return "+".join(parts)


def _same(one: tuple[str, ...] | str, other: tuple[str, ...] | str) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return set(one) == set(other)


def expand_pairs(pairs: Pairs, sources: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The source sets that a value stands for, in the spec's own names, none twice.

    Args:
        pairs: a checked value.
        sources: the spec's sources.

    Raises:
        InputError: a name is no source, or a pattern fits none.
    """
    if isinstance(pairs, str):
        return tuple(combinations(sources, 2))
    found: dict[frozenset[str], tuple[str, ...]] = {}
    for index, item in enumerate(pairs):
        if isinstance(item, str):
            sets = list(_matching(item, sources))
            if not sets:
                raise InputError(
                    f"pairs[{index}]: no two sources match {show(item)};"
                    f" allowed: patterns of the sources {listed(sources, item)}"
                )
        else:
            _check_named(item, sources, f"pairs[{index}]")
            sets = [item]
        for names in sets:
            found.setdefault(frozenset(names), names)
    return tuple(found.values())


def _matching(pattern: str, sources: Sequence[str]) -> Iterator[tuple[str, ...]]:
    fitting = [[name for name in sources if fnmatchcase(name, part)] for part in pattern.split("+")]
    return (names for names in product(*fitting) if len(set(names)) == len(names))


def _check_named(item: Sequence[str], sources: Sequence[str], path: str) -> None:
    for name in item:
        if name not in sources:
            raise InputError(
                f"{path}: found {show(name)}{nearest(name, sources)};"
                f" allowed: the sources {listed(sources, name)}"
            )
