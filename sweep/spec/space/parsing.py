"""From the YAML of a search to its space, and the JSON Schema of what may stand there.

Every mistake is one sentence: the path, what was found, what is allowed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice, product
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge
from pydantic import BaseModel, create_model

from sweep.spec.methods import (
    COUNTERPARTS,
    LAMBDA,
    RECIPE,
    WeightValue,
    need_geometry,
    parse_method,
)
from sweep.spec.space.domains import (
    Choices,
    Domain,
    Fixed,
    Mixed,
    Range,
    canonical_value,
    label_of,
    rounded,
    unique_labels,
)
from sweep.spec.space.space import MethodSpace, Space
from trainables.core.registries import METHODS
from trainables.core.settings.base import Positive
from trainables.errors import InputError, listed, nearest, show
from trainables.files.validation import STRICT, checked, model_of, schema_of, typed

CHOICES_KEY = "choices"
NAMED_KEY = "domain"
Pairs = Sequence[Sequence[str]]
_MOST_VALUES = 1000
_MOST_CORNERS = 2000
_LARGEST_WHOLE = 2**53
"""Whole numbers up to here are the same as floats, which is how a sampler handles them."""
_RANGE = "{low, high, log, step, int}"
_FORMS = f"a value, a list of values, {{choices: [...]}}, {_RANGE} or {{domain: NAME}}"


@cache
def range_model(number: Any) -> type[BaseModel]:
    """What a spec writes for a range of numbers of this annotated type."""
    whole = _bare(number) is int
    step: Any = Annotated[int, Ge(1)] if whole else Positive
    return create_model(
        "Range",
        __config__=STRICT,
        low=(number, ...),
        high=(number, ...),
        log=(bool, False),
        step=(step | None, None),
        int=(Literal[True] if whole else Literal[False], whole),
    )


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def number_in(hint: Any) -> Any:
    """The number among a setting's types, with its bounds; None where there is none."""
    return next((part for part in _members(hint) if _bare(part) in (int, float)), None)


def is_list(hint: Any) -> bool:
    """Whether the setting itself is a list, so that a list in the spec is one value."""
    return any(get_origin(_bare(part)) is tuple for part in _members(hint))


