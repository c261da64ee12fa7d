"""What a cluster file says, in one form for the rules, whatever wrote the cluster down."""

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from trainables.errors import InputError, field_path

LONGEST = 200


@dataclass(frozen=True)
class ClusterFile:
    """A cluster as its file describes it.

    Attributes:
        path: the file.
        text: its lines, with comments.
        head: the commands that start Ray on the head, one string.
        workers: those that start Ray on the workers, one string.
        commands: all commands, and the container images, one string.
        installs: where versions stand: what nodes install, or are made of before they start.
        workers_named: the setting that says how many workers there can be.
        most_workers: how many that is; None where the file does not say.
        heads: how many of the nodes that the setting counts are no workers.
        mounts: remote path to local path; None where the file brings no files.
        no_token: what would bring nodes the token; empty where something does.
        head_resources: what the file says that the head has, by Ray's names.
        autoscales: whether the head starts workers from a configuration that ``ray up`` left.
        beside_others: whether other people's Ray, or the platform's, runs on the same nodes.
        own: mistakes that only this kind of file can have, one sentence each.
    """

    path: Path
    text: str
    head: str
    workers: str
    commands: str
    installs: str
    workers_named: str
    most_workers: int | None
    heads: int = 0
    mounts: Mapping[str, str] | None = None
    no_token: str = ""
    head_resources: Mapping[str, float] = field(default_factory=dict)
    autoscales: bool = False
    beside_others: bool = False
    own: tuple[str, ...] = ()


class NotAClusterFileError(Exception):
    """The file breaks its schema, or its shell syntax is wrong; one sentence for each place."""

    def __init__(self, sentences: list[str]) -> None:
        super().__init__("; ".join(sentences))
        self.sentences = sentences


def schema_errors(
    content: Mapping[str, Any], schema: Mapping[str, Any], whose: str
) -> Iterator[str]:
    """Where a YAML's content breaks a JSON Schema, one sentence each, which names ``whose``."""
    import jsonschema

    validator = jsonschema.validators.validator_for(schema, jsonschema.Draft7Validator)(schema)
    for error in sorted(
        validator.iter_errors(content), key=lambda error: list(map(str, error.path))
    ):
        message = error.message.splitlines()[0]
        if len(message) > LONGEST:
            message = f"{message[:LONGEST]}…"
        where = field_path(list(error.path))
        yield f"{where + ': ' if where else ''}{message} ({whose})"


def check_schema(content: Mapping[str, Any], name: str, whose: str) -> None:
    """Hold the content against the schema ``name`` of this folder.

    Raises:
        NotAClusterFileError: it breaks it.
    """
    file = Path(__file__).with_name(name)
    schema = yaml.safe_load(file.read_text(encoding="utf-8"))
    broken = list(schema_errors(content, schema, whose))
    if broken:
        raise NotAClusterFileError(broken)


def check_bash(script: str, where: str) -> None:
    """Let bash read a script without running it.

    Raises:
        InputError: there is no bash.
        NotAClusterFileError: it is no bash.
    """
    try:
        checked = subprocess.run(
            ["bash", "-n"], input=script, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise InputError(f"{where}: cannot be checked, since there is no bash here") from None
    if checked.returncode != 0:
        lines = checked.stderr.splitlines() or ["bash gives no reason"]
        reason = re.sub(r"^bash: ", "", lines[0])
        raise NotAClusterFileError([f"invalid bash ({reason})"])


def without_comments(script: str) -> str:
    """A script's commands, those that go over several lines as one line each."""
    lines = (line for line in script.splitlines() if not line.lstrip().startswith("#"))
    return "\n".join(lines).replace("\\\n", " ")


def ray_starts(commands: str, exports: Iterable[str] = ()) -> tuple[str, str]:
    """The lines that start Ray on the head and on workers, each with the exports before them."""
    known = [*exports, *re.findall(r"^\s*export .*$", commands, re.MULTILINE)]
    starts = [line for line in commands.splitlines() if re.search(r"\bray start\b", line)]
    head = [line for line in starts if "--head" in line]
    workers = [line for line in starts if "--head" not in line]
    return "\n".join([*known, *head]), "\n".join([*known, *workers])
