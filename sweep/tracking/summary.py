"""What the run of the sweep itself says: how far it came, and what each way is good for."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from sweep.ledger.ledger import Record
from sweep.tracking.schema import GAIN, SCORE, VALIDATION


@dataclass(frozen=True)
class _Scored:
    """One run on a target."""

    way: str
    place: tuple[str, str]
    metrics: Mapping[str, float]


class Summary:
    """Metrics of a sweep, from its cells so far.

    ``best_validation/WAY``, ``best_test/WAY`` and ``best_gain_over_empty/WAY`` are of the run that
    validation ranks first among all of that way (its λ, settings, sources and seeds), as a mean
    over targets and tasks. Validation chooses, so that the score on test is one of a choice that
    has not seen it.
    """

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._kinds: dict[str, str] = {}
        self._seconds: dict[str, float] = {}
        self._scored: dict[str, _Scored] = {}

    def count(self, record: Record) -> None:
        self._kinds[record["id"]] = record["cell"]["kind"]
        self._seconds[record["pack"]] = float(record["cost"].get("seconds") or 0.0)

    def score(self, record: Record, way: str, metrics: Mapping[str, float]) -> None:
        """Learn the metrics of a run on a target, or what they are now."""
        cell = record["cell"]
        self._scored[record["id"]] = _Scored(way, (cell["target"], cell["task"]), metrics)

    def metrics(self, planned: int | None = None, failed: int = 0) -> dict[str, float]:
        """Metrics of the sweep's run.

        Args:
            planned: how many cells there are to be, where that is known.
            failed: how many have failed.
        """
        best: dict[str, dict[tuple[str, str], Mapping[str, float]]] = {}
        for run in self._scored.values():
            places = best.setdefault(run.way, {})
            known = places.get(run.place)
            if VALIDATION in run.metrics and (
                known is None or run.metrics[VALIDATION] > known[VALIDATION]
            ):
                places[run.place] = run.metrics
        names = {VALIDATION: "best_validation", SCORE: "best_test", GAIN: "best_gain_over_empty"}
        found = {
            f"{title}/{way}": fmean(metrics[name] for metrics in places.values())
            for way, places in sorted(best.items())
            for name, title in names.items()
            if places and all(name in metrics for metrics in places.values())
        }
        kinds = Counter(self._kinds.values())
        counts = {"done": kinds.total(), "failed": failed, **kinds}
        if planned is not None:
            counts["planned"] = planned
        return {
            **found,
            **{f"cells/{name}": float(count) for name, count in counts.items()},
            "cost/pack_seconds": sum(self._seconds.values()),
        }
