"""Runs into MLflow, each at most once."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sweep.tracking.artifacts import as_folder
from sweep.tracking.bulk import BulkInsert, bulk_insert
from sweep.tracking.database import bring_home, make_database
from sweep.tracking.facts import Facts
from sweep.tracking.places import SinkTarget
from sweep.tracking.view import RESULT, SWEEP, RunData

KEY_TAGS = {RESULT: "cell", SWEEP: "sweep"}
"""Per kind of run the tag that holds its key; that of a group is called ``group``."""
Files = Callable[[RunData], Mapping[str, bytes]]
"""From a run to its artifacts: path to content."""

_RETRIES, _TIMEOUT = "1", "20"
_CLOSE = 1e-9


@dataclass(frozen=True)
class Known:
    """A run that is there.

    Attributes:
        id: MLflow's.
        finished: whether its status is FINISHED.
        metrics: its latest metrics.
        params: names of its parameters.
        tags: names of its tags.
        dataset: whether it has one.
    """

    id: str
    finished: bool
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    dataset: bool = False

    @classmethod
    def of(cls, run: Any) -> "Known":
        """From MLflow's run."""
        return cls(
            id=str(run.info.run_id),
            finished=run.info.status == "FINISHED",
            metrics=dict(run.data.metrics),
            params=frozenset(run.data.params),
            tags=frozenset(run.data.tags),
            dataset=bool(run.inputs and run.inputs.dataset_inputs),
        )

    def holds(self, run: RunData, tags: Iterable[str]) -> bool:
        """Whether nothing of ``run`` is to be written."""
        last = {name: value for name, value, _ in run.points} | dict(run.metrics)
        return (
            self.finished
            and self.params.issuperset(run.params)
            and self.tags.issuperset(tags)
            and (run.dataset is None or self.dataset)
            and all(_same(self.metrics.get(name), value) for name, value in last.items())
        )


def _same(found: float | None, value: float) -> bool:
    return found is not None and abs(found - value) <= _CLOSE * max(1.0, abs(value))


