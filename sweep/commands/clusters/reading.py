"""Which kind of cluster file it is: by the name's ending, and by a key that only one kind has."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sweep.commands.clusters.described import ClusterFile
from sweep.commands.clusters.kuberay import read_ray_job
from sweep.commands.clusters.ray_up import read_ray_up
from sweep.commands.clusters.skypilot import read_sky_task
from sweep.commands.clusters.slurm import read_slurm
from trainables.errors import InputError, show
from trainables.files.strict_yaml import StrictLoader, load_yaml
from trainables.files.text_files import read_text

SCRIPTS = (".sh", ".sbatch", ".slurm")
KINDS: dict[str, Callable[[Path, str, Mapping[str, Any]], ClusterFile]] = {
    "apiVersion": read_ray_job,
    "run": read_sky_task,
    "num_nodes": read_sky_task,
}
"""How a YAML is read that has this key; one with none of them is Ray's."""


def read_cluster_file(path: Path) -> ClusterFile:
    """Read a cluster YAML of Ray's, KubeRay's or SkyPilot's, or a SLURM script.

    Raises:
        InputError: the file cannot be read, or is no YAML mapping.
        NotAClusterFileError: the YAML breaks its schema; the script is no valid bash.
    """
    text = read_text(path, str(path))
    if path.suffix in SCRIPTS:
        return read_slurm(path, text)
    content = load_yaml(text, str(path), StrictLoader)  # Ray's own reader knows no 1e-3 either
    if not isinstance(content, dict):
        raise InputError(f"{path}: found {show(content)}; allowed: a mapping, a cluster's YAML")
    read = next((KINDS[key] for key in content if key in KINDS), read_ray_up)
    return read(path, text, content)
