"""Names of models turned into references, without loading anything."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainables.core.cells import ModelRef
from trainables.core.contents import file_digest, is_hub_name
from trainables.errors import InputError, nearest, show
from trainables.files.cache import expanded
from trainables.files.text_files import reason_of
from trainables.models.chats import TEMPLATE_FILE
from trainables.models.gguf_file import is_gguf, read_header
from trainables.pocket.zoo import POCKET_NAMES, pocket_path

_DIGESTED = ("*.json", "*.safetensors", "*.txt", "*.model")


def resolve_model(
    name: str, aliases: Mapping[str, Mapping[str, Any]] | None = None, base: Path | None = None
) -> ModelRef:
    """Find the model a spec names.

    Args:
        name: an alias of ``aliases``, an embedded model, a folder, a GGUF file, or a Hub name
            ``owner/name`` or ``owner/name@revision``. What is a folder is one, with ``@`` in its
            path too.
        aliases: the spec's ``models`` section: alias to ``{"path": …, "revision": …}``.
        base: folder that relative paths start from (default: the working directory).

    Raises:
        InputError: nothing fits, or a folder is no Hugging Face model folder.
    """
    base = base or Path.cwd()
    if aliases and name in aliases:
        entry = aliases[name]
        return _locate(name, str(entry["path"]), entry.get("revision"), base)
    location, revision = name, ""
    if _folder(name, base) is None and not is_gguf(name):
        location, _, revision = name.partition("@")
    return _locate(location, location, revision or None, base)


def portable(model: ModelRef) -> ModelRef:
    """A reference that other machines understand: an embedded model is located by its name."""
    name = Path(model.location).name
    embedded = name in POCKET_NAMES and pocket_path(name) == Path(model.location)
    return replace(model, location=name) if embedded else model


def model_now(planned: ModelRef, digest: str | None = None) -> ModelRef:
    """Where a model of a finished sweep is now: the package with the embedded ones may have moved.

    Args:
        digest: of the model that a result rests on (None: that of ``planned``).

    Raises:
        InputError: it is gone or has changed.
    """
    named = (planned.alias, planned.location)
    name = next((name for name in named if name in POCKET_NAMES), planned.location)
    entry = {planned.alias: {"path": name, "revision": planned.revision}}
    now = replace(resolve_model(planned.alias, entry), alias=planned.alias)
    if with_chat(now).digest == (digest or planned.digest):
        return with_chat(now)
    if now.digest != (digest or planned.digest):
        raise InputError(
            f"model {planned.alias!r}: {now.location} has changed since the sweep; allowed: the"
            f" model that the prompt was tuned or scored on (digest {digest or planned.digest})"
        )
    return now


def _locate(alias: str, location: str, revision: str | None, base: Path) -> ModelRef:
    short = Path(alias).name or alias
    if location in POCKET_NAMES:
        folder = pocket_path(location)
        return ModelRef(alias, str(folder), None, _folder_digest(alias, folder))
    found = _folder(location, base)
    if found is not None:
        return ModelRef(short, str(found), None, _folder_digest(alias, found))
    if is_gguf(location):
        return _gguf(alias, location, base)
    if is_hub_name(location):
        return ModelRef(short, location, revision, f"{location}@{revision or 'main'}")
    shown = location if revision is None else f"{location}@{revision}"
    raise InputError(
        f"model {show(shown)}: not found{nearest(location, POCKET_NAMES)};"
        f" allowed: an embedded model ({', '.join(POCKET_NAMES)}), a model folder, a .gguf file, or"
        " a Hub name owner/name"
    )


def _gguf(alias: str, location: str, base: Path) -> ModelRef:
    """A model in one file."""
    short = Path(alias).stem if is_gguf(alias) else Path(alias).name
    try:
        file = (base / expanded(location)).resolve()
        if not file.is_file():
            raise InputError(f"{file}: no such file; allowed: a GGUF file")
        header = read_header(file)
        return ModelRef(short, str(file), None, model_digest(file), header.stored)
    except InputError as error:
        raise InputError(f"model {show(alias)}: {error}") from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"model {show(alias)}: cannot be read ({reason_of(error)}); allowed: a GGUF file"
        ) from None


def _folder(location: str, base: Path) -> Path | None:
    """The folder of that name; None where there is none."""
    try:
        folder = (base / expanded(location)).resolve()
        return folder if folder.is_dir() else None
    except (OSError, ValueError, RuntimeError):  # a name too long, a loop of links, no such user
        return None


def _folder_digest(alias: str, folder: Path) -> str:
    try:
        _check_files(alias, folder)
        return folder_digest(folder)
    except OSError as error:
        raise InputError(
            f"model {show(alias)}: {error.filename} cannot be read ({error.strerror});"
            " allowed: a Hugging Face model folder"
        ) from None


def _check_files(alias: str, folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise InputError(
            f"model {show(alias)}: {folder} holds no config.json; allowed: a Hugging Face model"
            " folder"
        )
    if not any(folder.glob("*.safetensors")):
        raise InputError(
            f"model {show(alias)}: {folder} holds no *.safetensors weights;"
            " allowed: a Hugging Face model folder with safetensors weights"
        )
    if (folder / "adapter_config.json").exists():
        raise InputError(
            f"model {show(alias)}: {folder} holds adapter_config.json, an adapter whose base may"
            " lie elsewhere; allowed: a model folder into which the adapter is merged"
        )


def model_digest(place: Path) -> str:
    """16 hex digits of a GGUF file's bytes, or of a folder (:func:`folder_digest`).

    Raises:
        OSError: it cannot be read.
    """
    return file_digest(place)[:16] if is_gguf(place) else folder_digest(place)


def with_chat(model: ModelRef) -> ModelRef:
    """A model whose chat template is read: where that is a file of its own it is in the digest.

    Nobody else reads it, and other results keep their ids whatever it says.
    """
    return replace(model, digest=_with_template(Path(model.location), model.digest))


def _with_template(place: Path, digest: str) -> str:
    template = place / TEMPLATE_FILE
    if not place.is_absolute() or not template.is_file():
        return digest
    return hashlib.sha256(digest.encode() + template.read_bytes()).hexdigest()[:16]


def is_model(place: Path, digest: str) -> bool:
    """Whether a folder or file is what a digest says, with its chat template or without.

    Raises:
        OSError: it cannot be read.
    """
    found = model_digest(place)
    return digest in (found, _with_template(place, found))


def folder_digest(folder: Path) -> str:
    """16 hex digits over names and contents of :func:`model_files`.

    Raises:
        OSError: one of them cannot be read.
    """
    digest = hashlib.sha256()
    for file in model_files(folder):
        digest.update(file.name.encode())
        digest.update(bytes.fromhex(file_digest(file)))
    return digest.hexdigest()[:16]


def travelling(place: Path) -> dict[str, Path]:
    """By name, the files that a model is loaded from, its chat template among them."""
    files = [place] if is_gguf(place) else [*model_files(place), place / TEMPLATE_FILE]
    return {file.name: file for file in files if file.is_file()}


def model_files(folder: Path) -> list[Path]:
    """What a model folder is loaded from, sorted: configuration, weights and tokenizer."""
    files = {file for pattern in _DIGESTED for file in folder.glob(pattern)}
    # The card is prose: editing it must not make every cell new.
    return sorted(files - {folder / "card.json"})
