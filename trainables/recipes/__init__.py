"""Recipes: named sets of a method's settings, one small YAML file each, ``METHOD/NAME.yaml``.

A recipe is no setting of its own: it stands for its values, which a spec's own keys override, and
only the values that result enter any hash.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from trainables.core.registries import METHODS
from trainables.errors import InputError
from trainables.files.strict_yaml import load_yaml
from trainables.files.text_files import read_text

_FOLDER = Path(__file__).parent


def recipe_names(method: str) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (_FOLDER / method).glob("*.yaml")))


def recipe(method: str, name: str) -> dict[str, Any]:
    """The settings a recipe names.

    Raises:
        InputError: the method has no such recipe.
    """
    names = recipe_names(method)
    if name not in names:
        allowed = ", ".join(names) or "none, this method has no recipes"
        raise InputError(f"recipe: found {name!r}; allowed: {allowed}")
    return dict(_read(_FOLDER / method / f"{name}.yaml"))


@cache
def _read(path: Path) -> Mapping[str, Any]:
    values: Mapping[str, Any] = load_yaml(read_text(path, str(path)), str(path))
    return values


def with_recipe(method: str, name: str | None, own: Mapping[Any, Any]) -> dict[Any, Any]:
    """Settings of a recipe, overridden by those a spec names itself.

    Of two settings that exclude each other (steps and epochs) the spec's replaces the recipe's. A
    recipe's number of evaluations shrinks to the steps that the spec gives.

    Args:
        method: key of ``METHODS``.
        name: of the recipe; None for none.
        own: the spec's settings, not checked yet.

    Returns:
        The mapping to be checked; the order of ``own`` does not matter.

    Raises:
        InputError: as :func:`recipe`.
    """
    if name is None:
        return dict(own)
    values = recipe(method, name)
    for key, other in METHODS[method].INSTEAD.items():
        if own.get(key) is not None:
            values.pop(other, None)
    steps = own.get("steps")
    if isinstance(steps, int) and "evaluations" in values:
        values["evaluations"] = max(1, min(values["evaluations"], steps))
    return {**values, **own}
