"""Models, tasks and prompt files on nodes that lack them: fetched once a node, by digest.

A pack names places on the driver's machine. A worker that finds there what the digest says uses it;
otherwise it looks into ``shipped`` in :func:`trainables.files.cache.cache_folder`, and fetches what
is not there either. Models of the Hub are left to each node's own Hub cache. Torch-free, and
without
Ray: who fetches is handed in.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from trainables.core.cells import Pack, TaskRef
from trainables.core.contents import start_digest
from trainables.errors import InputError
from trainables.files.cache import NOWHERE, cache_folder, no_cache
from trainables.models.gguf_file import is_gguf
from trainables.models.names import is_model, travelling


@dataclass(frozen=True)
class Item:
    """Something that a pack needs on the node it runs on.

    Attributes:
        kind: a key of :data:`KINDS`.
        name: how to call it in messages.
        location: absolute path on the driver's machine.
        digest: of what it holds, as cells have it.
    """

    kind: str
    name: str
    location: str
    digest: str


@dataclass(frozen=True)
class Kind:
    """A kind of things that travel.

    Attributes:
        whole: whether what is at a path is what a digest says.
        files: what has to travel, by file name (with ``/`` below a folder): a path, or the bytes
            themselves.
        entry: from the folder it arrived in to the path that packs name.
    """

    whole: Callable[[Path, str], bool]
    files: Callable[[Path], Mapping[str, bytes | Path]]
    entry: Callable[[Path], Path]


def _is_task(file: Path, digest: str) -> bool:
    from trainables.tasks import Task

    return Task.read(file).digest == digest


def _task_files(file: Path) -> Mapping[str, bytes | Path]:
    from trainables.tasks import Task

    return Task.read(file).portable()


KINDS: dict[str, Kind] = {
    "model": Kind(
        is_model,
        travelling,
        lambda folder: next(filter(is_gguf, sorted(folder.glob("*"))), folder),
    ),
    "task": Kind(_is_task, _task_files, lambda folder: folder / "task.yaml"),
    "prompt": Kind(
        lambda file, digest: start_digest(file) == digest,
        # The suffix tells the format.
        lambda file: {f"prompt{file.suffix}": file},
        lambda folder: next(iter(sorted(folder.glob("prompt.*"))), folder / "prompt"),
    ),
}

Fetch = Callable[[Item], Iterator[tuple[str, Iterator[bytes]]] | None]
"""Gives each file's name and content in parts; None where the driver's machine lacks it too."""


def is_whole(item: Item, path: Path) -> bool:
    """Whether what is at ``path`` is what the item's digest says."""
    try:
        return path.exists() and KINDS[item.kind].whole(path, item.digest)
    except (OSError, InputError):
        return False


class Places:
    """From a pack as planned to one that names places on this node.

    Every item is looked at once a process.
    """

    def __init__(self, fetch: Fetch, look: bool = True, folder: Path | None = None) -> None:
        """Prepare.

        Args:
            fetch: brings what this node lacks.
            look: whether an item may be where the pack says; else only what was fetched is used.
            folder: where to keep what is fetched; None: ``shipped`` in the cache folder.
        """
        self._fetch = fetch
        self._look = look
        self._folder = folder or cache_folder() / "shipped"
        self._known: dict[Item, str] = {}

    def __call__(self, pack: Pack) -> Pack:
        """The pack with places on this node; no id depends on them.

        Raises:
            InputError: something cannot be had, or has changed since it was planned.
            OSError: this node has no room for it.
        """
        models = {
            alias: replace(
                model, location=self._place(Item("model", alias, model.location, model.digest))
            )
            for alias, model in pack.models.items()
            if Path(model.location).is_absolute()  # no name of the Hub is
        }
        files = {
            alias: self._place(Item("prompt", pack.files[alias], pack.files[alias], digest))
            for alias, digest in pack.file_digests.items()
        }
        return replace(
            pack,
            models={**pack.models, **models},
            task=self._task(pack.task),
            texts={name: self._task(task) for name, task in pack.texts.items()},
            files={**pack.files, **files},
        )

    def _task(self, task: TaskRef) -> TaskRef:
        return replace(task, file=self._place(Item("task", task.name, task.file, task.digest)))

    def _place(self, item: Item) -> str:
        if item not in self._known:
            self._known[item] = str(self._find(item))
        return self._known[item]

    def _find(self, item: Item) -> Path:
        given = Path(item.location)
        if self._look and is_whole(item, given):
            return given
        if self._folder.is_relative_to(NOWHERE):
            raise InputError(f"{item.kind} {item.name!r}: this node lacks it, and {no_cache()}")
        kept = self._folder / f"{item.kind}-{item.digest}"
        entry = KINDS[item.kind].entry
        with _alone(kept):
            if is_whole(item, entry(kept)):
                return entry(kept)
            parts = self._fetch(item)
            if parts is None:  # loading it says what is wrong
                return given
            self._keep(item, kept, parts)
        return entry(kept)

    def _keep(self, item: Item, kept: Path, parts: Iterator[tuple[str, Iterator[bytes]]]) -> None:
        """Write what arrives beside its place, check it, and put it there at once."""
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=kept.parent))
        try:
            for name, content in parts:
                place = partial / name
                if ".." in place.parts or not place.is_relative_to(partial):
                    raise InputError(f"{item.kind} {item.name!r}: a file is named {name!r}")
                place.parent.mkdir(parents=True, exist_ok=True)
                with place.open("wb") as file:
                    for part in content:
                        file.write(part)
            if not is_whole(item, KINDS[item.kind].entry(partial)):
                raise InputError(
                    f"{item.kind} {item.name!r}: what arrived on this node is not what was planned"
                    f" (digest {item.digest}); its files may have changed since"
                )
            if kept.exists():  # damaged
                shutil.rmtree(kept)
            partial.chmod(0o755)
            partial.rename(kept)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


@contextmanager
def _alone(kept: Path) -> Iterator[None]:
    """One process of this node at a time: the others find what it has fetched."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with kept.with_name(f".{kept.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
