"""Python files of the user's own, which register solvers, methods, losses and whatever has a name.

A plugin travels as its text: what is loaded where a sweep is planned is what is loaded in every
worker, on whatever machine, and its digest is part of what a cell is.
"""

import hashlib
import linecache
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from trainables.errors import InputError, show
from trainables.files.cache import expanded
from trainables.files.text_files import one_line, read_text

PLUGINS = "PROMPTSWEEP_PLUGINS"
"""Environment variable with files (``.py``) and modules that register things, with commas."""


@dataclass(frozen=True)
class Plugin:
    """One file.

    Attributes:
        name: of the module, the file's without ``.py``.
        text: the code.
        place: path of the file where the sweep was planned.
    """

    name: str
    text: str
    place: str = field(default="", compare=False)

    @property
    def digest(self) -> str:
        """Hash of the code; enters the hashes of cells."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    def load(self) -> None:
        """Run the code as the module ``name``, once a process.

        Raises:
            InputError: it fails, or another module has that name.
        """
        known = sys.modules.get(self.name)
        if known is not None:
            if getattr(known, "__plugin__", None) != self.digest:
                raise InputError(
                    f"the plugin {self.name}.py: there is a module {self.name} already; allowed:"
                    " another name of the file"
                )
            return
        place = f"<plugin {self.name}.py>"
        linecache.cache[place] = (len(self.text), None, self.text.splitlines(True), place)
        sys.modules[self.name] = module = ModuleType(self.name)
        module.__dict__.update(__file__=place, __plugin__=self.digest)
        try:
            exec(compile(self.text, place, "exec"), module.__dict__)
        except BaseException as error:
            del sys.modules[self.name]
            if not isinstance(error, Exception):
                raise
            raise InputError(
                f"the plugin {self.name}.py: cannot be imported ({type(error).__name__}:"
                f" {one_line(error)})"
            ) from error


def read_plugin(path: Path, where: str) -> Plugin:
    """The plugin in a file, loaded.

    Args:
        where: how messages name the place that names it.

    Raises:
        InputError: it cannot be read or loaded.
    """
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise InputError(
            f"{where}: found {show(str(path))}; allowed: a file of Python, such as my_solver.py"
        )
    plugin = Plugin(path.stem, read_text(path, f"{where}: {path}"), str(path.resolve()))
    try:
        plugin.load()
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return plugin


def named_by_environment() -> tuple[str, ...]:
    """What :data:`PLUGINS` names, files and modules."""
    return tuple(filter(None, map(str.strip, os.environ.get(PLUGINS, "").split(","))))


def plugins_of_environment() -> tuple[Plugin, ...]:
    """The files that :data:`PLUGINS` names, loaded; modules it names are no files."""
    files = (item for item in named_by_environment() if item.endswith(".py"))
    return tuple(read_plugin(expanded(item), PLUGINS) for item in files)


def load_known(kept: Mapping[str, Mapping[str, str]], folder: Path) -> None:
    """Load the plugins of a finished sweep, whose models or prompts are read again.

    What lies in the results folder itself is not run: folders travel from one person to another,
    and reading results must not run what came along.

    Args:
        kept: by name, ``digest`` and ``place`` of each file, as :func:`known` gives them.

    Raises:
        InputError: a file is gone, lies in the folder, or has changed.
    """
    plugins_of_environment()
    for name, item in kept.items():
        if getattr(sys.modules.get(name), "__plugin__", None) == item["digest"]:
            continue
        path = Path(item["place"])
        instead = f"allowed: the file as it was then, there or named by {PLUGINS}"
        if not path.is_file() or folder.resolve() in path.resolve().parents:
            raise InputError(f"the plugin {name}.py of this sweep: not found at {path}; {instead}")
        plugin = Plugin(name, read_text(path, str(path)), str(path))
        if plugin.digest != item["digest"]:
            raise InputError(f"{path}: it has changed since the sweep ran; {instead}")
        plugin.load()


def known(plugins: Iterable[Plugin]) -> dict[str, dict[str, str]]:
    """What a results folder keeps of plugins, see :func:`load_known`."""
    return {one.name: {"digest": one.digest, "place": one.place} for one in plugins}
