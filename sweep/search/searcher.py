"""A study as Ray Tune's searcher, for trials that each run one whole point.

Ray's own ``OptunaSearch`` tells a stopped trial as complete, leaves one that ends in NaN running
for ever, and cannot be resumed over a storage. Here the study keeps all state in its journal;
Tune's searcher snapshots are empty, and nobody calls ``Tuner.restore``: a new Tune experiment asks
the same study for what is left.

A sweep whose points are several packs does not need this class: it asks the study itself, plans the
point's packs and tells their mean (:class:`sweep.run.trial_queue.PackQueue` is Tune's searcher
then).

What a trial's results mean:

==========================================  ======================================================
result                                      told as
==========================================  ======================================================
not the last                                a report at ``step`` (or ``training_iteration``)
last one, with ``complete: True``           complete; failed where a number is missing or NaN
last one without it: a scheduler stopped    pruned, with every step that was reported
an error, or no result at all               failed
==========================================  ======================================================
"""

from collections.abc import Callable, Mapping
from typing import Any

from ray.tune.search import Searcher

from sweep.search.records import Counts
from sweep.search.study import Study

COMPLETE = "complete"
POINT, NUMBER = "point", "number"
_STEPS = ("step", "training_iteration")


def _always(counts: Counts) -> bool:
    return True


class StudySearcher(Searcher):
    """Hands out points; ``FINISHED`` once the budget is spent or every point is known.

    Tune would turn an error in here into a traceback of its own loop. It is kept in ``error``
    instead, no further point is handed out, and the runner tells.
    """

    def __init__(
        self,
        study: Study,
        more: Callable[[Counts], bool] = _always,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Put a study before Tune.

        Args:
            study: an open study.
            more: whether the budget allows another point, of the counts so far.
            config: what every trial's config holds beside ``point`` and ``number``.
        """
        super().__init__()
        self.error: Exception | None = None
        self._study = study
        self._more = more
        self._config = dict(config or {})
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The config of the next trial."""
        found: dict[str, Any] | str | None = self._guarded(self._suggest, trial_id)
        return found

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Report a value on the way."""
        self._guarded(self._report, self._numbers.get(trial_id), result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell what became of a trial."""
        self._guarded(self._tell, trial_id, result, error)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the journal is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher for ``Tuner.restore``, which nobody calls."""
        return {}

    def _guarded(self, action: Callable[..., Any], *arguments: Any) -> Any:
        if self.error is not None:
            return Searcher.FINISHED
        try:
            return action(*arguments)
        except Exception as error:
            self.error = error
            return Searcher.FINISHED

    def _suggest(self, trial_id: str) -> dict[str, Any] | str:
        # Points of a killed driver are within the budget already.
        if not self._study.running() and not self._more(self._study.counts()):
            return str(Searcher.FINISHED)
        found = self._study.ask()
        if found is None:
            return str(Searcher.FINISHED)
        self._numbers[trial_id] = found.number
        return {**self._config, NUMBER: found.number, POINT: found.point.to_json()}

    def _report(self, number: int | None, result: Mapping[str, Any]) -> None:
        step = next((result[key] for key in _STEPS if isinstance(result.get(key), int)), None)
        objective = self._study.settings.objectives[0].name
        if number is not None and step is not None and step >= 0 and objective in result:
            self._study.report(number, step, result[objective])

    def _tell(self, trial_id: str, result: Mapping[str, Any] | None, error: bool) -> None:
        number = self._numbers.pop(trial_id, None)
        if number is None:
            return
        if error or not result:
            self._study.fail(number, "the trial ended with an error")
        elif result.get(COMPLETE):
            constraints = {name: result.get(name) for name in self._study.settings.constraints}
            self._study.complete(number, dict(result), constraints)
        else:
            # Tune keeps the last result of a stopped trial from on_trial_result.
            self._report(number, result)
            self._study.prune(number)
