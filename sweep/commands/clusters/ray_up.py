"""A cluster YAML for ``ray up``.

Ray's schema and defaults come from the installed package, whose private module is touched in
:func:`with_defaults` and nowhere else. Nothing here needs a network.
"""

import contextlib
import io
import json
import logging
import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sweep.commands.clusters.described import (
    LONGEST,
    ClusterFile,
    NotAClusterFileError,
    schema_errors,
)

_COMMANDS = ("initialization", "setup", "head_setup", "worker_setup")
_TOKEN = ".ray/auth_token"
_TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"


def read_ray_up(path: Path, text: str, content: Mapping[str, Any]) -> ClusterFile:
    """Read Ray's YAML, with what Ray fills in.

    Raises:
        NotAClusterFileError: it breaks Ray's schema, or Ray refuses it.
    """
    broken = list(schema_errors(content, _ray_schema(), "Ray's schema of cluster files"))
    if broken:
        raise NotAClusterFileError(broken)
    full = with_defaults(content)
    local = content["provider"]["type"] == "local"
    types = full.get("available_node_types")
    if not types:
        raise NotAClusterFileError(["found no available_node_types; allowed: at least a head's"])
    head = types[full["head_node_type"]]
    # On a list of hosts head and workers are of one type, whose resources Ray does not set.
    workers = list(types.values())
    if not local:
        workers = [kind for name, kind in types.items() if name != full["head_node_type"]]
    starts = ("head_start_ray_commands", "worker_start_ray_commands")
    docker = full.get("docker") or {}
    mounts = {str(remote): str(place) for remote, place in full["file_mounts"].items()}
    commands = "\n".join(
        [str(image) for name, image in docker.items() if name.endswith("image")]
        + [command for kind in _COMMANDS for command in full[f"{kind}_commands"]]
        + [command for name in starts for command in full[name]]
    )
    mounted = any(remote.rstrip("/").endswith(_TOKEN) for remote in mounts)
    return ClusterFile(
        path=path,
        text=text,
        head="\n".join(full[starts[0]]),
        workers="\n".join(full[starts[1]]),
        commands=commands,
        installs=commands,
        workers_named="max_workers",
        most_workers=min(full["max_workers"], sum(kind["max_workers"] for kind in workers)),
        mounts=mounts,
        no_token=""
        if mounted or f"{_TOKEN_PATH}=" in commands
        else f"a mount of ~/{_TOKEN}, or {_TOKEN_PATH}",
        head_resources={} if local else head["resources"],
        autoscales=True,
    )


def _ray_schema() -> dict[str, Any]:
    found = find_spec("ray")
    assert found is not None
    assert found.origin is not None
    file = Path(found.origin).parent / "autoscaler" / "ray-schema.json"
    schema: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return schema


def with_defaults(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content as ``ray up`` takes it: what the file leaves out is what Ray fills in.

    Raises:
        NotAClusterFileError: Ray refuses it.
    """
    said = io.StringIO()
    try:
        with _quiet(said):
            from ray.autoscaler._private.util import prepare_config, validate_config

            full: dict[str, Any] = prepare_config(dict(content))
            validate_config(full)
    except Exception as error:
        # Where Ray gives up in its own way, the reason is on the terminal, not in the exception.
        reason = str(error)
        if not reason or "cli_logger" in reason:
            reason = said.getvalue()
        raise NotAClusterFileError([f"Ray refuses it: {_sentence(reason)}"]) from None
    return full


def _sentence(text: str) -> str:
    """The first line that gives a reason, without colours, times and levels."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    reasons = (line for line in lines if not re.search(r"\b(WARN|INFO)\b", line))
    clean = (re.sub(r"^.*\.py:\d+ -- ", "", line).strip(" .!") for line in reasons)
    return next((line for line in clean if line), "it gives no reason")[:LONGEST]


@contextlib.contextmanager
def _quiet(said: io.StringIO) -> Iterator[None]:
    """Ray's hints on the way go into ``said``."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            yield
    finally:
        logging.disable(before)
