"""The ``methods`` section: per method its recipe, its settings and what its family adds.

Soft methods have weights λ, hard ones counterparts.

Some settings are axes: a list of values in the spec stands for one combination of settings each.
Settings are checked against the fields of the method's dataclass in
:data:`trainables.core.registries.METHODS`: a new method needs no change here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, get_type_hints

from sweep.spec.pairs import Counterparts, parse_counterparts
from trainables.core.cells import content_hash
from trainables.core.registries import METHODS
from trainables.core.settings import (
    HardSettings,
    SoftSettings,
    TransferSettings,
    axes,
    fitted_defaults,
    fitting,
    stored,
)
from trainables.core.settings.base import Share
from trainables.core.weight import ANNEALING, INDEPENDENT, Weight
from trainables.errors import InputError, check_known, nearest, show
from trainables.files.validation import allowed, checked, model_of, typed
from trainables.recipes import recipe_names, with_recipe

LAMBDA = SoftSettings.family_key
COUNTERPARTS = HardSettings.family_key
RECIPE = "recipe"
WeightValue = Share | Literal["annealing"]
"""One value of ``lambda``."""
_LAMBDA_ALLOWED = f"a list of numbers in [0, 1] and the word {ANNEALING}, none twice"


@dataclass(frozen=True)
class MethodSpec:
    """One entry of ``methods``.

    Attributes:
        name: key of ``METHODS``.
        weights: of a soft method, the entries of ``lambda`` in the order written; [0] by default.
        variants: instances of the method's settings dataclass, one for each combination of the
            axes that the spec lists values for; mostly one.
        counterparts: of a hard method, see :mod:`sweep.spec.pairs`.
    """

    name: str
    weights: tuple[Weight, ...]
    variants: tuple[Any, ...]
    counterparts: Counterparts = "others"


def parse_method(name: Any, section: Any) -> MethodSpec:
    """Check one entry of ``methods``.

    Raises:
        InputError: unknown method, misspelt key or a value that is not allowed; the sentence starts
            with the field's path.
    """
    where = f"methods.{name}"
    if name not in METHODS:
        raise InputError(
            f"unknown method {show(name)}{nearest(name, METHODS)}; allowed: {', '.join(METHODS)}"
        )
    if section is None:  # `soft:` with nothing below it means all defaults
        section = {}
    if not isinstance(section, Mapping):
        raise InputError(f"{where}: found {show(section)}; allowed: a mapping of settings")
    settings = dict(section)
    weights: tuple[Weight, ...] = (INDEPENDENT,)
    counterparts: Counterparts = "others"
    cls = METHODS[name]
    own = cls.family_key
    if own == LAMBDA:
        weights = _weights(settings.pop(LAMBDA, [0]), f"{where}.{LAMBDA}")
        need_geometry(cls, any(weight.joint for weight in weights), f"{where}.{LAMBDA}")
        joint = [weight.written for weight in weights if weight.joint]
        if joint and cls.heads:
            raise InputError(
                f"{where}.{LAMBDA}: found {show(joint[0])}; allowed: [0], as its heads read one"
                " model's own states and prompts tuned jointly have nothing to align them by"
            )
    else:
        wish = settings.pop(COUNTERPARTS, "others")
        counterparts = parse_counterparts(wish, f"{where}.{COUNTERPARTS}")
    recipe = settings.pop(RECIPE, None)
    if recipe is not None:
        check_known(recipe, recipe_names(name), f"{where}.{RECIPE}", further=", or null")
    settings = with_recipe(name, recipe, settings)
    variants = [
        check_settings(cls, values, where, (own, RECIPE))
        for values in _combinations(cls, settings, where)
    ]
    # Combinations that differ only in what the rest of them does not read are one.
    distinct: dict[str, Any] = {}
    for item in variants:
        distinct.setdefault(content_hash(stored(item)), item)
    return MethodSpec(str(name), weights, tuple(distinct.values()), counterparts)


def need_geometry(cls: Any, joint: bool, path: str) -> None:
    """Refuse λ above 0 in a method whose prompts have nothing that it could align.

    Args:
        joint: whether any weight is, or may be, above 0.

    Raises:
        InputError: it is, in such a method.
    """
    if joint and not getattr(cls, "joint", True):
        raise InputError(
            f"{path}: found a weight above 0; allowed: 0, as the alignment loss compares vectors"
            " with word embeddings and keys and values of layers have none to be compared with"
        )


def parse_transfer(value: Any) -> tuple[TransferSettings, ...]:
    """The ways of transfer of a spec: a mapping or a list of them; listed values are combined.

    Raises:
        InputError: misspelt key, a value that is not allowed, or two ways that are the same.
    """
    entries = value if isinstance(value, list) else [value]
    found: list[TransferSettings] = []
    for index, entry in enumerate(entries):
        where = f"transfer[{index}]" if isinstance(value, list) else "transfer"
        if not isinstance(entry, Mapping):
            raise InputError(f"{where}: found {show(entry)}; allowed: a mapping of settings")
        for values in _combinations(TransferSettings, entry, where):
            way = check_settings(TransferSettings, values, where)
            if stored(way) in [stored(other) for other in found]:
                raise InputError(
                    f"{where}: the solver {way.solver} stands there twice with the same settings;"
                    " allowed: each way once"
                )
            found.append(way)
    return tuple(found)


def _combinations(
    cls: type[Any], settings: Mapping[Any, Any], where: str
) -> Iterator[dict[Any, Any]]:
    """One mapping for each combination of the values listed for axes, in the order written."""
    hints = get_type_hints(cls, include_extras=True)
    listed = {
        name: _listed(hints[name], settings[name], f"{where}.{name}")
        for name in axes(cls)
        if isinstance(settings.get(name), list)
    }
    for values in product(*listed.values()):
        chosen = {**settings, **dict(zip(listed, values, strict=True))}
        yield fitting(cls, chosen, listed.get("init", ()))


def _listed(hint: Any, values: list[Any], path: str) -> list[Any]:
    if not values:
        raise InputError(f"{path}: found []; allowed: {allowed(hint)}, or a list of them")
    found: list[Any] = []
    for index, value in enumerate(values):
        item = typed(hint, value, f"{path}[{index}]")
        if item in found:
            raise InputError(
                f"{path}[{index}]: {show(value)} stands there twice; allowed: each value once"
            )
        found.append(item)
    return found


def check_settings(
    cls: Any, values: Mapping[Any, Any], where: str = "", further: tuple[str, ...] = ()
) -> Any:
    """An instance of a settings dataclass from a spec's mapping.

    Args:
        where: path of the section, put before each message.
        further: keys of the section that are no settings, named among the allowed ones.

    Raises:
        InputError: misspelt key, wrong type or value out of range.
    """
    given = checked(model_of(cls), values, where, further)
    try:
        return cls(**fitted_defaults(cls, given))
    except InputError as error:
        raise InputError(f"{where}.{error}" if where else str(error)) from None


def _weights(value: Any, path: str) -> tuple[Weight, ...]:
    items = value if isinstance(value, list) else [value]
    if not items or (_weight(items[0]) is None and items is not value):
        raise InputError(f"{path}: found {show(value)}; allowed: {_LAMBDA_ALLOWED}")
    found: list[Weight] = []
    for index, item in enumerate(items):
        weight = _weight(item)
        if weight is None:
            raise InputError(
                f"{path}[{index}]: found {show(item)};"
                f" allowed: a number in [0, 1], or the word {ANNEALING}"
            )
        if weight in found:
            raise InputError(
                f"{path}[{index}]: {show(item)} stands there twice; allowed: {_LAMBDA_ALLOWED}"
            )
        found.append(weight)
    return tuple(found)


def _weight(item: Any) -> Weight | None:
    try:
        return Weight.of(item)
    except ValueError:
        return None
