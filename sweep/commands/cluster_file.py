"""What a cluster file says, whether it is Ray's YAML or a SLURM script, in one form for the rules.

Everything here works offline. Ray's schema and defaults come from the installed package, whose
private module is touched in :func:`with_defaults` and nowhere else.
"""

import contextlib
import io
import json
import logging
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trainables.errors import InputError, field_path, show
from trainables.files.strict_yaml import StrictLoader, load_yaml
from trainables.files.text_files import read_text

_LONGEST = 200
_COMMANDS = ("initialization", "setup", "head_setup", "worker_setup")
_NODES = re.compile(r"^#SBATCH\s+(?:--nodes[= ]|-N\s*)(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class ClusterFile:
    """A cluster as its file describes it.

    Attributes:
        path: the file.
        text: its lines, with comments.
        head: the commands that start Ray on the head, one string.
        workers: those that start Ray on the workers, one string.
        commands: all commands, and the container images, one string.
        most_workers: how many workers there can be; None where the file does not say.
        mounts: remote path to local path; None where nodes share a file system.
        head_resources: what the file says that the head has, by Ray's names.
        autoscales: whether the head starts workers.
    """

    path: Path
    text: str
    head: str
    workers: str
    commands: str
    most_workers: int | None
    mounts: Mapping[str, str] | None = None
    head_resources: Mapping[str, float] = field(default_factory=dict)
    autoscales: bool = False


class NotAClusterFileError(Exception):
    """The file breaks Ray's schema, or its shell syntax is wrong; one sentence for each place."""

    def __init__(self, sentences: list[str]) -> None:
        super().__init__("; ".join(sentences))
        self.sentences = sentences


def read_cluster_file(path: Path) -> ClusterFile:
    """Read a cluster YAML, or a SLURM script (its name ends with ``.sh`` or ``.sbatch``).

    Raises:
        InputError: the file cannot be read, or is no YAML mapping.
        NotAClusterFileError: the YAML breaks Ray's schema; the script is no valid bash.
    """
    text = read_text(path, str(path))
    if path.suffix in (".sh", ".sbatch", ".slurm"):
        return _read_script(path, text)
    return _read_yaml(path, text)


def _read_yaml(path: Path, text: str) -> ClusterFile:
    content = load_yaml(text, str(path), StrictLoader)  # Ray's own reader knows no 1e-3 either
    if not isinstance(content, dict):
        raise InputError(f"{path}: found {show(content)}; allowed: a mapping, Ray's cluster YAML")
    broken = list(schema_errors(content))
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
    return ClusterFile(
        path=path,
        text=text,
        head="\n".join(full[starts[0]]),
        workers="\n".join(full[starts[1]]),
        commands="\n".join(
            [str(image) for name, image in docker.items() if name.endswith("image")]
            + [command for kind in _COMMANDS for command in full[f"{kind}_commands"]]
            + [command for name in starts for command in full[name]]
        ),
        most_workers=min(full["max_workers"], sum(kind["max_workers"] for kind in workers)),
        mounts={str(remote): str(place) for remote, place in full["file_mounts"].items()},
        head_resources={} if local else head["resources"],
        autoscales=True,
    )


def schema_errors(content: Mapping[str, Any]) -> Iterator[str]:
    """Where a YAML's content breaks the schema that ships with Ray, one sentence each."""
    import jsonschema

    found = find_spec("ray")
    assert found is not None
    assert found.origin is not None
    schema = Path(found.origin).parent / "autoscaler" / "ray-schema.json"
    validator = jsonschema.Draft7Validator(json.loads(schema.read_text(encoding="utf-8")))
    for error in sorted(
        validator.iter_errors(content), key=lambda error: list(map(str, error.path))
    ):
        message = error.message.splitlines()[0]
        if len(message) > _LONGEST:
            message = f"{message[:_LONGEST]}…"
        where = field_path(list(error.path))
        yield f"{where + ': ' if where else ''}{message} (Ray's schema of cluster files)"


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
    return next((line for line in clean if line), "it gives no reason")[:_LONGEST]


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


def _read_script(path: Path, text: str) -> ClusterFile:
    try:
        checked = subprocess.run(
            ["bash", "-n", str(path)], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise InputError(f"{path}: cannot be checked, since there is no bash here") from None
    if checked.returncode != 0:
        lines = checked.stderr.splitlines() or ["bash gives no reason"]
        raise NotAClusterFileError([f"invalid bash ({lines[0].removeprefix(f'{path}: ')})"])
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    commands = "\n".join(lines).replace("\\\n", " ")
    exports = "\n".join(re.findall(r"^\s*export .*$", commands, re.MULTILINE))
    starts = [line for line in commands.splitlines() if re.search(r"\bray start\b", line)]
    nodes = _NODES.search(text)
    return ClusterFile(
        path=path,
        text=text,
        head="\n".join([exports, *(line for line in starts if "--head" in line)]),
        workers="\n".join([exports, *(line for line in starts if "--head" not in line)]),
        commands=commands,
        most_workers=int(nodes[1]) - 1 if nodes else None,
    )
