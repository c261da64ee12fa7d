"""A SLURM batch script."""

import re
from pathlib import Path

from sweep.commands.clusters.described import (
    ClusterFile,
    check_bash,
    ray_starts,
    without_comments,
)

_NODES = re.compile(r"^#SBATCH\s+(?:--nodes[= ]|-N\s*)(\d+)", re.MULTILINE)
_TOKEN = "RAY_AUTH_TOKEN_PATH"


def read_slurm(path: Path, text: str) -> ClusterFile:
    """Read a batch script whose first node is the head.

    Raises:
        InputError: there is no bash to check it with.
        NotAClusterFileError: it is no bash.
    """
    check_bash(text, str(path))
    commands = without_comments(text)
    head, workers = ray_starts(commands)
    nodes = _NODES.search(text)
    return ClusterFile(
        path=path,
        text=text,
        head=head,
        workers=workers,
        commands=commands,
        installs=text,  # in a comment too: the environment is made before the job
        workers_named="--nodes",
        most_workers=int(nodes[1]) - 1 if nodes else None,
        heads=1,
        no_token="" if f"{_TOKEN}=" in commands else _TOKEN,
        beside_others=True,
    )
