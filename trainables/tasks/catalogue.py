"""Finding tasks: packaged ones by name, others by path."""

from pathlib import Path
from typing import Any

from trainables.core.cells import TaskRef
from trainables.core.contents import place_of
from trainables.errors import InputError, nearest, show
from trainables.tasks.task import Task

_FOLDER = Path(__file__).parent
_SUFFIXES = (".yaml", ".yml")

TASK_NAMES: tuple[str, ...] = tuple(
    sorted(path.relative_to(_FOLDER).with_suffix("").as_posix() for path in _FOLDER.rglob("*.yaml"))
)
"""Names of the packaged tasks: their files' paths in this folder, without the suffix."""


def load_task(name: str | Path | TaskRef, base: Path | None = None) -> Task:
    """A packaged task by name, one of the user's by the path of its file, or a planned one.

    Args:
        name: e.g. ``mini/topics``, ``my/task.yaml``, or what :func:`resolve_task` gave.
        base: folder that a relative path starts from; the working directory if None.

    Raises:
        InputError: unknown task, a wrong or missing file, or a task that has changed since
            ``name`` was resolved.
    """
    if not isinstance(name, TaskRef):
        return Task.read(_find(str(name), base))
    file = Path(name.file)
    if not file.is_file() and name.name in TASK_NAMES:
        # Another machine may have the package in another place.
        file = _packaged(name.name)
    task = Task.read(file)
    if task.digest != name.digest:
        raise InputError(
            f"the task {name.name} ({file}) has changed since it was planned: "
            f"its digest is {task.digest}, but must be {name.digest}"
        )
    return task


def resolve_task(name: str, base: Path | None = None) -> TaskRef:
    """What a plan holds of a task; reads the task file and the bytes of local data, not the rows.

    Raises:
        InputError: unknown task, or a wrong or missing file.
    """
    return load_task(name, base).ref


def remember_task(ref: TaskRef) -> dict[str, Any] | None:
    """What :func:`recall_task` needs of a planned task; None where its file or data are gone."""
    try:
        return load_task(ref).remembered()
    except InputError:
        return None


def recall_task(remembered: Any, ref: TaskRef) -> Task:
    """A planned task without its rows; its file and data may be gone.

    Args:
        remembered: of :func:`remember_task`; what is no such thing counts as None.

    Raises:
        InputError: there is nothing remembered, and :func:`load_task` does not find it.
    """
    return Task.recall(remembered, ref) or load_task(ref)


def _packaged(name: str) -> Path:
    return _FOLDER / f"{name}.yaml"


def _find(name: str, base: Path | None) -> Path:
    if name in TASK_NAMES:
        return _packaged(name)
    path = place_of(name, base or Path(), "task")
    if path.suffix in _SUFFIXES:
        # A missing file gets its message where it is read.
        return path
    raise InputError(
        f"task: found {show(name)}{nearest(name, TASK_NAMES)}; allowed: {', '.join(TASK_NAMES)}, or"
        " the path of a task file that ends in .yaml"
    )