@dataclass(frozen=True)
class DomainParser:
    """Reads domains; knows the named ones.

    Attributes:
        named: the spec's section ``domains``, not checked: a named domain is checked where it is
            used, against the setting it is used for.
    """

    named: Mapping[str, Any] = field(default_factory=dict)

    def parse(self, value: Any, path: str, hint: Any) -> Domain:
        """The domain of one setting.

        Args:
            hint: the annotated type of the setting.

        Raises:
            InputError: one sentence on the first mistake.
        """
        if isinstance(value, Mapping) and NAMED_KEY in value:
            return self._parse_own(*self.look_up(value, path), hint)
        return self._parse_own(value, path, hint)

    def look_up(self, value: Mapping[Any, Any], path: str) -> tuple[Any, str]:
        """What ``{domain: NAME}`` stands for, and the path of that."""
        further = [key for key in value if key != NAMED_KEY]
        if further:
            raise InputError(
                f"{path}: found {show(further[0])} beside {NAMED_KEY};"
                f" allowed: {NAMED_KEY} alone, the domain of that name says the rest"
            )
        name = value[NAMED_KEY]
        if not isinstance(name, str) or name not in self.named:
            known = ", ".join(self.named) or "none, the spec has no section domains"
            raise InputError(
                f"{path}.{NAMED_KEY}: found {show(name)}{nearest(name, self.named)};"
                f" allowed: {known}"
            )
        found = self.named[name]
        if isinstance(found, Mapping) and NAMED_KEY in found:
            raise InputError(
                f"domains.{name}: found another {NAMED_KEY}; allowed: a list of values,"
                f" {{choices: [...]}} or {_RANGE}"
            )
        return found, f"{path} (domains.{name})"

    def _parse_own(self, value: Any, path: str, hint: Any) -> Domain:
        if isinstance(value, Mapping):
            return self._mapping(value, path, hint)
        if isinstance(value, list) and not is_list(hint):
            return self._choices(value, path, hint)
        return Fixed(canonical_scalar(typed(hint, value, path)))

    def _mapping(self, value: Mapping[Any, Any], path: str, hint: Any) -> Domain:
        if CHOICES_KEY in value:
            further = [key for key in value if key != CHOICES_KEY]
            if further:
                raise InputError(
                    f"{path}: found {show(further[0])} beside {CHOICES_KEY};"
                    f" allowed: {CHOICES_KEY} alone; a range may be one of the choices"
                )
            return self._choices(value[CHOICES_KEY], f"{path}.{CHOICES_KEY}", hint)
        known = (*range_model(float).model_fields, CHOICES_KEY, NAMED_KEY)
        for key in value:
            if key not in known:
                raise InputError(
                    f"{path}: unknown key {show(key)}{nearest(key, known)}; allowed: {_FORMS}"
                )
        return parse_range(value, path, hint)

    def _choices(self, values: Any, path: str, hint: Any) -> Domain:
        if not isinstance(values, list) or not values:
            raise InputError(f"{path}: found {show(values)}; allowed: a list of at least one value")
        ranges: list[Range] = []
        plain: list[Any] = []
        for index, value in enumerate(values):
            here = f"{path}[{index}]"
            if not isinstance(value, Mapping):
                plain.append(canonical_scalar(typed(hint, value, here)))
            elif ranges:
                raise InputError(f"{here}: found a second range; allowed: one range in a list")
            else:
                ranges.append(parse_range(value, here, hint))
        unique_labels(tuple(plain), path)
        if not ranges:
            return Fixed(plain[0]) if len(plain) == 1 else Choices(tuple(plain))
        return self._mixed(tuple(plain), ranges[0], path)

    def _mixed(self, plain: tuple[Any, ...], numbers: Range, path: str) -> Domain:
        for value in plain:
            if not isinstance(value, str) and value is not None and _inside(numbers, value):
                raise InputError(
                    f"{path}: found {show(value)}, which is in the range beside it; allowed: values"
                    " outside the range"
                )
        if any(label_of(value) == "range" for value in plain):
            raise InputError(f"{path}: found 'range' beside a range; allowed: any other value")
        return Mixed(plain, numbers) if plain else numbers


def canonical_scalar(value: Any) -> Any:
    """A checked value with rounded floats; a tuple stays one."""
    if isinstance(value, tuple):
        return tuple(canonical_scalar(item) for item in value)
    return canonical_value(value)


def parse_range(value: Mapping[Any, Any], path: str, hint: Any) -> Range:
    """The range ``{low, high, log, step, int}`` of a setting of this type.

    Raises:
        InputError: one sentence on the first mistake.
    """
    number = number_in(hint)
    if number is None:
        raise InputError(
            f"{path}: found a range; allowed: a value or a list of values, as this is no number"
        )
    given = checked(range_model(number), value, path)
    whole, log = _bare(number) is int, given.get("log", False)
    low, high = (canonical_scalar(given[key]) for key in ("low", "high"))
    for key, end in (("low", low), ("high", high)):
        if whole and abs(end) > _LARGEST_WHOLE:
            raise InputError(f"{path}.{key}: found {show(end)}; allowed: from -2^53 to 2^53")
    if low >= high:
        raise InputError(
            f"{path}: found low {show(low)} and high {show(high)};"
            " allowed: a low that is below high (a single value is written without a range)"
        )
    if log and low <= 0:
        raise InputError(
            f"{path}.low: found {show(low)}; allowed: a number above 0, as log is true"
        )
    step = canonical_scalar(given.get("step"))
    step = 1 if whole and step is None else step
    if step is not None and log and not (whole and step == 1):
        raise InputError(f"{path}.step: found {show(step)}; allowed: no step where log is true")
    if step is not None:
        high = _last_on_grid(low, high, step, whole, path)
    return Range(low, high, log, step, whole)


