"""Domains: what a search may choose for one setting, as a spec writes it.

=================================  ===============================================================
in the spec                        what it stands for
=================================  ===============================================================
``0.5``, ``prefix``                a fixed value, no parameter of the search
``[5, 10, 20]``                    one of these (a grid axis of a plain sweep reads the same)
``{choices: [5, 10, 20]}``         the same; needed where the setting itself is a list
``{low: 0.001, high: 1}``          a number from low to high, both included; ``log: true``
                                   searches its logarithm, ``step`` keeps to low, low + step, …;
                                   ``int: true`` is said by the setting's type, may be left out
``[annealing, {low: 0, high: 1}]`` one of these, or a number from the range
``{domain: NAME}``                 the domain of that name in the spec's section ``domains``
=================================  ===============================================================

A domain reads its value from a :class:`Chooser`, which is a trial of the search, or a mapping of
known parameters: how a point comes about is written once, here and in
:mod:`sweep.spec.space.space`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from trainables.core.cells import content_hash
from trainables.errors import InputError

RANGE = "range"
"""Label that stands for the range in a :class:`Mixed` domain."""

_DIGITS = 12


def rounded(value: float) -> float:
    """``value`` to 12 significant digits, without a negative zero.

    The canonical form of floats in points and keys: 0.1 + 0.2 and 0.3 are one value. Rounding is
    monotone: a value stays between rounded bounds.
    """
    return float(f"{value:.{_DIGITS - 1}e}") + 0.0


def canonical_value(value: Any) -> Any:
    """``value`` with all floats rounded and tuples as lists, down to the last level."""
    if isinstance(value, float):
        return rounded(value)
    if isinstance(value, Mapping):
        return {str(key): canonical_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical_value(item) for item in value]
    return value


def label_of(value: Any) -> str:
    """The text by which the search knows a choice, as a reader of the journal wants to see it."""
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return " + ".join(label_of(item) for item in value)
    return "null" if value is None else str(canonical_value(value))


class MisfitError(ValueError):
    """A value that is not in its domain."""


class Chooser(Protocol):
    """Gives each parameter its value.

    Attributes:
        flat: whether parameters are chosen that the point does not use, too. Evolution, Gaussian
            processes and CMA-ES need all of them in every point.
    """

    flat: bool

    def number(self, name: str, domain: "Range") -> float:
        """A number of the range."""

    def label(self, name: str, labels: tuple[str, ...]) -> str:
        """One of the labels."""


class Domain(Protocol):
    """What may be chosen for one setting."""

    @property
    def size(self) -> int | None:
        """How many values there are; None where they are a continuum."""

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that are checked before a search starts: all choices, both ends of a range."""

    def choose(self, name: str, chooser: Chooser) -> Any:
        """The value that ``chooser`` takes under this parameter's name.

        Raises:
            MisfitError: what was taken is not in the domain.
        """

    def place(self, name: str, value: Any) -> dict[str, Any]:
        """The parameters that make :meth:`choose` give ``value``.

        Raises:
            MisfitError: the value is not in the domain.
        """

    def at(self, index: int) -> Any:
        """The value number ``index`` of a finite domain, in the order written."""

    def parameters(self, name: str) -> "dict[str, Range | Choices]":
        """The search's parameters by name; none for a fixed value."""

    def to_json(self) -> Any:
        """The domain as a spec would write it."""


