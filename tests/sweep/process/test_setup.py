"""What a sweep is started among: other work's variables, the user's modules, no home folder."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sweep.commands.ui import server_command, server_environment
from sweep.ledger.store import store_folder
from sweep.planning.plan import make_plan
from sweep.planning.preflight import check_plan
from sweep.process.setup import (
    FOREIGN,
    FOREIGN_LOCAL,
    child_command,
    child_environment,
    settled,
)
from sweep.spec.spec import load_spec
from tests.conftest import ROOT
from tests.sweep.faulty import no_mlflow as no_mlflow
from tests.sweep.faulty import start
from tests.sweep.folders import check_complete
from tests.sweep.inline import inline as inline
from tests.sweep.samples import plan_of
from trainables.errors import InputError
from trainables.files.cache import VARIABLE, cache_folder, expanded, no_cache

NAMES = [
    "sweep",
    "analysis",
    "trainables",
    "torch",
    "ray",
    "json",
    "mlflow",
    "uvicorn",
    "numpy",
    "transformers",
    "random",
]


@pytest.fixture
def among(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with files of the user's that have names of ours and of libraries."""
    folder = tmp_path / "mine"
    folder.mkdir()
    _clutter(folder)
    monkeypatch.chdir(folder)
    return folder


def _clutter(folder: Path) -> None:
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"raise SystemExit('{name}.py of the user')\n")


LEFT = {
    "TUNE_RESULT_DIR": "/results",
    "RAY_AIR_LOCAL_CACHE_DIR": "/results",
    "RAY_STORAGE": "/results",
    "TUNE_GLOBAL_CHECKPOINT_S": "often",
    "RAY_TUNE_CALLBACKS": "no_such.module",
    "RAY_ADDRESS": "10.1.2.3:6379",
    "RAY_NAMESPACE": "theirs",
    "RAY_RUNTIME_ENV_HOOK": "no_such.module",
    "RAY_OVERRIDE_RESOURCES": '{"CPU": 64}',
    "RAY_TMPDIR": "/no/such/folder",
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    "MLFLOW_REGISTRY_URI": "http://127.0.0.1:9",
    "MLFLOW_RUN_ID": "0123456789abcdef",
    "MLFLOW_EXPERIMENT_ID": "77",
    "MLFLOW_EXPERIMENT_NAME": "theirs",
}
KEPT = {"RAY_memory_monitor_refresh_ms": "250", "HF_HOME": "/models", "CUDA_VISIBLE_DEVICES": "0"}


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment in which other work with Ray and MLflow was done before."""
    for name, value in (LEFT | KEPT).items():
        monkeypatch.setenv(name, value)
    return LEFT


# The environment.


def test_what_a_sweep_sets_itself_wins_and_the_rest_stays(left: dict[str, str]) -> None:
    before = dict(os.environ)
    with settled(local=True) as aside:
        assert set(aside) == set(left)
        assert not left.keys() & os.environ.keys()
        assert KEPT.items() <= os.environ.items()
        assert os.environ["TUNE_DISABLE_SIGINT_HANDLER"] == "1"
    assert dict(os.environ) == before


def test_a_cluster_is_the_users(left: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/token")
    with settled(local=False) as aside:
        assert os.environ["RAY_ADDRESS"] == left["RAY_ADDRESS"]
        assert "RAY_NAMESPACE" not in aside
        assert "TUNE_RESULT_DIR" in aside
    with settled(local=True):
        assert "RAY_AUTH_TOKEN" not in os.environ


def test_every_variable_has_a_reason() -> None:
    assert all(len(reason.split()) > 2 for reason in (FOREIGN | FOREIGN_LOCAL).values())


def test_it_is_said_once(
    tmp_path: Path, inline: None, no_mlflow: None, left: dict[str, str]
) -> None:
    lines: list[str] = []
    assert start(plan_of(), tmp_path, lines) == 0
    (told,) = [line for line in lines if "sets these variables" in line]
    assert all(name in told for name in left)
    assert not any(value in told for value in left.values())  # some are secrets


def test_more_workers_than_there_is_room_for(tmp_path: Path, inline: None, no_mlflow: None) -> None:
    lines: list[str] = []
    assert start(plan_of(), tmp_path, lines, workers=8) == 0
    (told,) = [line for line in lines if "--workers" in line]
    assert "--workers 8: 1 at once is what this machine has room for" in told
    assert "a pack takes 1 CPU" in told


# Modules in the working folder.


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_child_imports_nothing_of_the_users(among: Path, name: str) -> None:
    code = f"import {name}; assert 'mine' not in {name}.__file__.split('/')"
    if name in ("torch", "ray", "mlflow"):  # seconds
        code = f"import importlib.util as u; assert 'mine/' not in u.find_spec('{name}').origin"
    command = [*child_command("x")[:2], "-c", code]
    subprocess.run(command, env=child_environment(), check=True)


@pytest.mark.slow
def test_the_preflight_imports_nothing_of_the_users(among: Path) -> None:
    assert check_plan(make_plan(load_spec("smoke"))) == []


def test_the_server_imports_nothing_of_the_users(
    among: Path, tmp_path: Path, left: dict[str, str]
) -> None:
    """As MLflow starts it: a child of its own, which looks for modules where it is told."""
    environment = server_environment()
    assert environment["PYTHONSAFEPATH"] == "1"
    assert not left.keys() & {name for name in environment if name.startswith("MLFLOW_")}
    command = server_command(tmp_path, 5123)
    app_dir = command[command.index("--uvicorn-opts") + 1].split()
    assert app_dir == ["--app-dir", str(tmp_path / "mlartifacts")]
    (told,) = [
        subprocess.run(
            [sys.executable, "-m", "uvicorn", *app_dir, "--log-level", "warning", "no_such:app"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        ).stderr
    ]
    assert "no_such" in told
    assert "of the user" not in told


@pytest.mark.slow
def test_a_forked_child_imports_nothing_of_the_users(among: Path) -> None:
    code = """
