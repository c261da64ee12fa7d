"""From the YAML of one setting to its domain, and the domain's JSON Schema.

Every mistake is one sentence: the path, what was found, what is allowed.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

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
from trainables.errors import InputError, nearest, show

RANGE_KEYS = ("low", "high", "log", "step", "int")
CHOICES_KEY = "choices"
NAMED_KEY = "domain"
_MOST_VALUES = 1000
_LARGEST_WHOLE = 2**53
"""Whole numbers up to here are the same as floats, which is how a sampler handles them."""

_FORMS = (
    "a value, a list of values, {choices: [...]}, {low, high, log, step, int} or {domain: NAME}"
)


@dataclass(frozen=True)
class Kind:
    """What values a setting takes.

    Attributes:
        typed: checks one value, given its path, and gives it back in its own type.
        number: ``int``, ``float`` or None for a setting that is no number.
        listed: whether a plain list means choices; not where the setting's value is a list.
    """

    typed: Callable[[Any, str], Any]
    number: type[int] | type[float] | None = None
    listed: bool = True


@dataclass(frozen=True)
class DomainParser:
    """Reads domains; knows the named ones.

    Attributes:
        named: the spec's section ``domains``, not checked: a named domain is checked where it is
            used, against the setting it is used for.
    """

    named: Mapping[str, Any] = field(default_factory=dict)

    def parse(self, value: Any, path: str, kind: Kind) -> Domain:
        """The domain of one setting.

        Args:
            value: what the spec says.
            path: where it says so.
            kind: what values the setting takes.

        Raises:
            InputError: one sentence on the first mistake.
        """
        if isinstance(value, Mapping) and NAMED_KEY in value:
            return self._parse_own(*self._look_up(value, path), kind)
        return self._parse_own(value, path, kind)

    def _look_up(self, value: Mapping[Any, Any], path: str) -> tuple[Any, str]:
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
                " {choices: [...]} or {low, high, log, step, int}"
            )
        return found, f"{path} (domains.{name})"

    def _parse_own(self, value: Any, path: str, kind: Kind) -> Domain:
        if isinstance(value, Mapping):
            return self._mapping(value, path, kind)
        if isinstance(value, list) and kind.listed:
            return self._choices(value, path, kind)
        return Fixed(canonical_scalar(kind.typed(value, path)))

    def _mapping(self, value: Mapping[Any, Any], path: str, kind: Kind) -> Domain:
        if CHOICES_KEY in value:
            further = [key for key in value if key != CHOICES_KEY]
            if further:
                raise InputError(
                    f"{path}: found {show(further[0])} beside {CHOICES_KEY};"
                    f" allowed: {CHOICES_KEY} alone; a range may be one of the choices"
                )
            return self._choices(value[CHOICES_KEY], f"{path}.{CHOICES_KEY}", kind)
        for key in value:
            if key not in RANGE_KEYS:
                known = (*RANGE_KEYS, CHOICES_KEY, NAMED_KEY)
                raise InputError(
                    f"{path}: unknown key {show(key)}{nearest(key, known)}; allowed: {_FORMS}"
                )
        return parse_range(value, path, kind)

    def _choices(self, values: Any, path: str, kind: Kind) -> Domain:
        if not isinstance(values, list) or not values:
            raise InputError(f"{path}: found {show(values)}; allowed: a list of at least one value")
        ranges: list[Range] = []
        plain: list[Any] = []
        for index, value in enumerate(values):
            here = f"{path}[{index}]"
            if not isinstance(value, Mapping):
                plain.append(canonical_scalar(kind.typed(value, here)))
            elif ranges:
                raise InputError(f"{here}: found a second range; allowed: one range in a list")
            else:
                ranges.append(parse_range(value, here, kind))
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


def parse_range(value: Mapping[Any, Any], path: str, kind: Kind) -> Range:
    """The range ``{low, high, log, step, int}``.

    Raises:
        InputError: one sentence on the first mistake.
    """
    if kind.number is None:
        raise InputError(
            f"{path}: found a range; allowed: a value or a list of values, as this is no number"
        )
    for key in value:
        if key not in RANGE_KEYS:
            raise InputError(
                f"{path}: unknown key {show(key)}{nearest(key, RANGE_KEYS)};"
                f" allowed: {', '.join(RANGE_KEYS)}"
            )
    whole = _whole(value, path, kind)
    low, high = (_end(value, key, path, kind) for key in ("low", "high"))
    if low >= high:
        raise InputError(
            f"{path}: found low {show(low)} and high {show(high)};"
            " allowed: a low that is below high (a single value is written without a range)"
        )
    log = _flag(value, "log", path)
    if log and low <= 0:
        raise InputError(
            f"{path}.low: found {show(low)}; allowed: a number above 0, as log is true"
        )
    step = _step(value, path, whole)
    if step is not None and log and not (whole and step == 1):
        raise InputError(f"{path}.step: found {show(step)}; allowed: no step where log is true")
    if step is not None:
        high = _last_on_grid(low, high, step, whole, path)
    return Range(low, high, log, step, whole)


def _whole(value: Mapping[Any, Any], path: str, kind: Kind) -> bool:
    whole = kind.number is int
    if "int" in value and _flag(value, "int", path) != whole:
        allowed = "true, as this is a whole number" if whole else "false, or step: 1 for whole ones"
        raise InputError(f"{path}.int: found {show(value['int'])}; allowed: {allowed}")
    return whole


def _end(value: Mapping[Any, Any], key: str, path: str, kind: Kind) -> Any:
    here = f"{path}.{key}"
    if key not in value:
        raise InputError(f"{here}: missing; allowed: a number, as a range has a low and a high")
    if not _is_number(value[key], whole=kind.number is int):
        what = "a whole number" if kind.number is int else "a finite number"
        raise InputError(f"{here}: found {show(value[key])}; allowed: {what}")
    end = canonical_scalar(kind.typed(value[key], here))
    if kind.number is int and abs(end) > _LARGEST_WHOLE:
        raise InputError(f"{here}: found {show(end)}; allowed: from -2^53 to 2^53")
    return end


def _flag(value: Mapping[Any, Any], key: str, path: str) -> bool:
    found = value.get(key, False)
    if not isinstance(found, bool):
        raise InputError(f"{path}.{key}: found {show(found)}; allowed: true or false")
    return found


def _step(value: Mapping[Any, Any], path: str, whole: bool) -> Any:
    step = value.get("step")
    if step is None:
        return 1 if whole else None
    if not _is_number(step, whole) or step <= 0:
        what = "a whole number of at least 1" if whole else "a finite number above 0"
        raise InputError(f"{path}.step: found {show(step)}; allowed: {what}, or none")
    return step if whole else rounded(step)


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


def _is_number(value: Any, whole: bool = False) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _inside(numbers: Range, value: Any) -> bool:
    return _is_number(value) and bool(numbers.low <= value <= numbers.high)


def without_domains(value: Any, path: str, domains: Mapping[str, Any]) -> Any:
    """What a grid reads for one setting: named domains, choices and stepped ranges as lists.

    Args:
        value: what the spec says.
        path: where it says so.
        domains: the section ``domains``, a mapping.

    Raises:
        InputError: no such domain, or a range that has no end of values.
    """
    if not isinstance(value, Mapping):
        return value
    if NAMED_KEY in value:
        value, path = DomainParser(domains)._look_up(value, path)
    if not isinstance(value, Mapping):
        return value
    if set(value) == {CHOICES_KEY}:
        return value[CHOICES_KEY]
    if not set(value) & set(RANGE_KEYS):
        return value
    whole = all(isinstance(value.get(key), int) for key in ("low", "high", "step"))
    found = parse_range(value, path, Kind(lambda item, where: item, int if whole else float))
    if found.size is None or found.size > _MOST_VALUES:
        raise InputError(
            f"{path}: found a range of {found.size or 'all numbers'}; allowed: a list of values or"
            f" a range with a step of at most {_MOST_VALUES} values, or a section search"
        )
    return [found.at(index) for index in range(found.size)]


def range_schema(number: type[int] | type[float]) -> dict[str, Any]:
    """JSON Schema of ``{low, high, log, step, int}``."""
    what = {"type": "integer" if number is int else "number"}
    least = {"minimum": 1} if number is int else {"exclusiveMinimum": 0}
    return {
        "type": "object",
        "description": "a number from low to high, both included",
        "properties": {
            "low": what,
            "high": what,
            "log": {"type": "boolean", "description": "search the logarithm; low above 0"},
            "step": {**what, **least, "description": "keep to low, low + step, …"},
            "int": {"const": number is int},
        },
        "required": ["low", "high"],
        "additionalProperties": False,
    }


def setting_schema(
    value: Mapping[str, Any], number: type[int] | type[float] | None = None, listed: bool = True
) -> dict[str, Any]:
    """JSON Schema of all that a spec may write for one setting.

    Args:
        value: schema of a single value.
        number: ``int`` or ``float`` where it may be a range.
        listed: whether a plain list means choices.
    """
    ranges = [] if number is None else [range_schema(number)]
    one = {"anyOf": [dict(value), *ranges]} if ranges else dict(value)
    several = {"type": "array", "items": one, "minItems": 1}
    return {
        "anyOf": [
            dict(value),
            *([several] if listed else []),
            _closed(CHOICES_KEY, several),
            *ranges,
            _closed(NAMED_KEY, {"type": "string"}),
        ]
    }


def _closed(key: str, content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {key: dict(content)},
        "required": [key],
        "additionalProperties": False,
    }
