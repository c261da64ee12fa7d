"""The package as it is installed: nothing is missing, and it runs without the repository."""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("analysis", "sweep", "trainables")


def test_the_licence_and_how_to_cite_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["license"] == project["license"] == "Apache-2.0"
    assert citation["version"] == project["version"]
    assert all(item["title"] and item["authors"] for item in citation["references"])
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0" in licence
    assert licence.count("\n") == 202  # the whole of it


def own_files() -> set[str]:
    """Every file of the packages, by its path in the repository."""
    return {
        str(file.relative_to(ROOT))
        for name in PACKAGES
        for file in (ROOT / name).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


def source(folder: Path) -> Path:
    """A copy of the repository: building writes beside the sources."""
    meta = ("pyproject.toml", "README.md", "LICENSE", "CITATION.cff", "MANIFEST.in", "CHANGELOG.md")
    folder.mkdir()
    for name in meta:
        shutil.copy(ROOT / name, folder / name)
    for name in PACKAGES:
        leave = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=leave)
    return folder


def done(*command: str, folder: Path, path: Path | None = None) -> str:
    """What a command prints, run in ``folder`` with only ``path`` before the installed packages."""
    known = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment = known | ({"PYTHONPATH": str(path)} if path else {})
    found = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.mark.slow
def test_the_wheel_has_everything_and_runs_from_another_folder(tmp_path: Path) -> None:
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    repository = source(tmp_path / "repository")
    offline = ("--no-deps", "--no-build-isolation", "--no-index")
    done(*pip, "wheel", ".", *offline, "-w", str(tmp_path), folder=repository)
    (wheel,) = tmp_path.glob("promptsweep-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    beside = {name for name in held if ".dist-info/" in name}
    assert held - beside == own_files()
    assert any(name.endswith("/licenses/LICENSE") for name in beside)

    installed, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    elsewhere.mkdir()
    done(*pip, "install", *offline, "--target", str(installed), str(wheel), folder=elsewhere)
    place = "import analysis, sweep, trainables; print(sweep.__file__)"
    said = done(sys.executable, "-c", place, folder=elsewhere, path=installed)
    assert Path(said.strip()).is_relative_to(installed)
    for name in ("sweep", "promptsweep"):
        command = str(installed / "bin" / name)
        assert "quickstart" in done(command, "presets", folder=elsewhere, path=installed)
    said = done(command, "plan", "quickstart", "--store", "none", folder=elsewhere, path=installed)
    assert "sweep quickstart" in said
    assert not list(elsewhere.iterdir())


@pytest.mark.slow
def test_the_source_archive_has_everything(tmp_path: Path) -> None:
    repository = source(tmp_path / "repository")
    build = "import setuptools.build_meta as build; print(build.build_sdist('..'))"
    done(sys.executable, "-c", build, folder=repository)
    (archive,) = tmp_path.glob("promptsweep-*.tar.gz")
    with tarfile.open(archive) as file:
        held = {name.partition("/")[2] for name in file.getnames()}
    assert held >= own_files()
    assert held >= {"LICENSE", "CITATION.cff", "CHANGELOG.md", "README.md", "pyproject.toml"}