@dataclass(frozen=True)
class Fixed:
    """A value that is not searched."""

    value: Any
    size = 1

    @property
    def ends(self) -> tuple[Any, ...]:
        return (self.value,)

    def choose(self, name: str, chooser: Chooser) -> Any:
        return self.value

    def place(self, name: str, value: Any) -> dict[str, Any]:
        if not _alike(canonical_value(value), canonical_value(self.value)):
            raise MisfitError(f"{name}: {value!r} is not {self.value!r}")
        return {}

    def at(self, index: int) -> Any:
        return self.value

    def parameters(self, name: str) -> "dict[str, Range | Choices]":
        return {}

    def to_json(self) -> Any:
        return canonical_value(self.value)


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``.

    Attributes:
        low: smallest value.
        high: largest value; on the grid of ``step``.
        log: whether the search works on the logarithm.
        step: distance of neighbours; None for a continuum.
        whole: whether values are whole numbers (type int).
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    @cached_property
    def size(self) -> int | None:
        if self.step is None:
            return None
        return round((self.high - self.low) / self.step) + 1

    @property
    def ends(self) -> tuple[Any, ...]:
        return (self.low, self.high)

    def choose(self, name: str, chooser: Chooser) -> Any:
        return self._clean(name, chooser.number(name, self))

    def place(self, name: str, value: Any) -> dict[str, Any]:
        clean = self._clean(name, value)
        if canonical_value(value) != clean:
            raise MisfitError(f"{name}: {value!r} is between two steps")
        return {name: clean}

    def at(self, index: int) -> Any:
        if self.step is None:
            raise MisfitError("a range without a step has no values to count")
        value = self.low + index * self.step
        return round(value) if self.whole else rounded(value)

    def parameters(self, name: str) -> "dict[str, Range | Choices]":
        return {name: self}

    def to_json(self) -> Any:
        found = {"low": self.low, "high": self.high, "log": self.log, "step": self.step}
        return {**found, "int": self.whole}

    def _clean(self, name: str, value: Any) -> Any:
        """The value in canonical form: rounded, of the right type and on the grid."""
        number = not isinstance(value, bool) and isinstance(value, int | float)
        if not number or not math.isfinite(value) or (self.whole and value != int(value)):
            raise MisfitError(f"{name}: {value!r} is no number of the range")
        if self.step is None:
            clean: Any = rounded(value)
        else:
            clean = self.at(round((value - self.low) / self.step))
            if self.whole and clean != value:
                raise MisfitError(f"{name}: {value!r} is between two steps")
        if not self.low <= clean <= self.high:
            raise MisfitError(f"{name}: {value!r} is not from {self.low} to {self.high}")
        return clean


@dataclass(frozen=True)
class Choices:
    """One of several values, whose labels differ."""

    values: tuple[Any, ...]

    @cached_property
    def labels(self) -> tuple[str, ...]:
        return tuple(label_of(value) for value in self.values)

    @property
    def size(self) -> int:
        return len(self.values)

    @property
    def ends(self) -> tuple[Any, ...]:
        return self.values

    def choose(self, name: str, chooser: Chooser) -> Any:
        label = chooser.label(name, self.labels)
        if label not in self.labels:
            raise MisfitError(f"{name}: {label!r} is none of {', '.join(self.labels)}")
        return self.values[self.labels.index(label)]

    def place(self, name: str, value: Any) -> dict[str, Any]:
        wanted = canonical_value(value)
        for own, label in zip(self.values, self.labels, strict=True):
            if _alike(canonical_value(own), wanted):
                return {name: label}
        raise MisfitError(f"{name}: {value!r} is none of {', '.join(self.labels)}")

    def at(self, index: int) -> Any:
        return self.values[index]

    def parameters(self, name: str) -> "dict[str, Range | Choices]":
        return {name: self}

    def to_json(self) -> Any:
        return {"choices": canonical_value(self.values)}


@dataclass(frozen=True)
class Mixed:
    """One of several values, or a number of a range."""

    values: tuple[Any, ...]
    range: Range

    @property
    def size(self) -> int | None:
        return None if self.range.size is None else len(self.values) + self.range.size

    @property
    def ends(self) -> tuple[Any, ...]:
        return (*self.values, *self.range.ends)

    def choose(self, name: str, chooser: Chooser) -> Any:
        label = self._which.choose(name, chooser)
        if label != RANGE and not chooser.flat:
            return self._at(label)
        number = self.range.choose(f"{name}.value", chooser)
        return number if label == RANGE else self._at(label)

    def place(self, name: str, value: Any) -> dict[str, Any]:
        try:
            return Choices(self.values).place(name, value)
        except MisfitError:
            return {name: RANGE, **self.range.place(f"{name}.value", value)}

    def at(self, index: int) -> Any:
        own = len(self.values)
        return self.values[index] if index < own else self.range.at(index - own)

    def parameters(self, name: str) -> dict[str, Range | Choices]:
        return {name: self._which, f"{name}.value": self.range}

    def to_json(self) -> Any:
        return {"choices": [*canonical_value(self.values), self.range.to_json()]}

    @cached_property
    def _which(self) -> Choices:
        return Choices((*(label_of(value) for value in self.values), RANGE))

    def _at(self, label: str) -> Any:
        return self.values[self._which.labels.index(label)]


def _alike(one: Any, other: Any) -> bool:
    """Equal and of one type: 1 is neither true nor 1.0."""
    return content_hash([one]) == content_hash([other])


def unique_labels(values: tuple[Any, ...], path: str) -> None:
    """Raise InputError where two of the values cannot be told apart."""
    labels = [label_of(value) for value in values]
    for index, label in enumerate(labels):
        if label in labels[:index]:
            raise InputError(f"{path}[{index}]: {label} stands there twice; allowed: each once")
