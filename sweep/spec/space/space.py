"""The space of a search: the spec's ``methods`` and source pairs read as domains.

A point has a method, sources, λ and that method's settings, and nothing of the other methods. Its
parameters in the search are named

* ``method``, where there are several,
* ``sources`` (``METHOD.sources`` where methods have sources of their own),
* ``METHOD.lambda`` and ``METHOD.SETTING``, for what has a domain; with a range beside choices
  ``METHOD.SETTING`` says which and ``METHOD.SETTING.value`` is the number.
"""

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, product
from typing import Any, get_args, get_origin, get_type_hints

from sweep.spec.methods import (
    COUNTERPARTS,
    LAMBDA,
    RECIPE,
    check_settings,
    parse_method,
)
from sweep.spec.space.domains import (
    Choices,
    Chooser,
    Domain,
    Fixed,
    MisfitError,
    Range,
    unique_labels,
)
from sweep.spec.space.parsing import DomainParser, Kind
from sweep.spec.space.point import Point
from trainables.core.cells import content_hash
from trainables.core.registries import METHODS
from trainables.core.settings import default_of, family_of, fitting, stored
from trainables.core.weight import ANNEALING, Weight
from trainables.errors import InputError, listed, nearest, show
from trainables.files.validation import typed
from trainables.recipes import with_recipe

METHOD = "method"
SOURCES = "sources"
_MOST_CORNERS = 2000

Pairs = Sequence[Sequence[str]]


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
        """Path of the method's section in the spec."""
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

        The method varies slowest, then the sources, λ and the settings in the order written. The
        same point may come twice, where a setting has no meaning beside another one's value.

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
        """The parameters of the search by name, of all methods."""
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
        """The space as a spec would write it."""
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
        """The known number."""
        number: float = self._known(name)
        return number

    def label(self, name: str, labels: tuple[str, ...]) -> str:
        """The known label."""
        label: str = self._known(name)
        return label

    def _known(self, name: str) -> Any:
        if name not in self.values:
            raise MisfitError(f"{name}: not known")
        return self.values[name]


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
                " {choices: [...]} or {low, high, log, step, int}"
            )
    return domains


def _method_space(name: Any, section: Any, parser: DomainParser) -> MethodSpace:
    where = f"methods.{name}"
    section = {} if section is None else section
    if name not in METHODS or not isinstance(section, Mapping):
        parse_method(name, section)  # raises its own sentence
    cls = METHODS[name]
    hints = hints_of(cls)
    weight = None
    found: dict[str, Domain] = {}
    for key, value in section.items():
        path = f"{where}.{key}"
        if key == COUNTERPARTS and family_of(str(name)) == "hard":
            raise InputError(
                f"{path}: found {show(value)}; allowed: nothing in a search, where pairs say which"
                " source is tuned on (the first) and which are its counterparts (the others)"
            )
        if key == LAMBDA and family_of(str(name)) == "soft":
            weight = parser.parse(value, path, Kind(_typed_weight, float))
        elif key in hints:
            found[key] = parser.parse(value, path, _kind(cls, key, hints[key]))
        elif key != RECIPE:
            known = ((LAMBDA,) if family_of(str(name)) == "soft" else ()) + (RECIPE, *hints)
            raise InputError(
                f"{where}: unknown key {show(key)}{nearest(key, known)};"
                f" allowed: {listed(known, key)}"
            )
    recipe = section.get(RECIPE)
    parse_method(name, {RECIPE: recipe})
    space = MethodSpace(str(name), recipe, found, weight)
    _check_corners(space)
    return space


def hints_of(cls: type[Any]) -> dict[str, Any]:
    """Types of a method's settings by name."""
    hints = get_type_hints(cls)
    return {name: hint for name, hint in hints.items() if get_origin(hint) is not typing.ClassVar}


def _kind(cls: type[Any], name: str, hint: Any) -> Kind:
    whole = get_type_hints(cls, include_extras=True)

    def setting(value: Any, path: str) -> Any:
        return typed(whole[name], value, path)

    return Kind(setting, number_of(hint), listed=not is_list(hint))


def parts_of(hint: Any) -> tuple[Any, ...]:
    """The members of a union; of another type the type itself."""
    return (hint,) if get_origin(hint) in (None, tuple) else get_args(hint)


def number_of(hint: Any) -> type[int] | type[float] | None:
    """The number among a setting's types; bool is none."""
    return next((part for part in parts_of(hint) if part in (int, float)), None)


def is_list(hint: Any) -> bool:
    """Whether the setting itself is a list, so that a list in the spec is one value."""
    return any(get_origin(part) is tuple for part in parts_of(hint))


def _typed_weight(value: Any, path: str) -> Any:
    try:
        return Weight.of(value).written
    except ValueError:
        raise InputError(
            f"{path}: found {show(value)}; allowed: a number in [0, 1], the word {ANNEALING}, a"
            " list of them, or a range {low, high, log, step}"
        ) from None


def _sources(pairs: Pairs, path: str) -> Domain:
    found = tuple(tuple(pair) for pair in pairs)
    if not found:
        raise InputError(f"{path}: found none; allowed: at least one list of sources")
    unique_labels(found, path)
    return Choices(found) if len(found) > 1 else Fixed(found[0])


def _check_corners(space: MethodSpace) -> None:
    """Refuse a value that is allowed with none of the others' ends.

    Settings may exclude each other, so that not every combination need be allowed: what a search
    meets of those, it passes over. A value that nothing goes with is a mistake in the spec.
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


def _size(domains: Mapping[str, Domain]) -> int | None:
    size = 1
    for domain in domains.values():
        if domain.size is None:
            return None
        size *= domain.size
    return size
