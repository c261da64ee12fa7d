"""What a sweep is started among: variables of other work, and modules in the working folder."""

import importlib.metadata
import os
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from trainables.files.cache import home_variables

_AHEAD = "64"
"""Packs that may wait for their worker. Ray Tune's one would start workers one by one: each imports
for seconds, and an autoscaler starts nodes for what waits, which takes minutes. How many nodes it
may start, no Ray of one's own tells. On one machine no more wait than it has room for."""

OURS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # The old console output is silent at verbosity 0, the new one is not.
    "RAY_AIR_NEW_OUTPUT": "0",
    # Ctrl-C is the runner's: Tune's own handler would wait for the packs under way.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_MAX_PENDING_TRIALS_PG": _AHEAD,
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
"""What a sweep sets for Ray; what it does not set of ``FOREIGN`` is not there while it runs."""

FOREIGN = {
    "TUNE_*": "Ray Tune hands out packs, and nothing else is Tune's here: some of these stop it",
    "RAY_TUNE_*": "names modules that Tune would import",
    "RAY_AIR_*": "one of these stops Tune",
    "RAY_TRAIN_*": "another Tune than the one tested",
    "RAY_STORAGE": "where Tune's own files go, which nobody reads",
    "RAY_CHDIR_TO_TRIAL_DIR": "where workers stand",
    "MLFLOW_TRACKING_URI": "mlflow.tracking_uri of the spec says where runs go",
    "MLFLOW_REGISTRY_URI": "the same place as the runs",
    "MLFLOW_EXPERIMENT_ID": "a sweep has an experiment of its own",
    "MLFLOW_EXPERIMENT_NAME": "a sweep has an experiment of its own",
    "MLFLOW_RUN_ID": "a sweep makes its own runs, and goes on with no other",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "what is written has to be there when the sweep says so",
}
"""Variables, by pattern, that would change what a sweep does, and why; they belong to other work.

What is a user's to choose is not here: RAY_AUTH_*, RAY_memory_*, HF_*, CUDA_VISIBLE_DEVICES,
proxies, credentials and time limits of MLflow.
"""

OURS_LOCAL = {
    "RAY_CLIENT_MODE": "0",
    # Despite its name it decides on every system whether nodes talk on the loopback interface.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Under ``uv run``, Ray would pack up the working folder and start workers in another Python.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}

FOREIGN_LOCAL = {
    "RAY_ADDRESS": "of a cluster, which --address auto asks for",
    "RAY_API_SERVER_ADDRESS": "of a cluster",
    "RAY_NAMESPACE": "of a cluster",
    "RAY_REDIS_*": "of a cluster",
    "RAY_GCS_SERVER_PORT": "of a cluster",
    "RAY_TMPDIR": "may be too long for Ray's sockets; TMPDIR says where temporary files go",
    "RAY_RUNTIME_ENV_*": "starts workers in other surroundings than the driver's",
    "RAY_JOB_*": "of the job that this was started in",
    "RAY_START_HOOK": "names a module that Ray would import",
    "RAY_OVERRIDE_*": "says that there is more than there is",
}
"""The same where Ray is this process's own."""


@cache
def _token() -> str:
    """Ray keeps the first one for the life of the process."""
    return secrets.token_hex(32)


@contextmanager
def settled(local: bool) -> Iterator[list[str]]:
    """Environment variables as a sweep needs them, while the ``with`` lasts.

    A local Ray uses the loopback interface only, with a token of this process: no other user can
    run code in it. Usage reports are off.

    Args:
        local: whether Ray is this process's own.

    Returns:
        Names of variables that had another value, which they get back.
    """
    ours, foreign = dict(OURS), dict(FOREIGN)
    if local:
        ours |= OURS_LOCAL
        foreign |= FOREIGN_LOCAL
    wanted: dict[str, str | None] = {
        name: None for name in os.environ if any(fnmatchcase(name, pattern) for pattern in foreign)
    }
    wanted |= ours
    unset = sorted(
        name for name, value in wanted.items() if os.environ.get(name, value) not in (value, "")
    )
    if local and not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        wanted |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _token()}
    with variables(wanted | home_variables()):
        yield unset


@contextmanager
def variables(wanted: Mapping[str, str | None]) -> Iterator[None]:
    """Environment variables for the time of the ``with``; None for one that shall not be there."""
    before = {name: os.environ.get(name) for name in wanted}
    _set(wanted)
    try:
        yield
    finally:
        _set(before)


def _set(wanted: Mapping[str, str | None]) -> None:
    for name, value in wanted.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def package_paths() -> list[str]:
    """Where children find this package and its neighbours, if not where all packages are."""
    root = Path(__file__).resolve().parents[2]
    return [] if root.name in ("site-packages", "dist-packages") else [str(root)]


def child_command(module: str) -> list[str]:
    """The command line that runs a module, and nothing of the working folder."""
    return [sys.executable, "-P", "-m", module]


def child_environment() -> dict[str, str]:
    """The environment of :func:`child_command` and its children.

    Without the working folder: a user's ``json.py`` or ``sweep.py`` there is not part of this
    program.
    """
    known = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([*package_paths(), *([known] if known else [])])
    return {**os.environ, "PYTHONSAFEPATH": "1", **({"PYTHONPATH": path} if path else {})}


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Versions of those packages that are installed; none is imported."""
    found = {}
    for name in packages:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
