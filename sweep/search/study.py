"""A study: asks Optuna for points and tells it what became of them, safe against any kill.

Only the driver has one, in the sweep's folder. It guarantees:

* **Start is resume.** Points that a killed driver had handed out come first, with their trial
  numbers and reported steps. A suggestion that nobody had received is dropped.
* **Suggestions do not replay.** Each is seeded with the study's seed and the number of trials. No
  state of a sampler outlives a suggestion: a study continued after a kill goes on as if
undisturbed.
* **No point runs twice.** A suggestion that is a known point is dropped and told as failed, which
  samplers pass over; telling the known value again would count it twice. After some known points in
a row (10 with TPE) points are drawn at random, then from the rest of a finite space.
* **Every trial ends.** A value that is no finite number is a failure.
"""

import math
import random
import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import optuna
from optuna.samplers import PartialFixedSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweep.search.journal import DriverJournal, open_storage
from sweep.search.opening import FLAT, begin, objectives_of
from sweep.search.records import (
    DROPPED,
    DUPLICATE,
    FAILURE,
    INTERRUPTED,
    INVALID,
    POINT,
    QUEUED,
    WARM,
    Counts,
    Outcome,
    Suggestion,
    WarmStart,
    count,
    outcome_of,
    read_study,
)
from sweep.spec.space.distributions import TrialChooser, distribution_of
from sweep.spec.space.domains import MisfitError
from sweep.spec.space.samplers import SAMPLERS, check_packages, make_sampler
from sweep.spec.space.section import StudySettings, check_fit
from sweep.spec.space.space import Point, Space
from trainables.core.cells import content_hash
from trainables.errors import InputError

JOURNAL = "search.journal"
"""Name of the journal in a sweep's folder."""

RANDOM_ASKS = 10
"""Known points in a row that are drawn at random, after as many of the sampler's as it may."""

_LONGEST_REASON = 2000


