"""MLflow as a view of the ledger: one run a transfer result, under one parent run a sweep.

Only the driver writes, in a thread of its own, from ledger records; what a crash or a dead server
left out is caught up by the next run of the same command. Every run has the same parameters, so
that no chart drops it. ``lambda`` is a number in every run: -1 stands for annealing (``schedule``
says so in words), since an axis that mixes numbers and words loses the words.
"""

import logging
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isclose
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from sweep.ledger import Record
from trainables.ceiling import gap_recovered
from trainables.cells import Cell
from trainables.settings import TransferSettings, default_of, family_of

ANNEALING_LAMBDA = -1.0
NONE = "none"
"""Value of a parameter that means nothing in a run, such as the solver of a hard prompt."""
NO_SELECTION = str(TransferSettings().selection)
"""Cells name a selection only where there is one."""
GAIN = "transfer/gain_over_empty"
GAP = "transfer/gap_recovered"
DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"


def default_tracking_uri(folder: Path) -> str:
    """The SQLite database in a sweep's folder, as an absolute URI."""
    return f"sqlite:///{folder.resolve() / DATABASE}"


@dataclass(frozen=True)
class SinkTarget:
    """Where the runs go.

    Attributes:
        uri: tracking URI.
        experiment: name of the experiment (the sweep's name).
        spec_hash: identifies the parent run: of the first spec of a folder, so that a folder that
            grows keeps its runs.
        artifacts: artifact folder for an experiment that is new; None leaves it to the server.
    """

    uri: str
    experiment: str
    spec_hash: str
    artifacts: str | None


