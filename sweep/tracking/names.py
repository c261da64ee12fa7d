"""Names of models as MLflow's charts can show them."""

from collections.abc import Iterable

LABEL = 10
"""The compare page merges labels that share so many first characters."""


def chart_names(aliases: Iterable[str]) -> dict[str, str]:
    """Per alias a name that no other one shares its first :data:`LABEL` characters with.

    Mostly the alias itself. Where two collide (``pocket-gpt2``, ``pocket-gpt2-large``), all aliases
    lose the first word that these share; where that does not help, a number comes first.
    """
    names = {alias: alias for alias in sorted(set(aliases))}
    while clashing := _clashing(names):
        words = {names[alias].partition("-")[0] for alias in clashing}
        shorter = {alias: _without_first(name, words) for alias, name in names.items()}
        if len(set(shorter.values())) < len(names) or shorter == names:
            return names | {
                alias: f"{number}-{names[alias]}" for number, alias in enumerate(clashing, 1)
            }
        names = shorter
    return names


def _clashing(names: dict[str, str]) -> list[str]:
    labels = [name[:LABEL] for name in names.values()]
    return [alias for alias, name in names.items() if labels.count(name[:LABEL]) > 1]


def _without_first(name: str, words: set[str]) -> str:
    first, _, rest = name.partition("-")
    return rest if rest and first in words else name