import os
import pandas as pd
from analysis.report import background
background.LARGE = 0
def work(frame):
    import matplotlib.figure, random, json
    return os.getpid()
with background.background(work, pd.DataFrame({"x": [1]})) as wait:
    assert (wait() != os.getpid()) == ((os.cpu_count() or 1) > 1)
"""
    subprocess.run([sys.executable, "-P", "-c", code], check=True, env=_with_root())


def _with_root() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


# No home folder.


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user id that the system does not know, in this process."""

    def unknown(path: Path) -> Path:
        if path.parts[:1] == ("~",):
            raise RuntimeError("Could not determine home directory.")
        return path

    monkeypatch.setattr(Path, "expanduser", unknown)
    for name in ("HOME", VARIABLE, "XDG_CACHE_HOME", "PROMPTSWEEP_STORE"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_home_there_is_no_cache(
    homeless: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert no_cache() == (
        "nothing is kept for later sweeps, as this user has no home folder;"
        " PROMPTSWEEP_CACHE names a folder for it"
    )
    assert not cache_folder().exists()
    with pytest.raises(OSError):
        cache_folder().mkdir(parents=True)
    assert store_folder() is None
    with settled(local=True):
        assert os.environ["HOME"] == os.devnull
        assert "no home folder" in (no_cache() or "")
    with pytest.raises(InputError, match="found '~/x', but there is no home folder for its '~'"):
        expanded("~/x")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert no_cache() is None
    assert cache_folder() == tmp_path
    assert store_folder() == tmp_path / "store"


def _file(folder: Path) -> Path:
    (folder / "home").write_text("")
    return folder / "home"


@pytest.mark.parametrize("make", [_file, lambda folder: _file(folder) / "me"])
def test_a_home_that_is_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Path]
) -> None:
    for name in (VARIABLE, "XDG_CACHE_HOME", "PROMPTSWEEP_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(make(tmp_path)))
    assert f"HOME is {tmp_path}/home" in (no_cache() or "")
    assert store_folder() is None
    monkeypatch.setenv("HOME", str(tmp_path / "new"))
    assert no_cache() is None


def test_a_sweep_without_a_home_says_it_once(
    homeless: None, tmp_path: Path, inline: None, no_mlflow: None
) -> None:
    lines: list[str] = []
    assert start(plan_of(), tmp_path, lines) == 0
    assert len([line for line in lines if "no home folder" in line]) == 1
    check_complete(tmp_path, plan_of())


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Runs a command as a user id without an entry, without a home, in a folder of its own."""
    uid, program = 54321, shutil.which("setpriv")
    if os.geteuid() != 0 or program is None:
        pytest.skip("takes root and setpriv to be another user")
    place = Path(f"/tmp/promptsweep-test-{os.getpid()}")
    place.mkdir()
    _clutter(place)
    os.chown(place, uid, uid)
    # It may read this checkout and this Python, wherever they are.
    caps = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search"]
    other = [program, f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *caps]

    def run(*arguments: str) -> Any:
        gone = ("HOME", "USER", "LOGNAME", "PROMPTSWEEP_STORE", "XDG_CACHE_HOME", VARIABLE)
        environment = {key: value for key, value in _with_root().items() if key not in gone}
        return subprocess.run(
            [*other, sys.executable, "-P", "-m", *arguments],
            env={**environment, "TMPDIR": str(place)},
            cwd=place,
            capture_output=True,
            text=True,
            check=False,
        )

    yield run
    shutil.rmtree(place)


@pytest.mark.cluster
def test_a_user_id_that_nobody_knows(stranger: Callable[..., Any], left: dict[str, str]) -> None:
    """In a folder of files with our names, and with what other work has left behind."""
    told = "nothing is kept for later sweeps, as this user has no home folder"
    found = stranger("sweep.cli", "plan", "smoke", "--store", "none")
    assert found.returncode == 0, found.stderr
    assert found.stderr.splitlines() == [
        f"warning: {told}; PROMPTSWEEP_CACHE names a folder for it"
    ]
    found = stranger("tests.sweep.drive", "out", "tiny")
    assert found.returncode == 0, found.stderr
    assert found.stderr.count(told) == 1
    assert "TUNE_RESULT_DIR" in found.stderr
    assert "Traceback" not in found.stderr
    assert "of the user" not in found.stderr
    found = stranger("sweep.cli", "report", "out")
    assert found.returncode == 0, found.stderr
    assert found.stderr == ""
