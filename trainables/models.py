"""Names of models turned into :class:`~trainables.cells.ModelRef`, without loading anything."""

import difflib
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainables.cells import ModelRef
from trainables.errors import InputError
from trainables.pocket.zoo import POCKET_NAMES, pocket_path

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_DIGESTED = ("*.json", "*.safetensors", "*.txt", "*.model")


def resolve_model(
    name: str, aliases: Mapping[str, Mapping[str, Any]] | None = None, base: Path | None = None
) -> ModelRef:
    """Find the model a spec names.

    Args:
        name: an alias of ``aliases``, an embedded model, a folder, or a Hub name
            ``owner/name`` or ``owner/name@revision``.
        aliases: the spec's ``models`` section: alias to ``{"path": …, "revision": …}``.
        base: folder that relative paths start from (default: the working directory).

    Raises:
        InputError: nothing fits, or a folder is no Hugging Face model folder.
    """
    base = base or Path.cwd()
    if aliases and name in aliases:
        entry = aliases[name]
        return _locate(name, str(entry["path"]), entry.get("revision"), base)
    location, _, revision = name.partition("@")
    return _locate(name, location, revision or None, base)


def _locate(alias: str, location: str, revision: str | None, base: Path) -> ModelRef:
    if location in POCKET_NAMES:
        folder = pocket_path(location)
        return ModelRef(alias, str(folder), None, _folder_digest(alias, folder))
    folder = (base / Path(location).expanduser()).resolve()
    if folder.is_dir():
        return ModelRef(_short(alias), str(folder), None, _folder_digest(alias, folder))
    looks_local = location.startswith((".", "/", "~"))
    if not looks_local and _HUB_NAME.fullmatch(location):
        return ModelRef(_short(alias), location, revision, f"{location}@{revision or 'main'}")
    near = difflib.get_close_matches(location, POCKET_NAMES, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise InputError(
        f"model {location!r}: not found{hint}; allowed: an embedded model"
        f" ({', '.join(POCKET_NAMES)}), a model folder, or a Hub name owner/name"
    )


def _short(alias: str) -> str:
    return Path(alias.partition("@")[0]).name or alias


def _folder_digest(alias: str, folder: Path) -> str:
    if not (folder / "config.json").is_file():
        raise InputError(
            f"model {alias!r}: {folder} holds no config.json; allowed: a Hugging Face model folder"
        )
    if not any(folder.glob("*.safetensors")):
        raise InputError(
            f"model {alias!r}: {folder} holds no *.safetensors weights;"
            " allowed: a Hugging Face model folder with safetensors weights"
        )
    return folder_digest(folder)


def folder_digest(folder: Path) -> str:
    """16 hex digits over names and contents of :func:`model_files`.

    Raises:
        OSError: one of them cannot be read.
    """
    digest = hashlib.sha256()
    for file in model_files(folder):
        digest.update(file.name.encode())
        with file.open("rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()[:16]


def unpinned(digest: str) -> bool:
    """Whether a digest is that of a Hub model without a revision: what it names may change."""
    return digest.endswith("@main")


def model_files(folder: Path) -> list[Path]:
    """What a model folder is loaded from, sorted: configuration, weights and tokenizer."""
    files = {file for pattern in _DIGESTED for file in folder.glob(pattern)}
    # The card is prose: editing it must not make every cell new.
    return sorted(files - {folder / "card.json"})