class MlflowSink:
    """Writes transfer records to MLflow in the background; never raises into the sweep.

    A transfer record waits for the score without a prompt on its target and task, which its gain
    needs (row Empty; Manual for hard prompts that have the template);
    :meth:`close` writes what still waits without a gain, which a later run of the command adds.
    It does not wait for row Direct, whose tunings may take long: the share of the gap recovered is
    added to its run once they are all there.
    """

    def __init__(
        self,
        target: SinkTarget,
        sources: int,
        ids: Mapping[str, Mapping[str, Any]],
        direct: Iterable[Cell] = (),
    ):
        """Prepare; nothing is written before :meth:`start`.

        Args:
            target: where the runs go.
            sources: most sources a transfer of this sweep has: parameters source_1 … source_n.
            ids: settings of every cell by id, to look up those of a transfer's inputs.
            direct: the planned independent tunings on targets.
        """
        self._target = target
        self._ceilings: dict[_Place, _Ceiling] = {}
        for cell in direct:
            place = (cell.method, cell.target, cell.task)
            self._ceilings.setdefault(place, _Ceiling()).planned.add(cell.id)
        self._sources = max(sources, 2)
        self._settings = ids
        self._queue: SimpleQueue[Record | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._state = _State()
        self._status = "FINISHED"

    def start(self, records: Iterable[Record]) -> None:
        """Start the thread with the ledger's records; later ones come through :meth:`add`."""
        for record in records:
            self._queue.put(record)
        self._thread = threading.Thread(target=self._work, name="mlflow-sink", daemon=True)
        self._thread.start()

    def add(self, record: Record) -> None:
        """Take a new record of the ledger."""
        self._queue.put(record)

    def close(self, status: str = "FINISHED") -> str | None:
        """Write what waits and end the parent run.

        Args:
            status: MLflow status of the parent run: FINISHED, FAILED or KILLED.

        Returns:
            None, or one sentence on what could not be written and why.
        """
        self._status = status
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join()
        state = self._state
        if state.error is None:
            return None
        missing = state.lost + sum(map(len, state.waiting.values()))
        reason = (str(state.error).strip() or type(state.error).__name__).splitlines()[0]
        return (
            f"MLflow ({self._target.uri}) could not be written ({reason}); the ledger is complete"
            f" and the next run of the same command catches up ({missing} runs behind)"
        )

    def _work(self) -> None:
        state = self._state
        try:
            writer = RunWriter(self._target)
        except Exception as error:
            state.error, writer = error, None
        while (record := self._queue.get()) is not None:
            self._sort(record, writer)
        for waiting in list(state.waiting.values()):
            for record in waiting:
                self._put(record, None, writer)
        state.waiting.clear()
        try:
            if writer is not None and state.error is None:
                writer.end_parent(self._status)
        except Exception as error:
            state.error = error

    def _sort(self, record: Record, writer: "RunWriter | None") -> None:
        cell, state = record["cell"], self._state
        place = (_without_prompt(cell), cell["target"], cell["task"])
        if cell["kind"] == "reference":
            state.empty[place] = record["result"]["score"]
            for waiting in state.waiting.pop(place, []):
                self._put(waiting, state.empty[place], writer)
        elif cell["kind"] == "transfer":
            if place in state.empty:
                self._put(record, state.empty[place], writer)
            else:
                state.waiting.setdefault(place, []).append(record)
        elif record["id"] in (ceiling := self._ceiling(record)).planned:
            ceiling.scores[record["id"]] = record["result"]["score"]
            while ceiling.level is not None and ceiling.late and state.error is None:
                late = ceiling.late.pop()
                place = (_without_prompt(late["cell"]), cell["target"], cell["task"])
                self._put(late, state.empty[place], writer)

    def _ceiling(self, record: Record) -> "_Ceiling":
        cell = record["cell"]
        return self._ceilings.get((cell["method"], cell["target"], cell["task"]), _Ceiling())

    def _put(self, record: Record, empty: float | None, writer: "RunWriter | None") -> None:
        state, ceiling = self._state, self._ceiling(record)
        # After the first error the rest is left to the next run: a dead server costs its timeout
        # once, not once a run.
        if state.error is not None or writer is None:
            state.lost += 1
            return
        try:
            params = run_params(record, self._settings, self._sources)
            writer.write(record, params, run_metrics(record, empty, ceiling.level))
            if empty is not None and ceiling.level is None and ceiling.planned:
                ceiling.late.append(record)
        except Exception as error:
            state.error = error
            state.lost += 1


_Place = tuple[str, str, str]
"""Method (or reference row), target and task."""


def _without_prompt(cell: Mapping[str, Any]) -> str:
    """The reference row that a transfer's gain is over; of a reference, its own row."""
    if cell["kind"] == "reference":
        return str(cell["row"])
    templated = family_of(cell["method"]) == "hard" and cell["settings"].get("template")
    return "manual" if templated else "empty"


@dataclass
class _Ceiling:
    """Row Direct of one place: planned cells, scores so far, runs that lack their share."""

    planned: set[str] = field(default_factory=set)
    scores: dict[str, float] = field(default_factory=dict)
    late: list[Record] = field(default_factory=list)

    @property
    def level(self) -> float | None:
        """Mean score once every planned cell is there: with fewer seeds it would still move."""
        if not self.planned or self.planned - self.scores.keys():
            return None
        return sum(self.scores[name] for name in sorted(self.scores)) / len(self.scores)


@dataclass
class _State:
    empty: dict[_Place, float] = field(default_factory=dict)
    waiting: dict[_Place, list[Record]] = field(default_factory=dict)
    error: Exception | None = None
    lost: int = 0


@dataclass(frozen=True)
class _Run:
    id: str
    finished: bool
    metrics: Mapping[str, float]
    params: frozenset[str]

    def holds(self, metrics: Mapping[str, float], params: Iterable[str]) -> bool:
        """Whether nothing is to be written."""
        same = self.metrics.keys() >= metrics.keys() and not self.changed(metrics)
        return self.finished and same and self.params.issuperset(params)

    def changed(self, metrics: Mapping[str, float]) -> set[str]:
        """Metrics that are another number now: more seeds move row Direct, and shares with it."""
        return {
            name
            for name, value in metrics.items()
            if name in self.metrics and not isclose(value, self.metrics[name], abs_tol=1e-12)
        }


def run_params(
    record: Record, settings: Mapping[str, Mapping[str, Any]], sources: int
) -> dict[str, str]:
    """Parameters of a transfer's run: the same keys for every run, each with a value."""
    cell = record["cell"]
    tuned = settings.get(cell["inputs"][0], {}) if cell["inputs"] else {}
    annealed = cell["schedule"] == "annealing"
    weight = ANNEALING_LAMBDA if annealed else cell["weight"] or 0.0
    names = [*cell["sources"], *[NONE] * sources][:sources]
    return {
        "method": cell["method"],
        "row": cell["row"],
        "task": cell["task"],
        "target": cell["target"],
        **{f"source_{number}": name for number, name in enumerate(names, 1)},
        "seed": str(cell["seed"]),
        "lambda": f"{weight:g}",
        "schedule": cell["schedule"],
        "prompt_length": str(tuned.get("prompt_length", 0)),
        "position": str(tuned.get("position", default_of(cell["method"], "position") or "prefix")),
        "init": str(tuned.get("init", default_of(cell["method"], "init") or NONE)),
        "solver": str(cell["settings"].get("solver", NONE)),
        "selection": str(cell["settings"].get("selection", NO_SELECTION)),
        "vocabulary": str(cell["settings"].get("vocabulary", NONE)),
        "s": str(cell["settings"].get("s", 0)),
        "k": str(cell["settings"].get("k", 0)),
        "state": str(cell["settings"].get("state", NONE)),
        "counterparts": "+".join(cell.get("counterparts", ())) or NONE,
    }


def run_metrics(
    record: Record, empty: float | None, direct: float | None = None
) -> dict[str, float]:
    """Metrics of a transfer's run; those that are not known are left out.

    Args:
        record: of a transfer cell.
        empty: Empty score on its target and task.
        direct: mean Direct score there.
    """
    result = record["result"]
    gap = None
    if empty is not None and direct is not None:
        gap = gap_recovered(result["score"], empty, direct)
    found = {
        "transfer/score": result.get("score"),
        "transfer/validation_score": result.get("validation_score"),
        "transfer/similarity": result.get("similarity"),
        GAIN: None if empty is None else result["score"] - empty,
        GAP: gap,
    }
    return {name: float(value) for name, value in found.items() if value is not None}


class RunWriter:
    """Writes runs of one sweep, each cell at most once.

    A run is known by its tag ``cell``. A run that a killed driver left RUNNING, or that was written
    before all its metrics were known or by a program that had fewer parameters, is written again in
    full: same parameters, same metrics at the same time stamps, which MLflow takes as no change. A
    metric that is another number now gets a later time stamp.
    """

    def __init__(self, target: SinkTarget) -> None:
        """Create or find the experiment and the parent run, and list the cells that are there."""
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.tracking import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)

        self._client = MlflowClient(tracking_uri=target.uri)
        self._experiment = self._find_experiment(target)
        self._parent = self._find_parent(target)
        self._runs = self._existing()

    def write(
        self, record: Record, params: Mapping[str, str], metrics: Mapping[str, float]
    ) -> None:
        """Make sure that the record's cell has one finished run."""
        from mlflow.entities import Metric, Param

        cell_id = record["id"]
        known = self._runs.get(cell_id)
        if known is not None and known.holds(metrics, params):
            return
        stamp = _milliseconds(record["finished"])
        run_id = self._create(record, stamp) if known is None else known.id
        changed = known.changed(metrics) if known else set()
        # Of two values at one time stamp MLflow shows the larger.
        stamps = {name: _now() if name in changed else stamp for name in metrics}
        self._client.log_batch(
            run_id,
            metrics=[Metric(name, value, stamps[name], 0) for name, value in metrics.items()],
            params=[Param(name, text) for name, text in params.items()],
        )
        self._client.set_terminated(run_id, "FINISHED", end_time=stamp)
        self._runs[cell_id] = _Run(run_id, True, dict(metrics), frozenset(params))

    def end_parent(self, status: str) -> None:
        """End the parent run."""
        self._client.set_terminated(self._parent, status)

    def _create(self, record: Record, stamp: int) -> str:
        cell = record["cell"]
        annealed = cell["schedule"] == "annealing"
        label = cell["schedule"] if annealed else f"{cell['weight'] or 0:g}"
        if family_of(cell["method"]) == "hard":
            label = f"{cell['method']} {cell['row']}"
        tags = {
            "mlflow.parentRunId": self._parent,
            "cell": record["id"],
            "pack": record["pack"],
            "prompt_file": (record["prompt"] or {}).get("file", ""),
            "nearest_words": str(record["result"].get("nearest", ""))[:5000],
            "prompt": str(record["result"].get("text", ""))[:5000],
        }
        name = f"{'+'.join(cell['sources'])} to {cell['target']} {cell['task']} {label}"
        seconds = float(record["result"].get("transfer_seconds") or 0.0)
        run = self._client.create_run(
            self._experiment,
            start_time=stamp - int(1000 * seconds),
            tags=tags,
            run_name=f"{name} s{cell['seed']}",
        )
        return str(run.info.run_id)

    def _find_experiment(self, target: SinkTarget) -> str:
        known = self._client.get_experiment_by_name(target.experiment)
        if known is None:
            return str(
                self._client.create_experiment(
                    target.experiment, artifact_location=target.artifacts
                )
            )
        if known.lifecycle_stage == "deleted":
            self._client.restore_experiment(known.experiment_id)
        return str(known.experiment_id)

    def _find_parent(self, target: SinkTarget) -> str:
        found = self._client.search_runs(
            [self._experiment],
            filter_string=f"tags.spec_hash = '{target.spec_hash}' and tags.kind = 'sweep'",
            max_results=1,
        )
        if found:
            run_id = str(found[0].info.run_id)
            self._client.update_run(run_id, status="RUNNING")
            return run_id
        run = self._client.create_run(
            self._experiment,
            tags={"spec_hash": target.spec_hash, "kind": "sweep"},
            run_name=target.experiment,
        )
        return str(run.info.run_id)

    def _existing(self) -> dict[str, "_Run"]:
        """Per cell, its run."""
        found: dict[str, _Run] = {}
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment],
                filter_string=f"tags.mlflow.parentRunId = '{self._parent}'",
                max_results=1000,
                page_token=token,
            )
            for run in page:
                cell_id = run.data.tags.get("cell")
                if cell_id:
                    found[cell_id] = _Run(
                        id=run.info.run_id,
                        finished=run.info.status == "FINISHED",
                        metrics=dict(run.data.metrics),
                        params=frozenset(run.data.params),
                    )
            token = page.token
            if not token:
                return found


def _now() -> int:
    return int(1000 * datetime.now(UTC).timestamp())


def _milliseconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)