def _last_on_grid(low: Any, high: Any, step: Any, whole: bool, path: str) -> Any:
    """The largest low + n·step that is not above high."""
    steps = (high - low) // step if whole else math.floor((high - low) / step + 1e-9)
    if steps < 1:
        raise InputError(
            f"{path}.step: found {show(step)};"
            f" allowed: at most high − low ({show(canonical_value(high - low))})"
        )
    if steps >= _LARGEST_WHOLE:
        raise InputError(f"{path}.step: found {show(step)}; allowed: fewer than 2^53 steps")
    return low + steps * step if whole else rounded(low + steps * step)


def _inside(numbers: Range, value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and bool(numbers.low <= value <= numbers.high)


def without_domains(value: Any, path: str, domains: Mapping[str, Any]) -> Any:
    """What a grid reads for one setting: named domains, choices and stepped ranges as lists.

    Args:
        domains: the section ``domains``, a mapping.

    Raises:
        InputError: no such domain, or a range that has no end of values.
    """
    if not isinstance(value, Mapping):
        return value
    if NAMED_KEY in value:
        value, path = DomainParser(domains).look_up(value, path)
    if not isinstance(value, Mapping):
        return value
    if set(value) == {CHOICES_KEY}:
        return value[CHOICES_KEY]
    if not set(value) & set(range_model(float).model_fields):
        return value
    whole = all(isinstance(value.get(key), int) for key in ("low", "high", "step"))
    found = parse_range(value, path, int if whole else float)
    if found.size is None or found.size > _MOST_VALUES:
        raise InputError(
            f"{path}: found a range of {found.size or 'all numbers'}; allowed: a list of values or"
            f" a range with a step of at most {_MOST_VALUES} values, or a section search"
        )
    return [found.at(index) for index in range(found.size)]


def parse_space(methods: Any, pairs: Pairs | Mapping[str, Pairs], domains: Any = None) -> Space:
    """The space that a spec's sections stand for.

    Args:
        methods: the section ``methods``, as YAML gives it.
        pairs: what the sources may be: lists of aliases, checked already; by method where methods
            differ in that.
        domains: the section ``domains``: name to domain.

    Raises:
        InputError: one sentence on the first mistake; it starts with the path.
    """
    if not isinstance(methods, Mapping) or not methods:
        raise InputError(
            f"methods: found {show(methods)}; allowed: a mapping of method names"
            f" ({', '.join(METHODS)}) to their settings"
        )
    parser = DomainParser(named_domains(domains))
    spaces = {name: _method_space(name, section, parser) for name, section in methods.items()}
    if isinstance(pairs, Mapping):
        sources = {name: _sources(pairs[name], f"pairs of {name}") for name in spaces}
        return Space(spaces, sources, shared=False)
    shared = _sources(pairs, "pairs")
    return Space(spaces, dict.fromkeys(spaces, shared))


def named_domains(domains: Any) -> Mapping[str, Any]:
    """The section ``domains``, its form checked.

    Raises:
        InputError: it is no mapping of names to domains.
    """
    if domains is None:
        return {}
    if not isinstance(domains, Mapping):
        raise InputError(f"domains: found {show(domains)}; allowed: a mapping of names to domains")
    for name, domain in domains.items():
        if not isinstance(name, str):
            raise InputError(f"domains: found the name {show(name)}; allowed: text")
        if not isinstance(domain, Mapping | list):
            raise InputError(
                f"domains.{name}: found {show(domain)}; allowed: a list of values,"
                f" {{choices: [...]}} or {_RANGE}"
            )
    return domains


def _method_space(name: Any, section: Any, parser: DomainParser) -> MethodSpace:
    where = f"methods.{name}"
    section = {} if section is None else section
    if name not in METHODS or not isinstance(section, Mapping):
        parse_method(name, section)  # raises its own sentence
    hints = _hints(METHODS[name])
    weight = None
    found: dict[str, Domain] = {}
    own = METHODS[name].family_key
    for key, value in section.items():
        path = f"{where}.{key}"
        if key == own == COUNTERPARTS:
            raise InputError(
                f"{path}: found {show(value)}; allowed: nothing in a search, where pairs say which"
                " source is tuned on (the first) and which are its counterparts (the others)"
            )
        if key == own == LAMBDA:
            need_geometry(METHODS[name], value not in (0, [0]), path)
            weight = parser.parse(value, path, WeightValue)
        elif key in hints:
            found[key] = parser.parse(value, path, hints[key])
        elif key != RECIPE:
            known = ((LAMBDA,) if own == LAMBDA else ()) + (RECIPE, *hints)
            raise InputError(
                f"{where}: unknown key {show(key)}{nearest(key, known)};"
                f" allowed: {listed(known, key)}"
            )
    recipe = section.get(RECIPE)
    parse_method(name, {RECIPE: recipe})
    space = MethodSpace(str(name), recipe, found, weight)
    _check_corners(space)
    return space


def _hints(cls: Any) -> dict[str, Any]:
    """Annotated types of a method's settings by name."""
    hints = get_type_hints(cls, include_extras=True)
    return {name: hints[name] for name in model_of(cls).model_fields}


def _sources(pairs: Pairs, path: str) -> Domain:
    found = tuple(tuple(pair) for pair in pairs)
    if not found:
        raise InputError(f"{path}: found none; allowed: at least one list of sources")
    unique_labels(found, path)
    return Choices(found) if len(found) > 1 else Fixed(found[0])


def _check_corners(space: MethodSpace) -> None:
    """Refuse a value that is allowed with none of the others' ends.

    A search passes over settings that exclude each other; a value that goes with nothing is a
    mistake.
    """
    ends = {name: domain.ends for name, domain in space.domains.items()}
    for name, values in ends.items():
        others = {key: value for key, value in ends.items() if key != name}
        for value in values:
            _check_value(space, name, value, others)
    if not ends:
        space.settings({})


def _check_value(
    space: MethodSpace, name: str, value: Any, others: Mapping[str, tuple[Any, ...]]
) -> None:
    first: InputError | None = None
    for corner in islice(product(*others.values()), _MOST_CORNERS):
        try:
            space.settings({**dict(zip(others, corner, strict=True)), name: value})
        except InputError as error:
            first = first or error
        else:
            return
    if first is not None:
        raise first


def methods_schema() -> dict[str, Any]:
    """JSON Schema of the section ``methods``, domains and all."""
    return {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {name: _method_schema(cls) for name, cls in METHODS.items()},
    }


def domains_schema() -> dict[str, Any]:
    """JSON Schema of the section ``domains``; each is checked where it is used."""
    return {"type": ["object", "null"], "additionalProperties": {"type": ["object", "array"]}}


def _method_schema(cls: Any) -> dict[str, Any]:
    family = {LAMBDA: _setting_schema(WeightValue, schema_of(WeightValue)), COUNTERPARTS: {}}
    values = model_of(cls).model_json_schema()["properties"]
    own = {name: _setting_schema(hint, values[name]) for name, hint in _hints(cls).items()}
    return {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {
            RECIPE: {"type": ["string", "null"]},
            cls.family_key: family[cls.family_key],
            **own,
        },
    }


def _setting_schema(hint: Any, value: dict[str, Any]) -> dict[str, Any]:
    """JSON Schema of all that a spec may write for a setting, given that of one value."""
    number = number_in(hint)
    ranges = [] if number is None else [_range_schema(number)]
    several = {"type": "array", "items": {"anyOf": [value, *ranges]}, "minItems": 1}
    forms = [
        *([] if is_list(hint) else [several]),
        _single(CHOICES_KEY, several),
        *ranges,
        _single(NAMED_KEY, {"type": "string"}),
    ]
    return {"anyOf": [value, *forms]}


@cache
def _range_schema(number: Any) -> dict[str, Any]:
    return range_model(number).model_json_schema()


def _single(key: str, content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {key: dict(content)},
        "required": [key],
        "additionalProperties": False,
    }
