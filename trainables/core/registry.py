"""Names of one kind of thing (a solver, a loss, a method), each with where the thing is. No torch.

What a spec may say is known without loading what computes it: an entry may be the thing itself or
the place it is imported from at its first use, ``package.module:attribute``. Further names come

* from installed packages, as entry points of the group ``promptsweep.KIND``, and
* from files of the user's own (:mod:`trainables.core.plugins`), which a spec names under
  ``plugins`` or the variable ``PROMPTSWEEP_PLUGINS`` (paths of ``.py`` files, or modules, with
  commas); such a file says ``LOSSES["mine"] = ...``.
"""

import importlib
from collections.abc import Iterator, Mapping, MutableMapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from trainables.core.plugins import PLUGINS, named_by_environment, plugins_of_environment
from trainables.errors import InputError, show
from trainables.files.text_files import one_line

T = TypeVar("T")


class Registry(MutableMapping[str, T], Generic[T]):
    """Everything of one kind by name; the names are there before the things are loaded.

    A mapping: iterating over it, ``in`` and ``len`` load nothing; ``[name]`` loads that one thing.
    """

    def __init__(self, kind: str, entries: Mapping[str, T | str] | None = None) -> None:
        """Begin with what comes with the project.

        Args:
            kind: what the things are, one word: it stands in messages and entry points.
            entries: per name the thing or its place.
        """
        self.kind = kind
        self._entries: dict[str, T | str] = dict(entries or {})
        self._complete = False

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            self._complete_names()
        found = self._entries[name]
        if isinstance(found, str):
            self._entries[name] = found = loaded(found)
        return found  # type: ignore[return-value]

    def __setitem__(self, name: str, thing: T | str) -> None:
        self._entries[name] = thing

    def __delitem__(self, name: str) -> None:
        del self._entries[name]

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):  # whatever a broken file says
            return False
        if name not in self._entries:
            self._complete_names()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        self._complete_names()
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        self._complete_names()
        return len(self._entries)

    def __hash__(self) -> int:
        """Of this one: a setting whose value is a name says ``Annotated[str, LOSSES]``."""
        return id(self)

    def __eq__(self, other: object) -> bool:
        """Whether it is this one; nothing is loaded to compare."""
        return self is other

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """How pydantic checks a name, in the moment it is asked."""
        from trainables.files.validation import OneOf

        return OneOf(self).__get_pydantic_core_schema__(source, handler)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        """The names that there are in this process."""
        return {"enum": list(self)}

    def _complete_names(self) -> None:
        if self._complete:
            return
        self._complete = True  # first: a file that registers may ask for names itself
        for point in _installed().select(group=f"promptsweep.{self.kind}"):
            if self._entries.setdefault(point.name, point.value) != point.value:
                raise InputError(
                    f"{self.kind} {show(point.name)}: an installed package ({point.value}) takes a"
                    " name that is there already; allowed: a new name"
                )
        _load_plugins(named_by_environment())


def loaded(thing: Any) -> Any:
    """What stands at ``package.module:attribute``, or the module; what is no text is the thing."""
    if not isinstance(thing, str):
        return thing
    module, _, attribute = thing.partition(":")
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found


@cache
def _installed() -> Any:
    return entry_points()  # all groups at once: packages are looked through once


@cache
def _load_plugins(named: tuple[str, ...]) -> None:
    plugins_of_environment()
    for item in named:
        if not item.endswith(".py"):
            try:
                importlib.import_module(item)
            except Exception as error:  # whatever a stranger's file raises
                told = f"{PLUGINS}: {item}: {type(error).__name__}: {one_line(error)}"
                raise InputError(told) from error