class Study:
    """Asks and tells. A context manager: it holds the journal until it is closed."""

    def __init__(self, path: Path, space: Space, settings: StudySettings) -> None:
        """Begin a study, or continue it.

        Args:
            space: what may be chosen; the same as before where the study is continued.

        Raises:
            InputError: the settings do not fit the space or the study in the journal, a package is
                missing, or another process has the journal.
        """
        check_packages(settings.sampler)
        check_fit(space, settings)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.space, self.settings = space, settings
        self._journal = DriverJournal(path)
        self._taken: dict[str, int] = {}
        self._trials: dict[int, optuna.Trial] = {}
        self._adopted: deque[Suggestion] = deque()
        self._queue = 0
        self._rest: Iterator[int] | None = None
        try:
            self._storage = open_storage(self._journal, path)
            self._study = begin(self._storage, path, space, settings)
            self._flat: bool = self._study.user_attrs[FLAT]
            self._recover()
            self._journal.sync()
        except BaseException:
            self._journal.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the journal. What is not told yet is handed out again next time."""
        self._journal.close()

    def ask(self) -> Suggestion | None:
        """The next point to run; None where every point of the space is known.

        Raises:
            InputError: settings exclude each other so much that no allowed point was found.
        """
        with self._writing():
            if self._adopted:
                return self._adopted.popleft()
            while self._queue:
                found = self._propose(RandomSampler(seed=self._next_seed()))
                if found is not None:
                    return found
            for name in self._samplers():
                found = self._propose(make_sampler(name, self._next_seed(), self.settings))
                if found is not None:
                    return found
            return self._one_of_the_rest()

    def report(self, number: int, step: int, value: float) -> None:
        """Keep a value of an unfinished point; repeating a step changes nothing.

        Args:
            step: training step, or for the Wilcoxon pruner the number of the instance (task, seed).
            value: of the first objective; ignored if not finite, or with several objectives.
        """
        if not self.settings.several and _finite(value):
            with self._writing():
                self._open(number).report(float(value), step)

    def should_prune(self, number: int) -> bool:
        if self.settings.several:
            return False
        with self._writing():
            return self._open(number).should_prune()

    def complete(
        self,
        number: int,
        values: float | Mapping[str, Any],
        constraints: Mapping[str, Any] | None = None,
    ) -> str:
        """Finish a point; a second call changes nothing.

        Args:
            values: by objective; a number where there is one objective.
            constraints: by name, above 0 where violated.

        Returns:
            Its state: ``complete``, or ``failed`` if a number is missing or not finite.
        """
        names = [item.name for item in self.settings.objectives]
        given: dict[str, Any] = dict(values) if isinstance(values, Mapping) else {}
        given |= {} if isinstance(values, Mapping) else {names[0]: values}
        given |= constraints or {}
        for name in (*names, *self.settings.constraints):
            if not _finite(given.get(name)):
                return self.fail(number, f"{name} is {given.get(name)!r}, not a finite number")
        with self._writing():
            if number in self._trials:
                for name in self.settings.constraints:
                    self._trials[number].set_constraint(name, float(given[name]))
                return self._end(number, TrialState.COMPLETE, [float(given[key]) for key in names])
            return self._state_of(number)

    def prune(self, number: int) -> str:
        """A point was stopped on the way; what it reported stays with it. Returns its state."""
        with self._writing():
            if number in self._trials:
                return self._end(number, TrialState.PRUNED)
            return self._state_of(number)

    def fail(self, number: int, reason: str) -> str:
        """A point could not be run, or has no result. Returns its state."""
        with self._writing():
            if number in self._trials:
                self._trials[number].set_user_attr(FAILURE, reason[:_LONGEST_REASON])
                return self._end(number, TrialState.FAIL)
            return self._state_of(number)

    def retry_failed(self) -> int:
        """Have all failed points run again; how many there are."""
        with self._writing():
            failed = [item for item in self.outcomes() if item.state == "failed"]
            again = [item for item in failed if self._taken[item.point.key] == item.number]
            for item in again:
                self._enqueue(item.point)
            return len(again)

    def warm_start(self, path: Path, name: str | None = None) -> WarmStart:
        """Take over the finished points of an older study, such as one of a smaller space.

        A point is taken if this space has the same point. Repeating it adds nothing twice.

        Args:
            name: the old study; by default the only one in its journal.

        Raises:
            InputError: no such study, or it has other objectives.
        """
        old = read_study(path, name)
        own = objectives_of(self.settings)
        if [list(item) for item in old.objectives] != own:
            raise InputError(
                f"{path}: found a study of {_listed(old.objectives)}; allowed: one of"
                f" {_listed(own)}, as this study"
            )
        taken = known = skipped = 0
        with self._writing():
            for outcome in old.outcomes:
                if outcome.state not in ("complete", "pruned"):
                    continue
                try:
                    params = self.space.place(outcome.point, self._flat)
                except MisfitError:
                    skipped += 1
                    continue
                if outcome.point.key in self._taken:
                    known += 1
                    continue
                self._add(outcome, params)
                taken += 1
        return WarmStart(taken, known, skipped)

    def running(self) -> tuple[Suggestion, ...]:
        """What an earlier driver had and nobody has asked for yet; :meth:`ask` gives it first."""
        return tuple(self._adopted)

    def counts(self) -> Counts:
        return count(self._all())

    def outcomes(self) -> tuple[Outcome, ...]:
        """Every point that was handed out or taken over, in the order of their numbers."""
        names = [item.name for item in self.settings.objectives]
        found = (outcome_of(trial, names) for trial in self._all())
        return tuple(item for item in found if item is not None)

    def best(self) -> tuple[Outcome, ...]:
        """Complete points that violate no constraint and that no other beats (the Pareto front)."""
        numbers = {trial.number for trial in self._study.best_trials}
        return tuple(item for item in self.outcomes() if item.number in numbers)

    def importance(self, method: str | None = None) -> dict[str, dict[str, float]]:
        """By objective: how much each parameter decides; see :mod:`sweep.search.importance`."""
        from sweep.search.importance import importance  # scikit-learn takes seconds to import

        return importance(self.outcomes(), self.space, self._directions(), method)

    def importance_of_noise(self) -> dict[str, dict[str, dict[str, float]]]:
        """What :meth:`importance` gives parameters that do not matter."""
        from sweep.search.importance import noise  # as above

        return noise(self.outcomes(), self.space, self._directions())

    def _directions(self) -> dict[str, str]:
        return {item.name: item.direction for item in self.settings.objectives}

    def _recover(self) -> None:
        """Know what is there; take up what a killed driver left."""
        lost = []
        for trial in self._all():
            attributes = trial.user_attrs
            if trial.state == TrialState.RUNNING and POINT not in attributes:
                lost.append(trial)
            elif trial.state == TrialState.WAITING:
                self._queue += 1
                if QUEUED in attributes:
                    self._taken[Point.from_json(attributes[QUEUED]).key] = trial.number
            elif POINT in attributes:
                point = Point.from_json(attributes[POINT])
                self._taken[point.key] = trial.number
                if trial.state == TrialState.RUNNING:
                    self._adopt(trial, point)
        for trial in lost:
            # First back into the queue, then dropped: a kill in between loses nothing.
            if QUEUED in trial.user_attrs:
                queued = Point.from_json(trial.user_attrs[QUEUED])
                if self._taken.get(queued.key, -1) < trial.number:  # not queued again already
                    self._enqueue(queued)
            self._drop(trial.number, trial._trial_id, INTERRUPTED)

    def _adopt(self, trial: FrozenTrial, point: Point) -> None:
        self._trials[trial.number] = optuna.Trial(self._study, trial._trial_id)
        steps = dict(trial.intermediate_values)
        self._adopted.append(Suggestion(trial.number, point, steps, adopted=True))

    def _samplers(self) -> Iterator[str]:
        name = self.settings.sampler
        yield from [name] * SAMPLERS[name].asks
        if name != "grid":
            yield from ["random"] * RANDOM_ASKS

    def _propose(self, sampler: Any) -> Suggestion | None:
        """One suggestion of a sampler; None where it is not to be run."""
        self._study.sampler = sampler
        trial = self._study.ask()
        self._queue = max(self._queue - 1, 0)  # Optuna takes from its queue first
        try:
            point = self.space.choose(TrialChooser(trial, self._flat))
        except (MisfitError, InputError):
            self._drop(trial.number, trial._trial_id, INVALID)
            return None
        if self._taken.setdefault(point.key, trial.number) != trial.number:
            self._drop(trial.number, trial._trial_id, DUPLICATE)
            return None
        trial.set_user_attr(POINT, point.to_json())
        self._trials[trial.number] = trial
        return Suggestion(trial.number, point, {})

    def _one_of_the_rest(self) -> Suggestion | None:
        """The next unknown point of a finite space."""
        size = self.space.size
        if size is None:
            raise InputError(
                f"search: {RANDOM_ASKS} random points in a row were none that the methods allow;"
                " allowed: domains whose values mostly go together"
            )
        if self._rest is None:
            grid = self.settings.sampler == "grid"
            self._rest = iter(range(size)) if grid else _shuffled(size, self.settings.seed)
        for index in self._rest:
            try:
                point = self.space.at(index)
            except InputError:
                continue
            if point.key not in self._taken:
                params = self.space.place(point, self._flat)
                base = RandomSampler(seed=self._next_seed())
                return self._propose(PartialFixedSampler(params, base))
        return None

    def _enqueue(self, point: Point) -> None:
        params = self.space.place(point, self._flat)
        self._study.enqueue_trial(params, {QUEUED: point.to_json()})
        self._taken[point.key] = self._all()[-1].number
        self._queue += 1

    def _add(self, outcome: Outcome, params: Mapping[str, Any]) -> None:
        distributions = {name: distribution_of(self.space.parameters[name]) for name in params}
        complete = outcome.state == "complete"
        names = [item.name for item in self.settings.objectives]
        steps = dict(outcome.steps)
        # As Optuna has it: a pruned trial's value is what it reported last.
        last = [steps[max(steps)]] if steps and not self.settings.several else None
        values = [outcome.values[name] for name in names] if complete else last
        self._study.add_trial(
            create_trial(
                state=TrialState.COMPLETE if complete else TrialState.PRUNED,
                values=values,
                params=dict(params),
                distributions=distributions,
                intermediate_values=steps,
                user_attrs={POINT: outcome.point.to_json(), WARM: True},
                constraints=dict(outcome.constraints),
            )
        )
        self._taken[outcome.point.key] = self._all()[-1].number

    def _open(self, number: int) -> optuna.Trial:
        if number not in self._trials:
            raise ValueError(f"trial {number} is not running")
        return self._trials[number]

    def _end(self, number: int, state: TrialState, values: list[float] | None = None) -> str:
        self._study.tell(number, values, state)
        del self._trials[number]
        return self._state_of(number)

    def _state_of(self, number: int) -> str:
        trials = self._all()
        names = [item.name for item in self.settings.objectives]
        outcome = outcome_of(trials[number], names) if 0 <= number < len(trials) else None
        if outcome is None:
            raise ValueError(f"trial {number} was never handed out")
        return outcome.state

    def _drop(self, number: int, trial_id: int, why: str) -> None:
        self._storage.set_trial_user_attr(trial_id, DROPPED, why)
        self._study.tell(number, state=TrialState.FAIL)

    def _next_seed(self) -> int:
        return int(content_hash([self.settings.seed, len(self._all())])[:8], 16)

    def _all(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One operation on the journal, with Optuna's remarks kept quiet."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
        self._journal.sync()


def _listed(objectives: Any) -> str:
    return ", ".join(f"{name} ({direction})" for name, direction in objectives) or "nothing"


def _finite(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except (TypeError, OverflowError, ValueError):
        return False


def _shuffled(size: int, seed: int) -> Iterator[int]:
    """Each of 0 … size − 1 once, in an order that the seed decides, without a list of them."""
    rng = random.Random(seed)
    start, stride = rng.randrange(size), rng.randrange(size) | 1
    while math.gcd(stride, size) != 1:
        stride += 1
    return ((start + stride * index) % size for index in range(size))
