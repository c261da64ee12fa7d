"""Names are known before things are loaded; strangers' names come from packages and files."""

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from trainables.core import registry
from trainables.core.plugins import PLUGINS
from trainables.core.registry import Registry
from trainables.errors import InputError


def test_a_thing_is_imported_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(registry, "loaded", lambda place: asked.append(place) or str.upper)
    shouts: Registry[object] = Registry("shout", {"upper": "some.module:upper"})
    assert list(shouts) == ["upper"] and "upper" in shouts and len(shouts) == 1
    assert "lower" not in shouts and shouts.get("lower") is None
    assert not asked
    assert shouts["upper"] is shouts["upper"] is str.upper
    assert asked == ["some.module:upper"]


def installed(*found: tuple[str, str]) -> EntryPoints:
    return EntryPoints(EntryPoint(name, place, "promptsweep.colour") for name, place in found)


def test_installed_packages_name_things(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_installed", lambda: installed(("pi", "math:pi")))
    colours: Registry[float] = Registry("colour", {"red": 1.0})
    assert list(colours) == ["red", "pi"]
    assert colours["pi"] == pytest.approx(3.1416, abs=1e-4)
    assert "pi" not in Registry("shade", {"red": 1.0})
    with pytest.raises(InputError, match=r"'pi': an installed package \(math:pi\) takes a name"):
        list(Registry("colour", {"pi": 3.0}))


FILE = """
from trainables.core.registries import SOLVERS, SolverKind
SOLVERS["mine"] = SolverKind("some.module:Mine", {"steps": 7})
"""
ASK = """
from trainables.core.settings import TransferSettings
assert TransferSettings(solver="mine").steps == 7
import sys
assert "torch" not in sys.modules
"""


@pytest.mark.parametrize("by_path", [True, False])
def test_a_file_of_the_users_own_names_things(tmp_path: Path, by_path: bool) -> None:
    file = tmp_path / "my_solver.py"
    file.write_text(FILE)
    named = str(file) if by_path else "my_solver"
    paths = f"{Path(__file__).parents[3]}:{tmp_path}"
    environment = {PLUGINS: f" {named} ,", "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-c", ASK], env=environment, check=True, timeout=60)


def test_a_file_that_fails_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "broken_plugin.py"
    file.write_text("1 / 0")
    monkeypatch.setenv(PLUGINS, str(file))
    with pytest.raises(InputError, match=r"PROMPTSWEEP_PLUGINS: .*ZeroDivisionError: division"):
        list(Registry("colour", {"red": 1}))
    file.write_text("x = 1")
    list(Registry("colour", {"red": 1}))
    other = tmp_path / "json.py"
    other.write_text("")
    monkeypatch.setenv(PLUGINS, str(other))
    with pytest.raises(InputError, match="there is a module json already"):
        list(Registry("colour", {"red": 1}))
