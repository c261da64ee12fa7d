"""A SkyPilot task: the same script on every node, whose first is the head."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.commands.clusters.described import (
    ClusterFile,
    check_bash,
    check_schema,
    ray_starts,
    without_comments,
)

SCHEMA = "skypilot.schema.yaml"
WORKDIR = "~/sky_workdir"
_TOKEN = "RAY_AUTH_TOKEN"


def read_sky_task(path: Path, text: str, content: Mapping[str, Any]) -> ClusterFile:
    """Read a task whose node of rank 0 is the head.

    Raises:
        InputError: there is no bash to check its commands with.
        NotAClusterFileError: it breaks the schema, or a command is no bash.
    """
    check_schema(content, SCHEMA, "SkyPilot's fields of a task")
    scripts = [content.get("setup") or "", content["run"]]
    for script in scripts:
        check_bash(script, str(path))
    values = {**(content.get("envs") or {}), **(content.get("secrets") or {})}
    exports = [f"export {name}={value}" for name, value in values.items() if value is not None]
    commands = "\n".join([*exports, *(without_comments(script) for script in scripts)])
    head, workers = ray_starts(commands)
    return ClusterFile(
        path=path,
        text=text,
        head=head,
        workers=workers,
        commands=commands,
        installs=commands,
        workers_named="num_nodes",
        most_workers=content.get("num_nodes", 1) - 1,
        heads=1,
        mounts=dict(_mounts(content)),
        no_token="" if _TOKEN in values else f"secrets: {{{_TOKEN}: null}}",
        beside_others=True,  # SkyPilot runs a Ray of its own on each node
        own=tuple(_own(content)),
    )


def _mounts(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is copied from this machine; buckets and volumes are not."""
    if isinstance(content.get("workdir"), str):
        yield WORKDIR, content["workdir"]
    for remote, place in (content.get("file_mounts") or {}).items():
        if isinstance(place, str) and "://" not in place:
            yield remote, place


def _own(content: Mapping[str, Any]) -> Iterator[str]:
    resources = content.get("resources") or {}
    stop = resources.get("autostop")
    if isinstance(stop, dict) and stop.get("down"):
        yield (
            "resources.autostop.down: found true, which takes the head's disk and the results on"
            " it; allowed: false, and sky down when they are home"
        )
    if resources.get("ports"):
        yield (
            f"resources.ports: found {resources['ports']}, open to everybody; allowed: none, and"
            " ssh -L"
        )
