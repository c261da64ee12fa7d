"""Runs into MLflow, each at most once, and the SQLite database that they go into by default."""

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.ledger.folder import META_FILE
from sweep.tracking.artifacts import PromptFiles, as_folder
from sweep.tracking.bulk import BulkInsert, bulk_insert
from sweep.tracking.facts import ARTIFACTS, DATABASE, Facts, Place, SinkTarget, target_of
from sweep.tracking.view import FORMAT, RESULT, SOURCE, SWEEP, RunData
from trainables.errors import InputError
from trainables.files.atomic import TEMPORARY
from trainables.files.redact import redact

KEY_TAGS = {RESULT: "cell", SOURCE: "cell", SWEEP: "sweep"}
"""Per kind of run the tag that holds its key; that of a group is called ``group``."""
Files = Callable[[RunData], Mapping[str, bytes]]
"""From a run to its artifacts: path to content."""

_RETRIES, _TIMEOUT = "1", "20"
_CLOSE = 1e-9
_PATIENCE = 20.0  # seconds that another writer may take
_NO_PATH = (":memory:", "file:")
"""What a database's name begins with that SQLite does not take for a path."""


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


@dataclass(frozen=True)
class MlflowTracker:
    """MLflow as a :class:`sweep.tracking.sink.Tracker`.

    Attributes:
        target: where its runs go.
        facts: about the sweep.
        files: artifacts of a run.
        bulk: see :class:`RunWriter`.
        shown: how people look at the runs.
    """

    target: SinkTarget
    facts: Facts
    files: Files
    bulk: bool = True
    shown: str = ""

    @property
    def where(self) -> str:
        return self.target.uri

    def prepare(self) -> None:
        """Import it here: Ray imports MLflow too, and not in two threads at once.

        Two threads that import its parts at once may leave it half made for good.
        """
        import mlflow.tracking  # noqa: F401

    def open(self, parent: RunData) -> "RunWriter":
        return RunWriter(self.target, self.facts, self.files, parent, self.bulk)

    def close(self) -> None:
        """Nothing is held: each call ends by itself, within the time limits of :func:`connect`."""


def mlflow_tracker(place: Place) -> MlflowTracker:
    """The spec's tracking URI, or a database in the folder."""
    files = PromptFiles(place.folder, place.facts)
    target = target_of(place.folder, place.uri)
    shown = place.uri or f"sweep ui {place.folder}"
    return MlflowTracker(target, place.facts, files, shown=shown)


class RunWriter:
    """Writes the runs of one sweep, known by their keys.

    A run that a killed driver left RUNNING, or that lacks something, is written again in full, with
    the same time stamps, so that MLflow changes nothing that was right.
    """

    def __init__(
        self, target: SinkTarget, facts: Facts, files: Files, parent: RunData, bulk: bool = True
    ) -> None:
        """Create or find the experiment and the parent run, and list the runs that are there.

        Args:
            parent: the run of the sweep itself.
            bulk: write new cells into a database many at a time (:mod:`sweep.tracking.bulk`).
        """
        self._client = connect(target.uri)
        self._facts = facts
        self._files = files
        self._experiment = self._find_experiment(target)
        self._known: dict[str, Known] = {}
        self._list()
        known = self._known.get(SWEEP)
        if known is not None and FORMAT not in known.tags:
            raise InputError(older_note(target.uri, facts.name))
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
        new = [run for run in runs if run.record is not None and run.key not in self._known]
        rest = [run for run in runs if run.record is None or run.key in self._known]
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

    def end(self, status: str, summary: Mapping[str, float]) -> None:
        """End the parent run, with its metrics, and whatever else is still open."""
        from mlflow.entities import Metric

        parent = self._known[SWEEP]
        changed = {
            name: value
            for name, value in summary.items()
            if not _same(parent.metrics.get(name), value)
        }
        if changed:
            now = _now()
            metrics = [Metric(name, value, now, 0) for name, value in changed.items()]
            self._client.log_batch(parent.id, metrics=metrics)
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


