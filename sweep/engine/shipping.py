"""Files that workers of a cluster lack, sent from the driver's machine through Ray's object store.

One actor beside the driver reads a model folder, task or prompt file at the first request and puts
it into the object store once. Each node gets it once, from another node if that is nearer. Where
all nodes see the same files it reads none.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.engine.broker import start_beside_driver
from sweep.planning.plan import AnyPlan
from trainables.errors import InputError
from trainables.packs.shipping import KINDS, Item, is_whole

VARIABLE = "PROMPTSWEEP_SHIP"
"""Environment variable of the driver: ``auto`` (default), ``always`` (nodes never use what lies at
the driver's paths) or ``never`` (every node has all files at the driver's paths)."""

LIMIT = 20 << 30
"""Bytes of one thing that travel at most."""
WARNED = 2 << 30
"""Bytes from which a model folder is worth a warning."""
_PART = 64 << 20


class Shipper:
    """Hands out contents by kind and digest; each is read once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], dict[str, Any] | None] = {}

    def hand_out(self, item: dict[str, str]) -> dict[str, Any] | None:
        """Where the contents of an item lie.

        Args:
            item: fields of :class:`trainables.packs.shipping.Item`.

        Returns:
            ``{"files": {name: references to its parts}}``, ``{"error": one sentence}``, or None
            where this machine has nothing at that path either.
        """
        wanted = Item(**item)
        key = (wanted.kind, wanted.digest)
        if key not in self._known:
            self._known[key] = self._read(wanted)
        return self._known[key]

    def _read(self, item: Item) -> dict[str, Any] | None:
        import ray

        path = Path(item.location)
        if not path.exists():
            return None
        try:
            if not is_whole(item, path):
                return {
                    "error": f"{item.kind} {item.name!r}: {path} has changed since it was planned;"
                    " run the sweep again"
                }
            files = KINDS[item.kind].files(path)
            size = _size(files)
            if size > LIMIT:
                return {"error": f"{item.kind} {item.name!r}: {_too_large(path, size)}"}
            return {
                "files": {
                    name: [ray.put(part) for part in _parts(content)]
                    for name, content in files.items()
                }
            }
        except (OSError, InputError) as error:
            return {"error": f"{item.kind} {item.name!r}: {path} cannot be read ({error})"}


def shipping(address: str | None) -> str | None:
    """How files get to the nodes: ``auto``, ``always``, or None where they need not.

    Args:
        address: of a cluster; None for a Ray on this machine alone.

    Raises:
        InputError: the environment variable says something else.
    """
    asked = os.environ.get(VARIABLE) or "auto"
    if asked not in ("auto", "always", "never"):
        raise InputError(f"{VARIABLE}: found {asked!r}; allowed: auto, always, never")
    return None if address is None or asked == "never" else asked


def start_shipper(mode: str | None, name: str) -> tuple[Any, dict[str, Any]]:
    """The shipper, if one is needed, and what every trial's config says of it.

    Args:
        mode: of :func:`shipping`.

    Returns:
        The actor, which lives as long as somebody holds this, and keys of the config.
    """
    if mode is None:
        return None, {}
    return start_beside_driver(Shipper, name), {"shipper": name, "look": mode == "auto"}


def heavy_models(plan: AnyPlan, mode: str | None) -> list[str]:
    """A warning for each model folder that takes long to travel."""
    if mode is None:
        return []
    warnings = []
    for alias, model in plan.resolved.models.items():
        folder = Path(model.location)
        if folder.is_absolute() and folder.exists():
            size = _size(KINDS["model"].files(folder))
            if size > LIMIT:
                warnings.append(f"model {alias!r}: {_too_large(folder, size)}")
            elif size > WARNED:
                warnings.append(
                    f"model {alias!r}: {size / 1e9:.1f} GB travel to every node that does not have"
                    f" {folder}"
                )
    return warnings


def _too_large(path: Path, size: int) -> str:
    return (
        f"{path} has {size / 1e9:.1f} GB, and nodes that lack it get {LIMIT / 1e9:.1f} GB at most;"
        " allowed: put it at the same path on every node (file_mounts or a shared disk), or name"
        " a model of the Hub"
    )


def _size(files: Mapping[str, bytes | Path]) -> int:
    return sum(
        len(content) if isinstance(content, bytes) else content.stat().st_size
        for content in files.values()
    )


def _parts(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while part := file.read(_PART):
            yield part
