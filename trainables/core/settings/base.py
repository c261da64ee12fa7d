"""What every settings dataclass is made of: marks of its fields, checks, and its stored form."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Gt, Interval

from trainables.errors import InputError, shortened, show

Count = Annotated[int, Ge(1)]
Number = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Interval(ge=0, le=1)]

CHAT = "chat"
"""The value of ``template`` under which models read in their own chat templates."""


@dataclass(frozen=True)
class Settings:
    """Plain data whose annotations say what is allowed (:mod:`trainables.files.validation`)."""

    section: ClassVar[str] = ""
    """Put before the names of fields in messages."""

    def __post_init__(self) -> None:
        """Raise InputError for the first value that its field or the others do not allow."""
        from trainables.files.validation import checked, model_of  # pydantic takes a while

        cls: Any = type(self)
        for name, value in checked(model_of(cls), self.__dict__, cls.section).items():
            object.__setattr__(self, name, value)
        self.complete()

    def complete(self) -> None:
        """Fill in what follows from others; raise InputError for what does not go together."""


def later(default: Any, axis: bool = False, only_with: str | None = None) -> Any:
    """A field that is younger than the first cells: :func:`stored` leaves it out at its default.

    ``only_with``: the one value of ``init`` that takes it.
    """
    marks = {"later": True, "axis": axis, "only_with": only_with}
    return field(default=default, metadata=marks)


def axis(default: Any) -> Any:
    """A field for which a spec may list several values; each combination is tuned by itself."""
    return field(default=default, metadata={"axis": True})


def check(settings: Any, name: str, good: bool, allowed: str) -> None:
    """Raise InputError with what was found and what is allowed, unless ``good``."""
    if not good:
        found = show(getattr(settings, name))
        raise InputError(shortened(f"{name}: found {found}; allowed: {allowed}"))


def only_with(settings: Any, name: str, init: str, what: str) -> None:
    """A setting that belongs to one way of initialisation: there with it and only with it."""
    value = getattr(settings, name)
    if settings.init == init:
        check(settings, name, bool(value and value.strip()), f"{what}, as init is {init}")
    else:
        check(settings, name, value is None, f"null, as init is {settings.init} and not {init}")


def check_anchor_seed(settings: Any) -> None:
    """A random part of the anchors: ``anchor_sample`` of them, drawn with ``anchor_seed``."""
    good = settings.anchor_sample is not None or not settings.anchor_seed
    check(settings, "anchor_seed", good, "0 where anchor_sample is null")


def stored(settings: Any) -> dict[str, Any]:
    """Mapping of a settings object as cells keep and hash it; :func:`from_mapping` inverts it.

    Left out is what ``unread()`` names, where a dataclass has it: settings that make no difference
    beside the others. Fields that came later are left out while they have their default, so that
    cells from before them keep their ids. Tuples become lists, as JSON has them.
    """
    unread: Collection[str] = getattr(settings, "unread", frozenset)()
    values = {}
    for item in fields(settings):
        value = getattr(settings, item.name)
        young = item.metadata.get("later") and value == item.default
        if item.name not in unread and not young:
            values[item.name] = list(value) if isinstance(value, tuple) else value
    return values


def axes(cls: type[Any]) -> tuple[str, ...]:
    """Names of the settings for which a spec may list several values."""
    return tuple(item.name for item in fields(cls) if item.metadata.get("axis"))


def fitting(cls: type[Any], values: Mapping[Any, Any], listed: Collection[Any]) -> dict[Any, Any]:
    """``values`` of one combination, without what belongs to the other ``listed`` inits."""
    unfit = {
        item.name
        for item in fields(cls)
        if item.metadata.get("only_with") in listed
        and item.metadata["only_with"] != values.get("init")
    }
    return {key: value for key, value in values.items() if key not in unfit}


def fitted_defaults(cls: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` and, where defaults would not go with it, others in their place.

    A default never makes a value invalid that is allowed: it gives way. Each dataclass says how in
    ``fitted(given)``, where it has such settings; two values that are given may still contradict.
    """
    fitted = getattr(cls, "fitted", None)
    values: dict[str, Any] = {} if fitted is None else fitted(given)
    return {**given, **{name: item for name, item in values.items() if given.get(name) is None}}


def from_mapping(cls: Any, values: Mapping[str, Any]) -> Any:
    """Settings object from the stored mapping of a cell; unknown keys are an InputError."""
    from trainables.files.validation import checked, model_of

    return cls(**checked(model_of(cls), values))
