"""Plugins of a finished sweep: the same file is loaded again, nothing else is run."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainables.core.plugins import PLUGINS, known, load_known, read_plugin
from trainables.errors import InputError

NAME = "a_strangers_file"


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """A file that was loaded where a sweep was planned, in another process."""
    path = tmp_path / "mine" / f"{NAME}.py"
    path.parent.mkdir()
    path.write_text("LOADED = True\n")
    yield path
    sys.modules.pop(NAME, None)


def kept_of(file: Path) -> dict[str, dict[str, str]]:
    kept = known([read_plugin(file, "plugins[0]")])
    del sys.modules[NAME]
    return kept


def test_it_is_loaded_from_where_it_was(file: Path, tmp_path: Path) -> None:
    load_known(kept_of(file), tmp_path / "results")
    assert sys.modules[NAME].LOADED
    load_known(known([read_plugin(file, "plugins[0]")]), tmp_path / "results")  # once a process


def test_a_moved_file_is_named_by_the_environment(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = kept_of(file)
    moved = file.rename(tmp_path / file.name)
    with pytest.raises(InputError, match=rf"not found at .*; allowed: .*{PLUGINS}"):
        load_known(kept, tmp_path / "results")
    monkeypatch.setenv(PLUGINS, str(moved))
    load_known(kept, tmp_path / "results")
    assert sys.modules[NAME].LOADED


def test_a_changed_file_is_refused(file: Path, tmp_path: Path) -> None:
    kept = kept_of(file)
    file.write_text("raise SystemExit\n")
    with pytest.raises(InputError, match="has changed since the sweep ran"):
        load_known(kept, tmp_path / "results")
    assert NAME not in sys.modules


def test_nothing_in_the_results_folder_is_run(file: Path) -> None:
    with pytest.raises(InputError, match="not found at"):
        load_known(kept_of(file), file.parent)
    assert NAME not in sys.modules
