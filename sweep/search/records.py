"""What a study's journal says: points and what became of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from sweep.search.journal import read_storage
from sweep.spec.space.space import Point
from trainables.errors import InputError

POINT = "point"
"""Attribute of a trial that was handed out: its point. It is set last: a trial without it was
killed before anybody had it."""

QUEUED = "queued"
"""Attribute of a trial that was put into the queue: its point."""

DROPPED = "dropped"
"""Attribute of a trial that was never handed out: why."""

FAILURE = "failure"
"""Attribute of a failed trial: why."""

WARM = "warm"
"""Attribute of a trial that was taken over from another study."""

OBJECTIVES = "objectives"
"""Attribute of a study: names and directions."""

DUPLICATE, INVALID, INTERRUPTED = "duplicate", "invalid", "interrupted"

_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


@dataclass(frozen=True)
class Outcome:
    """What became of a point.

    Attributes:
        number: the trial's number in its study.
        point: what was run.
        state: ``complete``, ``pruned``, ``failed`` or ``running``.
        values: of the objectives by name; of complete points only.
        constraints: by name; above 0 is a violation.
        steps: value by step, as reported on the way.
        reason: why it failed.
        warm: whether it was taken over from another study.
    """

    number: int
    point: Point
    state: str
    values: Mapping[str, float] = field(default_factory=dict)
    constraints: Mapping[str, float] = field(default_factory=dict)
    steps: Mapping[int, float] = field(default_factory=dict)
    reason: str | None = None
    warm: bool = False

    @property
    def feasible(self) -> bool:
        return all(value <= 0 for value in self.constraints.values())


@dataclass(frozen=True)
class Counts:
    """Numbers of points, each counted once whatever was tried with it, and of trials dropped.

    Attributes:
        complete: run to the end here.
        pruned: stopped on the way here.
        failed: failed here, and not tried again since.
        running: handed out and not told, or to be handed out again after a kill.
        waiting: in the queue.
        warm: taken over from another study, with their results; in none of the above.
        duplicates: suggestions that were known points, asked anew.
        invalid: suggestions whose settings exclude each other, asked anew.
        interrupted: suggestions that a kill cut off before anybody had them.
    """

    complete: int = 0
    pruned: int = 0
    failed: int = 0
    running: int = 0
    waiting: int = 0
    warm: int = 0
    duplicates: int = 0
    invalid: int = 0
    interrupted: int = 0

    @property
    def finished(self) -> int:
        """Points with a result of this study: what a budget of trials counts."""
        return self.complete + self.pruned


@dataclass(frozen=True)
class Suggestion:
    """A point to run.

    Attributes:
        number: by which the study is told.
        point: what to run.
        steps: what was reported of it before a kill: value by step.
        adopted: whether an earlier driver had it already.
    """

    number: int
    point: Point
    steps: Mapping[int, float]
    adopted: bool = False


@dataclass(frozen=True)
class WarmStart:
    """What became of an old study's finished points.

    Attributes:
        taken: added to this study with their results.
        known: in this study already.
        skipped: not in this study's space.
    """

    taken: int
    known: int
    skipped: int


def count(trials: Iterable[FrozenTrial]) -> Counts:
    states: dict[str, str] = {}
    found = dict.fromkeys(Counts.__dataclass_fields__, 0)
    for trial in trials:
        attributes = trial.user_attrs
        if DROPPED in attributes or (trial.state == TrialState.FAIL and POINT not in attributes):
            kinds = {DUPLICATE: "duplicates", INVALID: "invalid"}
            found[kinds.get(attributes.get(DROPPED, ""), "interrupted")] += 1
        elif WARM in attributes:
            found["warm"] += 1
        elif trial.state == TrialState.WAITING and QUEUED in attributes:
            states[Point.from_json(attributes[QUEUED]).key] = "waiting"
        elif POINT in attributes:
            states[Point.from_json(attributes[POINT]).key] = _STATES[trial.state]
    for state in states.values():
        found[state] += 1
    return Counts(**found)


def outcome_of(trial: FrozenTrial, objectives: Iterable[str]) -> Outcome | None:
    """The outcome of a trial; None of one that nobody ever had."""
    attributes = trial.user_attrs
    if POINT not in attributes or DROPPED in attributes or trial.state not in _STATES:
        return None
    complete = trial.state == TrialState.COMPLETE
    values = dict(zip(objectives, trial.values, strict=True)) if complete else {}
    return Outcome(
        number=trial.number,
        point=Point.from_json(attributes[POINT]),
        state=_STATES[trial.state],
        values=values,
        constraints=dict(trial.constraints),
        steps=dict(trial.intermediate_values),
        reason=attributes.get(FAILURE),
        warm=bool(attributes.get(WARM)),
    )


@dataclass(frozen=True)
class OldStudy:
    """A study read from a journal that somebody else may be writing.

    Attributes:
        name: of the study.
        objectives: (name, direction) of each.
        outcomes: of every point that was handed out.
    """

    name: str
    objectives: tuple[tuple[str, str], ...]
    outcomes: tuple[Outcome, ...]


def studies_in(path: Path) -> list[str]:
    """Names of the studies in a journal, oldest first; none where there is no such file.

    Raises:
        InputError: it is damaged.
    """
    if not path.is_file():
        return []
    return [item.study_name for item in read_storage(path).get_all_studies()]


def read_study(path: Path, name: str | None = None) -> OldStudy:
    """Read a study, without writing anything.

    Args:
        name: which study; by default the only one there is.

    Raises:
        InputError: no such file or study, or it is damaged.
    """
    storage = read_storage(path)
    studies = {item.study_name: item for item in storage.get_all_studies()}
    if name is None and len(studies) == 1:
        name = next(iter(studies))
    if name not in studies:
        found = "no name" if name is None else repr(name)
        raise InputError(f"{path}: found {found}; allowed: {', '.join(studies) or 'no study'}")
    study = studies[name]
    objectives = tuple((str(key), str(way)) for key, way in study.user_attrs.get(OBJECTIVES, ()))
    trials = _trials(storage, study._study_id)
    found_outcomes = (outcome_of(trial, [key for key, _ in objectives]) for trial in trials)
    return OldStudy(name, objectives, tuple(item for item in found_outcomes if item is not None))


def _trials(storage: BaseStorage, study_id: int) -> Any:
    return storage.get_all_trials(study_id, deepcopy=False)
