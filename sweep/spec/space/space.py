"""The space of a search: the spec's ``methods`` and source pairs read as domains.

A point has a method, sources, λ and that method's settings, and nothing of the other methods. Its
parameters in the search are named

* ``method``, where there are several,
* ``sources`` (``METHOD.sources`` where methods have sources of their own),
* ``METHOD.lambda`` and ``METHOD.SETTING``, for what has a domain; with a range beside choices
  ``METHOD.SETTING`` says which and ``METHOD.SETTING.value`` is the number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

from sweep.spec.methods import LAMBDA, RECIPE, MethodSpec, check_settings, parse_method
from sweep.spec.space.domains import (
    Choices,
    Chooser,
    Domain,
    Fixed,
    MisfitError,
    Range,
    canonical_value,
)
from trainables.core.cells import content_hash
from trainables.core.registries import METHODS
from trainables.core.settings import default_of, family_of, fitting, stored
from trainables.errors import InputError
from trainables.recipes import with_recipe

METHOD = "method"
SOURCES = "sources"


@dataclass(frozen=True, eq=False)
class Point:
    """What one trial of a search runs, over all tasks, targets and seeds of the sweep.

    Points are equal if their canonical forms are (floats to 12 significant digits, see
    :func:`sweep.spec.space.domains.rounded`); equal points have equal keys.

    Attributes:
        method: key of ``METHODS``.
        sources: aliases of the models to tune on, in this order.
        weight: λ in [0, 1] or ``annealing``; None where the method's section names no ``lambda``.
        settings: the method's settings as cells store them, all of them, typed.
    """

    method: str
    sources: tuple[str, ...]
    weight: float | str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """16 hex digits: the content hash of the canonical form."""
        return content_hash(self.to_json())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def to_json(self) -> dict[str, Any]:
        """The canonical form, fit for JSON; :meth:`from_json` is its inverse."""
        return {
            "method": self.method,
            "sources": list(self.sources),
            LAMBDA: canonical_value(self.weight),
            "settings": canonical_value(dict(self.settings)),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(value["method"], tuple(value["sources"]), value[LAMBDA], dict(value["settings"]))

    def method_spec(self) -> MethodSpec:
        """The entry of a spec's ``methods`` that stands for this point: one weight, one variant.

        Raises:
            InputError: the point comes from a version with other settings.
        """
        weights = {} if self.weight is None else {LAMBDA: [self.weight]}
        return parse_method(self.method, {**self.settings, **weights})


@dataclass(frozen=True)
class MethodSpace:
    """What may be chosen within one method.

    Attributes:
        name: key of ``METHODS``.
        recipe: named set of settings below the spec's own; None for none.
        domains: of every setting that the spec names.
        weight: domain of λ; None where the spec names no ``lambda``.
    """

    name: str
    recipe: str | None
    domains: Mapping[str, Domain]
    weight: Domain | None

    @property
    def where(self) -> str:
        return f"methods.{self.name}"

    def named(self) -> dict[str, Domain]:
        """Every domain under the name of its parameter, λ first."""
        weight = {} if self.weight is None else {f"{self.name}.{LAMBDA}": self.weight}
        own = {f"{self.name}.{name}": domain for name, domain in self.domains.items()}
        return {**weight, **own}

    def settings(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """The method's settings, as cells store them, for one value of each domain.

        Raises:
            InputError: the values are not allowed together.
        """
        return stored(self._checked(chosen))

    def point(
        self, sources: Sequence[str], weight: float | str | None, chosen: Mapping[str, Any]
    ) -> Point:
        """The point of one value of each domain.

        Of hard prompts the first source is tuned on and the others are its counterparts; where the
        settings read none, they are left out.

        Raises:
            InputError: the values are not allowed together.
        """
        settings = self._checked(chosen)
        alone = family_of(self.name) == "hard" and not settings.counterparts_needed
        names = tuple(sources)[: 1 if alone else None]
        return Point(self.name, names, weight, stored(settings))

    def _checked(self, chosen: Mapping[str, Any]) -> Any:
        cls = METHODS[self.name]
        values = with_recipe(self.name, self.recipe, chosen)
        values = fitting(cls, values, self._inits)
        return check_settings(cls, values, self.where)

    @cached_property
    def _inits(self) -> tuple[Any, ...]:
        init = self.domains.get("init")
        return init.values if isinstance(init, Choices) else ()


@dataclass(frozen=True)
class Space:
    """Everything that a search may choose.

    Attributes:
        methods: by name.
        sources: domain of the sources by method; one and the same where they are shared.
        shared: whether all methods have the same sources, so that what is learnt of a pair with one
            method helps with another.
    """

    methods: Mapping[str, MethodSpace]
    sources: Mapping[str, Domain]
    shared: bool = True

    def choose(self, chooser: Chooser) -> Point:
        """The point that ``chooser`` takes.

        Raises:
            MisfitError: a parameter's value is not in its domain.
            InputError: the method does not allow these settings together.
        """
        name = self._method.choose(METHOD, chooser)
        values: dict[str, Any] = {}
        for parameter, domain in self._domains.items():
            if chooser.flat or self._belongs(parameter, name):
                values[parameter] = domain.choose(parameter, chooser)
        return self._point(name, values)

    def place(self, point: Point, flat: bool = False) -> dict[str, Any]:
        """The parameters that stand for a point; :meth:`choose` is the inverse.

        Args:
            point: a point, maybe of another space.
            flat: give parameters that the point does not use their first value.

        Raises:
            MisfitError: the point is not in this space.
        """
        if point.method not in self.methods:
            raise MisfitError(f"{METHOD}: {point.method!r} is none of {', '.join(self.methods)}")
        found = self._method.place(METHOD, point.method)
        for parameter, domain in self._domains.items():
            if self._belongs(parameter, point.method):
                found |= self._place_one(parameter, domain, point)
        if flat:
            found = {**self._first, **found}
        try:
            again = self.choose(Known(found, flat))
        except InputError as error:
            raise MisfitError(str(error)) from None
        if again != point:
            raise MisfitError("a setting that is not searched has another value")
        return found

    def at(self, index: int) -> Point:
        """The point number ``index`` of a finite space.

        The method varies slowest, then sources, λ and settings as written. Points may repeat where
        a setting has no meaning beside another's value.

        Raises:
            InputError: the method does not allow these settings together.
        """
        for name in self.methods:
            domains = self._domains_of(name)
            size = _size(domains)
            if size is None or index < size:
                break
            index -= size
        values = {}
        for parameter, domain in reversed(domains.items()):
            index, digit = divmod(index, domain.size or 1)
            values[parameter] = domain.at(digit)
        return self._point(name, values)

    @cached_property
    def size(self) -> int | None:
        """How many combinations there are; None where there is a continuum."""
        sizes = [_size(self._domains_of(name)) for name in self.methods]
        known = [size for size in sizes if size is not None]
        return sum(known) if len(known) == len(sizes) else None

    @cached_property
    def parameters(self) -> dict[str, Range | Choices]:
        found = dict(self._method.parameters(METHOD))
        for name, domain in self._domains.items():
            found |= domain.parameters(name)
        return found

    def continuous(self) -> tuple[str, ...]:
        """Names of the parameters that are ranges without a step."""
        ranges = {name: item for name, item in self.parameters.items() if isinstance(item, Range)}
        return tuple(name for name, item in ranges.items() if item.step is None)

    @cached_property
    def digest(self) -> str:
        """Content hash of the domains and of what is fixed."""
        return content_hash(self.to_json())

    def to_json(self) -> dict[str, Any]:
        methods = {
            name: {
                RECIPE: method.recipe,
                SOURCES: self.sources[name].to_json(),
                **{key: domain.to_json() for key, domain in method.named().items()},
            }
            for name, method in self.methods.items()
        }
        return {"shared": self.shared, "methods": methods}

    @cached_property
    def _method(self) -> Choices | Fixed:
        names = tuple(self.methods)
        return Choices(names) if len(names) > 1 else Fixed(names[0])

    @cached_property
    def _domains(self) -> dict[str, Domain]:
        """All domains but the method's, under their parameters' names."""
        found: dict[str, Domain] = {}
        for name in self.methods:
            found |= self._domains_of(name)
        return found

    @cached_property
    def _first(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, domain in self._domains.items():
            for parameter, item in domain.parameters(name).items():
                found |= item.place(parameter, item.ends[0])
        return found

    def _domains_of(self, name: str) -> dict[str, Domain]:
        sources = SOURCES if self.shared else f"{name}.{SOURCES}"
        return {sources: self.sources[name], **self.methods[name].named()}

    def _belongs(self, parameter: str, method: str) -> bool:
        return parameter == SOURCES or parameter.startswith(f"{method}.")

    def _place_one(self, parameter: str, domain: Domain, point: Point) -> dict[str, Any]:
        setting = parameter.rsplit(".", 1)[-1]
        if setting == SOURCES:
            return domain.place(parameter, self._with_counterparts(domain, point))
        if setting == LAMBDA:
            return domain.place(parameter, point.weight)
        if setting in point.settings:
            return domain.place(parameter, point.settings[setting])
        try:
            # Cells leave younger settings out while they have their default.
            return domain.place(parameter, default_of(point.method, setting))
        except MisfitError:
            # Left out beside another setting's value: any value stands for that.
            return domain.place(parameter, domain.ends[0])

    def _with_counterparts(self, domain: Domain, point: Point) -> tuple[str, ...]:
        """The point's sources, or where it needs no counterparts the first set they begin."""
        if len(point.sources) > 1:
            return point.sources
        sets = (names for names in domain.ends if names[:1] == point.sources)
        return next(sets, point.sources)

    def _point(self, name: str, values: Mapping[str, Any]) -> Point:
        method = self.methods[name]
        return method.point(
            values[SOURCES if self.shared else f"{name}.{SOURCES}"],
            None if method.weight is None else values[f"{name}.{LAMBDA}"],
            {setting: values[f"{name}.{setting}"] for setting in method.domains},
        )


@dataclass
class Known:
    """Chooses what is known already.

    Attributes:
        values: parameter to value.
        flat: see :class:`sweep.spec.space.domains.Chooser`.
    """

    values: Mapping[str, Any]
    flat: bool = False

    def number(self, name: str, domain: Range) -> float:
        number: float = self._known(name)
        return number

    def label(self, name: str, labels: tuple[str, ...]) -> str:
        label: str = self._known(name)
        return label

    def _known(self, name: str) -> Any:
        if name not in self.values:
            raise MisfitError(f"{name}: not known")
        return self.values[name]


def _size(domains: Mapping[str, Domain]) -> int | None:
    size = 1
    for domain in domains.values():
        if domain.size is None:
            return None
        size *= domain.size
    return size
