"""The section ``task_transfer``: prompts of some tasks as starts for others, on one model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from trainables.core.registries import INITIALISATIONS, SIMILARITIES
from trainables.core.settings.soft import PAPER_RANGE
from trainables.core.settings.starts import CAP
from trainables.errors import InputError, check_known, show
from trainables.files.validation import STRICT, checked, frozen, model_of

ALL: Literal["all"] = "all"
_TASKS = "all, or a list of tasks of the spec, none twice"
_KEPT = ("prompt_length", "shots", "init", "init_range", "init_text", "init_file")
"""Settings that source prompts have in common with others, or that stand elsewhere."""


def _distinct(values: Any) -> Any:
    if isinstance(values, tuple) and len(set(values)) < len(values):
        raise ValueError("one of them stands there twice")
    return values


def _several(value: Any) -> Any:
    return frozen(value) if isinstance(value, list) else (value,)


_UNIQUE = AfterValidator(_distinct)
TaskNames = Annotated[
    Literal["all"] | Annotated[tuple[str, ...], Field(min_length=1)],
    _UNIQUE,
    BeforeValidator(frozen),
]
Count = Annotated[int, Field(ge=1)]
Similarity = Annotated[str, SIMILARITIES]


class TaskTransfer(BaseModel):
    """Prompts tuned on source tasks are where the tuning on target tasks starts (Vu et al. 2022).

    On every model of ``sources``, each by itself.
    """

    model_config = ConfigDict(**STRICT, arbitrary_types_allowed=True)

    source_tasks: TaskNames = Field(default=ALL, description=_TASKS)
    target_tasks: TaskNames = Field(default=ALL, description=_TASKS)
    source_shots: Count | None = Field(
        default=None,
        description="a whole number from 1 (examples a class that source prompts are tuned with)"
        " or null for all",
    )
    source_settings: dict[str, Any] = Field(
        default={},
        description="a mapping of settings of the method that source prompts are tuned with instead"
        f" (not {', '.join(_KEPT)}), or {{}} for none",
    )
    sources_only: bool = Field(
        default=False,
        description="true (source tasks that are no target tasks, such as pretext tasks, are tuned"
        " on for nothing else; all target tasks are then all others) or false",
    )
    controls: Annotated[
        tuple[Annotated[str, INITIALISATIONS], ...], _UNIQUE, BeforeValidator(frozen)
    ] = Field(
        default=(),
        description="a list of values of init, none twice, that target tasks are tuned from as"
        " controls beside words, or [] for none",
    )
    embedding_steps: Count | None = Field(
        default=None,
        description="a whole number from 1 (steps after which prompts tell how like their tasks"
        " are), or null for no retrieval",
    )
    retrieval: Annotated[
        tuple[Similarity, ...],
        Field(min_length=1),
        _UNIQUE,
        BeforeValidator(
            _several,
            json_schema_input_type=Similarity | Annotated[list[Similarity], Field(min_length=1)],
        ),
    ] = Field(
        default=("per_token",), description="a similarity of tasks, or a list of them, none twice"
    )
    weighted: Annotated[tuple[Count, ...], _UNIQUE, BeforeValidator(frozen)] = Field(
        default=(),
        description="a list of whole numbers from 1, none twice (start from the weighted average"
        " of so many most similar tasks' prompts), or [] for none",
    )

    mixture: Annotated[tuple[Count, ...], _UNIQUE, BeforeValidator(frozen)] = Field(
        default=(),
        description="a list of whole numbers from 1, none twice (start from a prompt tuned on a"
        " mixture of the target task and so many most similar tasks), or [] for none",
    )
    cap: Count = Field(
        default=CAP,
        description="a whole number from 1 (examples that a task counts as at most in a mixture)",
    )
    restarts: bool = Field(
        default=True,
        description="true (further draws of words are tuned too, so that a choice among k starts"
        " has a control with k tries) or false",
    )
    zero_shot: bool = Field(
        default=False,
        description="true (every source task's prompt is also evaluated as it is on every target"
        " task, where it was tuned and where it is carried over to) or false",
    )
    refine: bool = Field(
        default=False,
        description="true (prompts of the target tasks that are carried over to targets are where"
        " the tuning there starts) or false",
    )

    def for_sources(self, settings: Any) -> Any:
        """Settings of a method as source prompts are tuned with.

        Raises:
            InputError: ``source_settings`` has something else, or that does not go together.
        """
        where = "task_transfer.source_settings"
        for name in _KEPT:
            if name in self.source_settings:
                raise InputError(
                    f"{where}.{name}: found {show(self.source_settings[name])}; allowed: settings"
                    f" other than {', '.join(_KEPT)}"
                )
        kind: Any = type(settings)
        given = checked(model_of(kind), self.source_settings, where)
        changes: dict[str, Any] = {"shots": self.source_shots, **given}
        for name, other in settings.INSTEAD.items():
            if given.get(name) is not None:
                changes.setdefault(other, None)
        if given.get("steps") is not None:
            changes["max_steps"] = None
        try:
            return replace(settings, **changes)
        except InputError as error:
            raise InputError(f"{where}.{error}") from None

    def started(self, settings: Any, init: str) -> Any:
        """Settings of a method with another start, of a control.

        Raises:
            InputError: that start needs settings of its own.
        """
        own = {"init_range": PAPER_RANGE, "init_text": None, "init_file": None}
        try:
            return replace(settings, init=init, **own)
        except InputError as error:
            raise InputError(f"task_transfer.controls: {error}") from None

    def named(self, names: Mapping[str, str]) -> "TaskTransfer":
        """The section with tasks by their own names instead of those that the spec gives them."""
        chosen = {
            field: tuple(names.get(name, name) for name in getattr(self, field))
            for field in ("source_tasks", "target_tasks")
            if getattr(self, field) != ALL
        }
        return self.model_copy(update=chosen)

    def pairs(self, tasks: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Per target task its source tasks, in the order of ``tasks``; a task is none of its own.

        Args:
            tasks: the spec's.

        Raises:
            InputError: a name is no task of the spec, a target task has no source task, or fewer
                than an average wants.
        """
        chosen = {}
        for field in ("source_tasks", "target_tasks"):
            names = getattr(self, field)
            for place, name in enumerate(() if names == ALL else names):
                check_known(name, tasks, f"task_transfer.{field}[{place}]", "tasks of the spec: ")
            chosen[field] = [name for name in tasks if names == ALL or name in names]
        if self.sources_only and self.target_tasks == ALL:
            chosen["target_tasks"] = [name for name in tasks if name not in chosen["source_tasks"]]
        found = {
            target: tuple(name for name in chosen["source_tasks"] if name != target)
            for target in chosen["target_tasks"]
        }
        for target, names in found.items():
            if not names:
                raise InputError(
                    f"task_transfer: found no source task for {show(target)}; allowed: at least one"
                    " source task beside each target task"
                )
            for field in ("weighted", "mixture"):
                most = max(getattr(self, field), default=0)
                if most > len(names):
                    raise InputError(
                        f"task_transfer.{field}: found {most}; allowed: at most {len(names)}, the"
                        f" source tasks of {show(target)}"
                    )
        for field in ("weighted", "mixture"):
            if getattr(self, field) and self.embedding_steps is None:
                raise InputError(
                    f"task_transfer.{field}: found {list(getattr(self, field))}; allowed: [] where"
                    " embedding_steps is null"
                )
        return found
