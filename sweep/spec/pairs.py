"""Which models go together: ``pairs`` of sources, and ``counterparts`` of hard prompts.

``pairs`` are written as ``all`` (every two sources; none where there is one source), a list of
lists of sources (``[]`` for none), or patterns: ``A+B*`` is every set of sources of which one
matches ``A`` and another one ``B*`` (``*``, ``?`` and ``[]`` as in file names).

``counterparts``, the models that decide beside a source over the words of a hard prompt, are
written as ``others`` (each other source by itself), ``together`` (all other sources at once), a
list of models or of lists of models (each for every source that is not in it), or a mapping of
sources to such lists.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import combinations, product
from typing import Any

from trainables.errors import InputError, check_known, listed, show

_COUNTERPARTS = (
    "others, together, a list of models (or of lists of models), or a mapping of sources to such"
    " lists"
)
Group = tuple[str, ...]
Counterparts = str | tuple[Group, ...] | Mapping[str, tuple[Group, ...]]
"""A checked value: one of the two words, groups for every source, or groups by source."""
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
            for name in item:
                check_known(name, sources, f"pairs[{index}]", "the sources ")
            sets = [item]
        for names in sets:
            found.setdefault(frozenset(names), names)
    return tuple(found.values())


def _matching(pattern: str, sources: Sequence[str]) -> Iterator[tuple[str, ...]]:
    fitting = [[name for name in sources if fnmatchcase(name, part)] for part in pattern.split("+")]
    return (names for names in product(*fitting) if len(set(names)) == len(names))


def parse_counterparts(value: Any, path: str) -> Counterparts:
    """Check the value of a spec; its names are not looked up.

    Raises:
        InputError: it is none of the four forms.
    """
    if value in ("others", "together"):
        return str(value)
    if isinstance(value, Mapping) and value:
        return {
            _name(source, path): _groups(groups, f"{path}.{source}")
            for source, groups in value.items()
        }
    if isinstance(value, list):
        return _groups(value, path)
    raise InputError(f"{path}: found {show(value)}; allowed: {_COUNTERPARTS}")


def _groups(value: Any, path: str) -> tuple[Group, ...]:
    if not isinstance(value, list) or not value:
        raise InputError(f"{path}: found {show(value)}; allowed: {_COUNTERPARTS}")
    groups = tuple(_group(item, f"{path}[{index}]") for index, item in enumerate(value))
    for index, group in enumerate(groups):
        if set(group) in map(set, groups[:index]):
            raise InputError(
                f"{path}[{index}]: {'+'.join(group)} stands there twice; allowed: each once"
            )
    return groups


def _group(value: Any, path: str) -> Group:
    names = value if isinstance(value, list) and value else [value]
    group = tuple(_name(name, path) for name in names)
    if len(set(group)) < len(group):
        raise InputError(f"{path}: found {show(value)}; allowed: different models")
    return group


def _name(value: Any, path: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{path}: found {show(value)}; allowed: {_COUNTERPARTS}")
    return value


def names_of(value: Counterparts) -> Iterator[str]:
    """Every model that a value names itself as a counterpart."""
    if isinstance(value, str):
        return
    groups = [value] if isinstance(value, tuple) else value.values()
    for members in groups:
        for group in members:
            yield from group


def groups_by_source(
    value: Counterparts, sources: Sequence[str], alias: Callable[[str], str], path: str
) -> dict[str, tuple[Group, ...]]:
    """Groups of counterparts of every source, as aliases.

    Args:
        sources: aliases of the sources.
        alias: alias of a name in the spec.

    Returns:
        By source; no group holds its source.

    Raises:
        InputError: a source is its own counterpart or has none, or a name is no source.
    """
    if isinstance(value, Mapping):
        return _mapped(value, sources, alias, path)
    found = {}
    for source in sources:
        others = tuple(name for name in sources if name != source)
        groups: tuple[Group, ...]
        if value == "others":
            groups = tuple((name,) for name in others)
        elif value == "together":
            groups = (others,) if others else ()
        else:
            named = [tuple(map(alias, group)) for group in value]
            groups = tuple(group for group in named if source not in group)
        if not groups:
            raise InputError(
                f"{path}: source {source} has no counterpart but itself; allowed: {_COUNTERPARTS},"
                " with another model for each source"
            )
        found[source] = groups
    return found


def _mapped(
    value: Mapping[str, tuple[Group, ...]],
    sources: Sequence[str],
    alias: Callable[[str], str],
    path: str,
) -> dict[str, tuple[Group, ...]]:
    found = {}
    for name, groups in value.items():
        source = alias(name)
        check_known(source, sources, path, "the sources ")
        found[source] = tuple(tuple(map(alias, group)) for group in groups)
        if any(source in group for group in found[source]):
            raise InputError(
                f"{path}.{name}: {source} is its own counterpart; allowed: other models"
            )
    missing = [source for source in sources if source not in found]
    if missing:
        raise InputError(
            f"{path}: source {missing[0]} has no counterpart; allowed: an entry for each source"
        )
    return found
