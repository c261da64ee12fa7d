"""The house: rooms import each other in one direction, and none is too full."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("analysis", "sweep", "trainables")
MOST = 12


def modules() -> dict[str, Path]:
    files = (file for name in PACKAGES for file in sorted((ROOT / name).rglob("*.py")))
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
        for file in files
    }


def imported(file: Path, known: dict[str, Path]) -> Iterator[str]:
    """Names of our modules that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in known else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def room(file: Path) -> str:
    """The folder below the package, or the file where it lies in none."""
    parts = file.relative_to(ROOT).parts
    return "/".join(parts[:2])


@pytest.mark.slow
def test_files_and_rooms_import_each_other_in_one_direction() -> None:
    known = modules()
    arrows: dict[str, set[str]] = {}
    files: dict[str, set[str]] = {}
    for module, file in known.items():
        for name in imported(file, known):
            if name in known and name != module:
                files.setdefault(module, set()).add(name)
                if room(known[name]) != room(file):
                    arrows.setdefault(room(file), set()).add(room(known[name]))
    assert len(arrows) > 25
    for each in (arrows, files):
        TopologicalSorter(each).prepare()  # raises an error that names a circle
    packages = {(one.split("/")[0], other.split("/")[0]) for one in arrows for other in arrows[one]}
    apart = {(one, other) for one, other in packages if one != other}
    assert apart == {("sweep", "trainables"), ("analysis", "trainables"), ("sweep", "analysis")}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_room_is_too_full_and_each_says_what_it_is(package: str) -> None:
    for folder in {file.parent for file in (ROOT / package).rglob("*.py")}:
        assert len(list(folder.glob("*.py"))) - 1 <= MOST, folder
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), folder