class RunWriter:
    """Writes the runs of one sweep.

    A run is known by its key. One that a killed driver left RUNNING, or that lacks something or has
    another number, is written again in full: same parameters, same metrics at the same time stamps,
    which MLflow takes as no change.
    """

    def __init__(
        self, target: SinkTarget, facts: Facts, files: Files, parent: RunData, bulk: bool = True
    ) -> None:
        """Create or find the experiment and the parent run, and list the runs that are there.

        Args:
            target: where the runs go.
            facts: about the sweep.
            files: artifacts of a run.
            parent: the run of the sweep itself.
            bulk: write new results into a database many at a time (:mod:`sweep.tracking.bulk`).
        """
        self._client = connect(target.uri)
        self._facts = facts
        self._files = files
        self._experiment = self._find_experiment(target)
        self._known: dict[str, Known] = {}
        self._list()
        known = self._known.get(SWEEP)
        if known is None:
            self._known[SWEEP] = Known(self._create(parent), False)
            self._put_files(parent, self._known[SWEEP].id)
        else:
            self._client.update_run(known.id, status="RUNNING")
        self._bulk: BulkInsert | None = None
        if bulk:
            self._bulk = bulk_insert(self._client, self._experiment)

    def write(self, runs: Sequence[RunData], done: Callable[[RunData], None]) -> None:
        """Make sure that each run is there, finished and once.

        Args:
            runs: groups before their results.
            done: told of each run that is.
        """
        new = [run for run in runs if run.kind == RESULT and run.key not in self._known]
        rest = [run for run in runs if run.kind != RESULT or run.key in self._known]
        if self._bulk is None:
            rest, new = list(runs), []
        for run in rest:
            self._write(run)
            done(run)
        if new and self._bulk is not None:
            ids = [self._bulk.new_id() for _ in new]
            tags = [self._tags(run) for run in new]
            for run, run_id in zip(new, ids, strict=True):
                self._bulk.put_files(run_id, self._files(run))
            self._bulk.insert(ids, new, tags)
            for run, run_id in zip(new, ids, strict=True):
                self._remember(run, run_id)
                done(run)

    def end(self, status: str) -> None:
        """End the parent run and whatever else is still open."""
        for key, known in self._known.items():
            if not known.finished:
                self._client.set_terminated(known.id, status if key == SWEEP else "KILLED")
        if self._known[SWEEP].finished:
            self._client.set_terminated(self._known[SWEEP].id, status)

    def tidy(self) -> None:
        """Delete what a lost answer has doubled: the server had done what it seemed not to."""
        self._known.clear()
        self._list()

    def _write(self, run: RunData) -> None:
        from mlflow.entities import Metric, Param, RunTag

        known, tags = self._known.get(run.key), self._tags(run)
        if known is not None and known.holds(run, tags):
            return
        run_id = self._create(run) if known is None else known.id
        self._known[run.key] = Known(run_id, False)
        self._put_files(run, run_id)
        values = [(name, value, 0) for name, value in run.metrics.items()] + list(run.points)
        # Of two values at one time stamp MLflow shows the larger.
        before = known.metrics if known else {}
        stamps = {
            name: run.ended if _same(before.get(name, value), value) else _now()
            for name, value, _ in values
        }
        self._client.log_batch(
            run_id,
            metrics=[Metric(name, value, stamps[name], step) for name, value, step in values],
            params=[Param(name, text) for name, text in run.params.items()],
            tags=[] if known is None else [RunTag(name, text) for name, text in tags.items()],
        )
        if run.dataset is not None and not (known and known.dataset):
            self._put_dataset(run, run_id)
        self._client.set_terminated(run_id, "FINISHED", end_time=run.ended)
        self._remember(run, run_id)

    def _remember(self, run: RunData, run_id: str) -> None:
        self._known[run.key] = Known(
            run_id,
            True,
            {name: value for name, value, _ in run.points} | dict(run.metrics),
            frozenset(run.params),
            frozenset(self._tags(run)),
            run.dataset is not None,
        )

    def _create(self, run: RunData) -> str:
        created = self._client.create_run(
            self._experiment, start_time=run.began, tags=self._tags(run), run_name=run.name
        )
        return str(created.info.run_id)

    def _tags(self, run: RunData) -> dict[str, str]:
        own = {"kind": run.kind, "spec_hash": self._facts.spec_hash}
        if run.parent is not None:
            above = self._known.get(run.parent, self._known[SWEEP])
            own["mlflow.parentRunId"] = above.id
        return {**own, KEY_TAGS.get(run.kind, "group"): run.key, **run.tags}

    def _put_files(self, run: RunData, run_id: str) -> None:
        files = self._files(run)
        if files:
            with as_folder(files) as folder:
                self._client.log_artifacts(run_id, folder)

    def _put_dataset(self, run: RunData, run_id: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        assert run.dataset is not None
        found = Dataset(run.dataset.name, run.dataset.digest, "local", run.dataset.source)
        tag = InputTag("mlflow.data.context", "train, validation, test")
        self._client.log_inputs(run_id, [DatasetInput(found, [tag])])

    def _find_experiment(self, target: SinkTarget) -> str:
        name = self._facts.name
        known = self._client.get_experiment_by_name(name)
        if known is None:
            return str(self._client.create_experiment(name, artifact_location=target.artifacts))
        if known.lifecycle_stage == "deleted":
            self._client.restore_experiment(known.experiment_id)
        return str(known.experiment_id)

    def _list(self) -> None:
        """Fill in the runs that are there; of those that are there twice, keep one."""
        found: dict[str, list[Any]] = {}
        for run in self._search(f"tags.spec_hash = '{self._facts.spec_hash}'"):
            tags = run.data.tags
            key = SWEEP if tags.get("kind") == SWEEP else tags.get("cell") or tags.get("group")
            if key:
                found.setdefault(key, []).append(run)
        for key, runs in found.items():
            runs.sort(key=lambda run: (run.info.status != "FINISHED", run.info.start_time))
            self._known[key] = Known.of(runs[0])
            for extra in runs[1:]:
                self._client.delete_run(extra.info.run_id)
        if SWEEP in self._known:
            self._list_older(self._known[SWEEP].id)

    def _list_older(self, parent: str) -> None:
        """Runs of programs that had them right below the sweep's, without its hash."""
        for run in self._search(f"tags.mlflow.parentRunId = '{parent}'"):
            key = run.data.tags.get("cell")
            if key:
                self._known.setdefault(key, Known.of(run))

    def _search(self, condition: str) -> Iterable[Any]:
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment], filter_string=condition, max_results=1000, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return


def _now() -> int:
    return int(1000 * time.time())


def connect(uri: str) -> Any:
    """MLflow's client, made so that it gives up soon and says little."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", _RETRIES)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", _TIMEOUT)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    from mlflow.tracking import MlflowClient

    # What fails is said in a sentence of ours, without the traceback that MLflow logs beside it.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    bring_home(uri)
    make_database(uri, MlflowClient)
    return MlflowClient(tracking_uri=uri)
