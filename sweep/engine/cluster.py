"""A local Ray of our own, or somebody's cluster. Nothing here is imported before a sweep runs."""

import gc
import logging
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sweep.process.caretaker import caretaker
from sweep.process.interrupts import children_undisturbed
from sweep.process.scratch import RAY, scratch_folder
from sweep.process.setup import package_paths, variables
from sweep.spec.resources import Share, settle
from sweep.spec.spec import Resources
from trainables.errors import InputError

_KEEP_BYTES = str(1 << 30)
_OBJECT_STORE_BYTES = 256 << 20  # packs and prompts are small; Ray's default is 30 % of the memory
_PATIENCE = 10.0  # seconds for a cluster's head to answer
_LONGEST = 300
_ACCELERATOR, _PART = "accelerator_type:", 0.001


class RayLostError(Exception):
    """Ray did not start or has given up; what is finished is kept."""


def worker_environment(threads: int) -> dict[str, str]:
    """Environment variables of the workers: their share of the cores, and a heap that keeps."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    return {
        **dict.fromkeys(names, str(threads)),
        "MALLOC_TRIM_THRESHOLD_": _KEEP_BYTES,
        "MALLOC_MMAP_THRESHOLD_": _KEEP_BYTES,
        "TOKENIZERS_PARALLELISM": "false",
    }


def threads_of(share: Share) -> int:
    """Whole CPU threads of one pack."""
    return max(1, int(share.cpu))


def ray_resources(share: Share) -> dict[str, float]:
    """What one pack takes, in the names that Ray Tune knows."""
    wanted = {"cpu": share.cpu, "gpu": share.gpu}
    if share.accelerator:
        # Ray gives every node of that type one unit of it: any part of it binds a pack there.
        wanted[f"{_ACCELERATOR}{share.accelerator}"] = _PART
    return wanted


def share_of(resources: Resources) -> Share:
    """What one pack takes in the Ray that is up.

    Raises:
        InputError: something is left to the program and no node is up.
    """
    import ray

    return settle(resources, [node["Resources"] for node in ray.nodes() if node["Alive"]])


@contextmanager
def ray_session(address: str | None, resources: Resources) -> Iterator[Path]:
    """Ray for the time of the ``with``; gives a folder for Tune's files, removed afterwards.

    Args:
        address: a cluster's address or ``auto``; None starts a local Ray.
        resources: what one pack takes.

    Raises:
        InputError: the cluster does not answer, or this machine has less than a pack takes.
        RayLostError: the local Ray does not start.
    """
    import ray

    # The runner tells what matters; Ray's own lines would tear the progress line.
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    # Workers set torch's threads themselves; this is for the other libraries.
    environment = worker_environment(max(1, int(resources.cpu or 1)))
    with scratch_folder() as folder, caretaker(folder, folder / RAY):
        try:
            if address is None:
                _start_local(environment, folder)
                check_resources(share_of(resources), ray.cluster_resources())
            else:
                _connect(environment, address)
            yield folder
        finally:
            put_ray_away()


def put_ray_away() -> None:
    """Ray's own shutdown, with no garbage collected in its time.

    While a driver goes down, a reference to an object or an actor that goes in another thread ends
    the whole process with exit code 1 and without a word (Ray 2.60,
    ``CoreWorkerProcessImpl::GetCoreWorker``). None of our threads holds one. But any of them may be
    the one that collects garbage, and Tune leaves circles with references in them.
    """
    import ray

    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        ray.shutdown()
    finally:
        if collecting:
            gc.enable()


_COMMON: dict[str, Any] = {"configure_logging": False, "log_to_driver": False}


def _job() -> Any:
    """Where workers find modules: where this process finds its packages.

    Ray would put the working folder first, and with it a user's ``sweep.py``.
    """
    from ray.job_config import JobConfig

    job = JobConfig()
    job._py_driver_sys_path = _Fixed(package_paths())
    return job


class _Fixed(list[str]):
    """A list to which nothing is added."""

    def extend(self, more: Iterable[str]) -> None:
        """Leave it as it is."""


NO_IDLE = {"RAY_prestart_worker_first_driver": "0"}
"""Ray would start a process a core before anybody asks for one, and Tune asks for another kind."""


@contextmanager
def few_processes() -> Iterator[None]:
    """Ray nodes started by this process have no dashboard, log monitor or autoscaler.

    There is no option for it. Each takes a second and memory; none is used.
    """
    from ray._private.node import Node

    names = ("start_api_server", "start_log_monitor", "start_monitor")
    before = {name: getattr(Node, name) for name in names}
    for name in names:
        setattr(Node, name, lambda *given, **more: None)
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(Node, name, method)


def _start_local(environment: Mapping[str, str], folder: Path) -> None:
    import ray

    try:
        # Inherited, and not a runtime environment: for one, Ray would start its workers anew.
        with variables({**environment, **NO_IDLE}), few_processes(), children_undisturbed():
            ray.init(
                address="local",
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                _temp_dir=str(folder / RAY),
                job_config=_job(),
                **_COMMON,
            )
    except Exception as error:  # on a machine that is too busy it is a plain one
        raise RayLostError(f"Ray does not start: {_first_line(error)}") from error


def _connect(environment: Mapping[str, str], address: str) -> None:
    import ray
    from ray.exceptions import AuthenticationError

    shown, heard = address, False
    try:
        found = _found(address)
        shown = address if found == address else f"{address}, which is {found},"
        _knock(found)
        heard = True
        ray.init(
            address=found,
            runtime_env={"env_vars": dict(environment)},
            job_config=_job(),
            **_COMMON,
        )
    except (OSError, ValueError, OverflowError, RuntimeError, AuthenticationError) as error:
        if isinstance(error, AuthenticationError) or (heard and isinstance(error, OSError)):
            raise InputError(
                f"--address: the Ray cluster at {shown} does not let this driver in"
                f" ({_first_line(error).partition('. ')[0]}); allowed: the token it was started"
                " with, in ~/.ray/auth_token or where RAY_AUTH_TOKEN_PATH says"
            ) from None
        raise InputError(
            f"--address: no Ray cluster at {shown} ({_one_line(error)});"
            " allowed: host:port of a cluster's head, or auto on one of its nodes"
        ) from None


def _found(address: str) -> str:
    """The address behind ``auto``: RAY_ADDRESS, or the cluster that Ray has noted.

    Ray itself would also take any Ray of this machine, such as another sweep's.

    Raises:
        ConnectionError: there is none.
    """
    if address != "auto":
        return address
    from ray._private.utils import read_ray_address

    found = os.environ.get("RAY_ADDRESS") or read_ray_address()
    if not found or found == "auto":
        raise ConnectionError("no ray start has run on this machine, and RAY_ADDRESS is not set")
    return str(found)


def check_resources(share: Share, here: Mapping[str, float]) -> None:
    """See that one pack fits.

    Args:
        share: what one pack takes.
        here: what Ray found (``CPU``, ``GPU``).

    Raises:
        InputError: it does not.
    """
    for name, wanted, key in (("cpu", share.cpu, "CPU"), ("gpu", share.gpu, "GPU")):
        if wanted > here.get(key, 0):
            raise InputError(
                f"resources.{name}: found {wanted:g}; allowed: at most {here.get(key, 0):g},"
                " which is what this machine has"
            )
    kinds = [key.removeprefix(_ACCELERATOR) for key in here if key.startswith(_ACCELERATOR)]
    if share.accelerator and share.accelerator not in kinds:
        raise InputError(
            f"resources.accelerator: found {share.accelerator!r}, which no node has; allowed:"
            f" {', '.join(sorted(kinds)) or 'none, as there is no node with a GPU that Ray knows'}"
        )


def _knock(address: str) -> None:
    """See that somebody listens: Ray itself would wait for minutes, deaf to signals.

    Raises:
        OSError: nobody does.
        ValueError: ``address`` is no ``host:port``.
    """
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        raise ValueError("that is no host:port")
    from ray._private.services import canonicalize_bootstrap_address

    # Ray takes this machine's own address instead of 127.0.0.1, unless told otherwise.
    host, _, port = (canonicalize_bootstrap_address(address) or address).rpartition(":")
    socket.create_connection((host, int(port)), _PATIENCE).close()


def _one_line(error: Exception) -> str:
    """All of a message: that versions differ, Ray tells in five lines."""
    return (" ".join(str(error).split()) or type(error).__name__)[:_LONGEST]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
