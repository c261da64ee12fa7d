"""What stands behind a name: digests of contents, and names that mean one content for good.

A cell's hash holds digests of all that its result rests on. Of what lies on this machine they are
made of bytes. What lies on the Hugging Face Hub counts by its name and revision, and only a commit
means the same next year: a digest with ``@`` and anything else behind it stands for content that
may change. Torch-free.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from trainables.errors import InputError, show
from trainables.files.cache import expanded
from trainables.files.text_files import check_regular, reason_of

UNPINNED = "@unpinned"
"""End of a task's digest where its data may change; a model's ends in ``@`` and the revision."""

_HUB_NAME = re.compile(r"\w[\w.-]*/[\w.-]+", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PLACES = (".", "/", "~")
_COUNTED_HIDDEN = (".huggingface.yaml",)
"""Hidden files that change how a data set is read."""


def is_hub_name(name: str) -> bool:
    """Whether a name can be one of the Hub: ``owner/name``."""
    return not name.startswith(_PLACES) and _HUB_NAME.fullmatch(name) is not None


def is_commit(revision: str | None) -> bool:
    """Whether a revision of the Hub is a commit; a branch or a tag may move."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def is_pinned(digest: str) -> bool:
    """Whether a digest says all of what it stands for, today and next year."""
    _, at, revision = digest.rpartition("@")
    return not at or is_commit(revision)


def check_no_folder(name: str, field: str) -> None:
    """Libraries prefer a folder of the working directory to the Hub's of the same name.

    Args:
        name: what shall be loaded from the Hub.
        field: how to call it in the message.

    Raises:
        InputError: there is such a folder: what is in it was not looked at when the plan was made.
    """
    if Path(name).is_dir():
        raise InputError(
            f"{field}: found {name!r}, which shall come from the Hugging Face Hub, but the working"
            f" directory has {str(Path(name).absolute())!r}, which would be taken in its place;"
            " allowed: another working directory, or the folder's path as the name"
        )


def no_access(error: BaseException, page: str) -> str | None:
    """What to do where the Hub does not give something out: one clause, None for other errors.

    Args:
        error: what a library raised, whatever it was caused by.
        page: path of the thing on the Hub, ``owner/name`` or ``datasets/owner/name``.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    token = "HF_TOKEN in the environment, or hf auth login"
    place = f"{constants.ENDPOINT}/{page}"
    cause: BaseException | None = error
    while cause is not None:
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if isinstance(cause, GatedRepoError):
            return (
                f"gated: ask for access at {place}, then give the token of that account ({token})"
            )
        if isinstance(cause, RepositoryNotFoundError):
            return f"not there, or private: see {place}, or give a token that may read it ({token})"
        if isinstance(cause, HfHubHTTPError) and status in (401, 403):
            return (
                f"not given out: ask for access at {place}, and give a token that has it ({token})"
            )
        cause = cause.__cause__ or cause.__context__
    return None


def place_of(path: str, base: Path, where: str) -> Path:
    """Where a path leads that a user wrote: ``~`` is a home, a relative one starts from ``base``.

    ``where`` is how messages name the field it comes from.

    Raises:
        InputError: there is no such home, or no file can have such a name.
    """
    try:
        place = base / expanded(path)
        place.exists()
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{where}: found the path {show(path)} ({reason_of(error)}); allowed: one that leads"
            " somewhere"
        ) from None
    return place


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    check_regular(path)
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def start_digest(path: Path) -> str:
    """16 hex digits of a file that prompts start from, as cells have them; errors as above."""
    return file_digest(path)[:16]


def files_below(folder: Path) -> dict[str, Path]:
    """The regular files of a folder of data, by name relative to it with ``/``, sorted.

    Links are followed. Hidden files and folders and ``__pycache__`` are left out, as the library
    that reads the data does; the one hidden file that it reads is in.

    Raises:
        InputError: a link leads back to a folder that it is in.
        OSError: a folder cannot be read.
    """
    return dict(sorted(_walk(folder, "", (os.path.realpath(folder),))))


def _walk(folder: Path, prefix: str, above: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    for entry in folder.iterdir():
        if entry.name == "__pycache__" or (
            entry.name.startswith(".") and entry.name not in _COUNTED_HIDDEN
        ):
            continue
        name = prefix + entry.name
        if entry.is_dir():
            real = os.path.realpath(entry)
            if real in above:
                raise InputError(f"{entry} is a link that leads back to a folder it is in")
            yield from _walk(entry, f"{name}/", (*above, real))
        elif entry.is_file():
            yield name, entry