def older_note(uri: str, name: str) -> str:
    """Why runs of an older program are not gone on with, and what to do."""
    return (
        f"MLflow ({redact(uri)}): promptsweep 0.1 has written the runs of sweep {name}, under other"
        f" names; allowed: remove them ({DATABASE} and {ARTIFACTS} in the sweep's folder, or the"
        " experiment on a server), then sweep sync"
    )


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


def make_database(uri: str, connect: Callable[[str], Any]) -> None:
    """Make the SQLite database of a tracking URI, if it is not there.

    MLflow makes tables by dozens of migrations; killed among them, it leaves a file that it cannot
    use. So they are made in a temporary file, which takes its place when complete.

    Args:
        uri: of servers and other databases nothing is made.
        connect: MLflow's client of a tracking URI, which makes the tables.
    """
    from sqlalchemy.engine import make_url

    path = _path_in(uri)
    if path is None or _is_there(path) or not path.parent.is_dir():
        return
    url = make_url(uri)
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    with _alone(temporary):
        # Somebody else may have been faster.
        if not _is_there(path):
            client = connect(url.set(database=str(temporary)).render_as_string(False))
            client._tracking_client.store.engine.dispose()
            temporary.replace(path)


def bring_home(uri: str) -> None:
    """Correct absolute artifact paths in the database of a moved or copied sweep's folder.

    One transaction; a database elsewhere, or one that names its own place, is left alone.

    Raises:
        sqlite3.Error: the database cannot be read or written.
    """
    path = _path_in(uri)
    if path is None or path.name != DATABASE or not (path.parent / META_FILE).is_file():
        return
    if not _is_there(path):
        return
    home = (path.resolve().parent / ARTIFACTS).as_uri()
    with closing(sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)) as database:
        if not _homes(database) - {home}:
            return
        database.execute("BEGIN IMMEDIATE")
        try:
            for old in _homes(database) - {home}:
                _rename(database, old, home)
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise


def _homes(database: sqlite3.Connection) -> set[str]:
    """Where artifacts of experiments in a sweep's folder are."""
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    if "experiments" not in tables:  # MLflow is about to make it
        return set()
    rows = database.execute("SELECT artifact_location FROM experiments")
    return {text for (text,) in rows if text and text.startswith("file:") and _ends_home(text)}


def _ends_home(text: str) -> bool:
    return text.rstrip("/").endswith(f"/{ARTIFACTS}")


def _rename(database: sqlite3.Connection, old: str, new: str) -> None:
    """Replace one place by another in every text of every table."""
    tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (table,) in tables:
        for _, column, kind, *_ in database.execute(f'PRAGMA table_info("{table}")').fetchall():
            if kind.upper().startswith(("VARCHAR", "TEXT", "CHAR", "CLOB")):
                database.execute(
                    f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?)'
                    f' WHERE instr("{column}", ?)',
                    (old.rstrip("/"), new, old.rstrip("/")),
                )


def _path_in(uri: str) -> Path | None:
    """The file of a tracking URI that names a SQLite file; None for any other."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(uri)
    except ArgumentError:
        return None
    name = url.database or ":memory:"  # as SQLite takes it
    if url.get_backend_name() != "sqlite" or name.startswith(_NO_PATH):
        return None
    return Path(name)


def _is_there(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


@contextmanager
def _alone(temporary: Path) -> Iterator[None]:
    """Nobody else works on this file, which is empty at first and gone afterwards."""
    journal = temporary.with_name(f"{temporary.name}-journal")
    with temporary.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            # Not through ``file``: while it waited, that may have become the finished database.
            if temporary.exists():
                temporary.write_bytes(b"")
            journal.unlink(missing_ok=True)
            yield
        finally:
            temporary.unlink(missing_ok=True)
            journal.unlink(missing_ok=True)
