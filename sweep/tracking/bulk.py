"""Many new runs into a database in one transaction.

MLflow's client makes some thirty statements a run through SQLAlchemy's object mapper: 33 ms. Where
the client writes into a database itself, new finished runs are inserted here as rows, a batch a
transaction. If MLflow's tables are not as expected, there is no :class:`BulkInsert` and the client
does it.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sweep.tracking.artifacts import as_folder
from sweep.tracking.view import RunData

_RUN_COLUMNS = {
    *("run_uuid", "name", "source_type", "source_name", "entry_point_name", "user_id", "status"),
    *("start_time", "end_time", "deleted_time", "source_version", "lifecycle_stage"),
    *("artifact_uri", "experiment_id"),
}
_METRIC_COLUMNS = {"key", "value", "timestamp", "step", "is_nan", "run_uuid"}
_TEXT_COLUMNS = {"key", "value", "run_uuid"}


def bulk_insert(client: Any, experiment: str) -> "BulkInsert | None":
    """For a client that writes into a database; None for any other, or for unknown tables."""
    try:
        from mlflow.store.tracking.dbmodels import models
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    except ImportError:
        return None
    store = client._tracking_client.store
    if type(store) is not SqlAlchemyStore or not hasattr(store, "engine"):
        return None
    expected = {
        "SqlRun": _RUN_COLUMNS,
        "SqlParam": _TEXT_COLUMNS,
        "SqlTag": _TEXT_COLUMNS,
        "SqlMetric": _METRIC_COLUMNS,
        "SqlLatestMetric": _METRIC_COLUMNS,
    }
    tables: dict[str, Any] = {}
    for name, columns in expected.items():
        table = getattr(getattr(models, name, None), "__table__", None)
        if table is None or {column.name for column in table.columns} != columns:
            return None
        tables[name] = table
    where = store.get_experiment(experiment).artifact_location
    return BulkInsert(store.engine, tables, experiment, where)


class BulkInsert:
    """Inserts new finished runs of one experiment."""

    def __init__(
        self, engine: Any, tables: Mapping[str, Any], experiment: str, location: str
    ) -> None:
        self._engine = engine
        self._tables = tables
        self._experiment = int(experiment)
        self._location = location.rstrip("/")

    def new_id(self) -> str:
        return uuid.uuid4().hex

    def put_files(self, run_id: str, files: Mapping[str, bytes]) -> None:
        """Write a run's artifacts, before the run: what is finished has them."""
        if not files:
            return
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        with as_folder(files) as folder:
            get_artifact_repository(self._artifacts(run_id)).log_artifacts(folder)

    def insert(
        self, ids: Sequence[str], runs: Sequence[RunData], tags: Sequence[Mapping[str, str]]
    ) -> None:
        """All of them, or none.

        Args:
            runs: the runs, of which none is there; they have metrics and parameters only.
        """
        both = list(zip(ids, runs, strict=True))
        metrics = [
            {
                "run_uuid": run_id,
                "key": name,
                "value": value,
                "timestamp": run.ended,
                "step": 0,
                "is_nan": False,
            }
            for run_id, run in both
            for name, value in run.metrics.items()
        ]
        texts = [
            {"run_uuid": run_id, "key": name, "value": text}
            for (run_id, run), own in zip(both, tags, strict=True)
            for name, text in {**own, "mlflow.runName": run.name}.items()
        ]
        params = [
            {"run_uuid": run_id, "key": name, "value": text}
            for run_id, run in both
            for name, text in run.params.items()
        ]
        rows = {
            "SqlRun": [self._row(run_id, run) for run_id, run in both],
            "SqlTag": texts,
            "SqlParam": params,
            "SqlMetric": metrics,
            "SqlLatestMetric": metrics,
        }
        with self._engine.begin() as connection:
            for name, values in rows.items():
                if values:
                    connection.execute(self._tables[name].insert(), values)

    def _row(self, run_id: str, run: RunData) -> dict[str, Any]:
        return {
            "run_uuid": run_id,
            "name": run.name,
            "source_type": "UNKNOWN",
            "source_name": "",
            "entry_point_name": "",
            "source_version": "",
            "user_id": "unknown",
            "status": "FINISHED",
            "start_time": run.began,
            "end_time": run.ended,
            "deleted_time": None,
            "lifecycle_stage": "active",
            "artifact_uri": self._artifacts(run_id),
            "experiment_id": self._experiment,
        }

    def _artifacts(self, run_id: str) -> str:
        return f"{self._location}/{run_id}/artifacts"
