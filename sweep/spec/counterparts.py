"""``counterparts``: the models that decide beside a source over the words of a hard prompt.

Written in a spec as ``others`` (each other source by itself), ``together`` (all other sources at
once), a list of models or of lists of models (each for every source that is not in it), or a
mapping of sources to such lists.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from trainables.errors import InputError, listed, nearest, show

ALLOWED = (
    "others, together, a list of models (or of lists of models), or a mapping of sources to such"
    " lists"
)
Group = tuple[str, ...]
Wish = str | tuple[Group, ...] | Mapping[str, tuple[Group, ...]]
"""A checked value: one of the two words, groups for every source, or groups by source."""


def parse_counterparts(value: Any, path: str) -> Wish:
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
    raise InputError(f"{path}: found {show(value)}; allowed: {ALLOWED}")


def _groups(value: Any, path: str) -> tuple[Group, ...]:
    if not isinstance(value, list) or not value:
        raise InputError(f"{path}: found {show(value)}; allowed: {ALLOWED}")
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
        raise InputError(f"{path}: found {show(value)}; allowed: {ALLOWED}")
    return value


def names_of(wish: Wish) -> Iterator[str]:
    """Every model that a value names itself as a counterpart."""
    if isinstance(wish, str):
        return
    groups = [wish] if isinstance(wish, tuple) else wish.values()
    for members in groups:
        for group in members:
            yield from group


def groups_by_source(
    wish: Wish, sources: Sequence[str], alias: Callable[[str], str], path: str
) -> dict[str, tuple[Group, ...]]:
    """Groups of counterparts of every source, as aliases.

    Args:
        wish: the checked value.
        sources: aliases of the sources.
        alias: alias of a name in the spec.
        path: put before messages.

    Returns:
        By source; no group holds its source.

    Raises:
        InputError: a source is its own counterpart or has none, or a name is no source.
    """
    if isinstance(wish, Mapping):
        return _mapped(wish, sources, alias, path)
    found = {}
    for source in sources:
        others = tuple(name for name in sources if name != source)
        groups: tuple[Group, ...]
        if wish == "others":
            groups = tuple((name,) for name in others)
        elif wish == "together":
            groups = (others,) if others else ()
        else:
            named = [tuple(map(alias, group)) for group in wish]
            groups = tuple(group for group in named if source not in group)
        if not groups:
            raise InputError(
                f"{path}: source {source} has no counterpart but itself; allowed: {ALLOWED},"
                " with another model for each source"
            )
        found[source] = groups
    return found


def _mapped(
    wish: Mapping[str, tuple[Group, ...]],
    sources: Sequence[str],
    alias: Callable[[str], str],
    path: str,
) -> dict[str, tuple[Group, ...]]:
    found = {}
    for name, groups in wish.items():
        source = alias(name)
        if source not in sources:
            raise InputError(
                f"{path}: found {show(name)}{nearest(source, sources)};"
                f" allowed: the sources {listed(sources, source)}"
            )
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
