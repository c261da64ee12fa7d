"""Runs of an MLflow server as the rows of a sweep's table.

MLflow holds of every cell what charts need: columns that have no parameter or metric stay empty.
Sweeps of earlier versions have written the carried prompts alone.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from analysis.data.columns import COLUMNS, typed
from trainables.core.settings import family_of
from trainables.core.weight import ANNEALING, Weight
from trainables.errors import InputError

PREFIX = "mlflow:"
_PAGE = 5000
_NONE = "none"
_ALIASES = "aliases"
_KIND, _TRANSFER, _REFERENCE = "cell_kind", "transfer", "reference"
_METRICS = {
    "test/score": "score",
    "validation/score": "validation_score",
    "transfer/similarity": "similarity",
    "test/score_open": "score_open",
    "test/illegal_share": "illegal_share",
    "validation/score_open": "validation_score_open",
    "validation/illegal_share": "validation_illegal_share",
    "test/gain_over_empty": "gain_over_empty",
    "test/gap_recovered": "gap_recovered",
    "cost/target_work": "target_work",
    "cost/target_labels": "target_labels",
    "cost/unlabelled_texts": "unlabelled_texts",
    "transfer/teacher_agreement": "teacher_agreement",
    "transfer/teacher_misfit": "teacher_misfit",
}
"""Columns by the metric that holds them."""
_TEXTS = (
    *("method", "row", "task", "target", "schedule", "position", "init", "solver"),
    *("selection", "vocabulary", "state", "counterparts"),
)
"""Parameters that are columns of the same name; ``none`` is empty."""
_COUNTS = ("seed", "prompt_length", "s", "k")
_MEANT_NONE = ("method", "schedule", "selection")
"""Columns in which ``none`` is a value."""
_CARRIED = ("solver", "selection", "gap_recovered")
"""Columns of carried prompts alone."""


def read_mlflow(place: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """The experiments at ``mlflow:URI[#EXPERIMENT]`` that hold runs of sweeps, with their rows.

    Raises:
        InputError: nothing answers there, no such experiment, or no run of a sweep.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    uri, _, wanted = place.removeprefix(PREFIX).partition("#")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = MlflowClient(tracking_uri=uri)
        experiments = {item.name: item.experiment_id for item in client.search_experiments()}
        if wanted and wanted not in experiments:
            raise InputError(
                f"{place}: no experiment {wanted!r}; allowed: {', '.join(sorted(experiments))}"
            )
        names = [wanted] if wanted else sorted(experiments)
        every = [(name, _rows(client, experiments[name])) for name in names]
    except (MlflowException, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{place}: cannot be read ({reason}); allowed: mlflow:URI or mlflow:URI#EXPERIMENT"
        ) from None
    tables = [(name, _table(rows)) for name, rows in every if rows]
    if not tables:
        raise InputError(f"{place}: holds no run of a sweep; allowed: where a sweep logged to")
    yield from tables


def _rows(client: Any, experiment: str) -> list[dict[str, Any]]:
    rows, token = [], None
    while True:
        page = client.search_runs(
            [experiment],
            filter_string="attributes.status = 'FINISHED'",
            max_results=_PAGE,
            page_token=token,
        )
        rows += [row_of(run) for run in page if run.data.tags.get("cell")]
        token = page.token
        if not token:
            return rows


def row_of(run: Any) -> dict[str, Any]:
    """A run's columns; what it does not say is left out."""
    metrics, tags = run.data.metrics, run.data.tags
    # Charts need short names of models; tags say what the spec calls them.
    params = {**run.data.params, **json.loads(tags.get(_ALIASES, "{}"))}
    sources = [
        params[name]
        for name in sorted(params, key=_number)
        if name.startswith("source_") and params[name] != _NONE
    ]
    texts = {
        name: params[name]
        for name in _TEXTS
        if name in params and (params[name] != _NONE or name in _MEANT_NONE)
    }
    counts = {name: int(params[name]) for name in _COUNTS if _is_count(params, name)}
    if family_of(params["method"]) != "hard":
        counts = {name: value for name, value in counts.items() if name not in ("s", "k")}
    kind = tags.get(_KIND, _TRANSFER)
    # λ of hard prompts and of no prompt means nothing; MLflow needs a number in every run.
    soft = family_of(params["method"]) == "soft" and kind != _REFERENCE
    annealed = params["schedule"] == ANNEALING
    weight = None if annealed or not soft else float(params["lambda"])
    found = {
        **texts,
        **counts,
        **{column: metrics[name] for name, column in _METRICS.items() if name in metrics},
        **{f"source_{number}": name for number, name in enumerate(sources, 1)},
        "cell": tags["cell"],
        "kind": kind,
        "family": None if kind == _REFERENCE else family_of(params["method"]),
        "sources": "+".join(sources),
        "lambda": weight,
        "weight_label": Weight(weight, params["schedule"]).label,
        "prompt_file": tags.get("prompt_file") or None,
        "pack": tags.get("pack"),
        "finished": datetime.fromtimestamp(run.info.end_time / 1000, UTC).isoformat(
            timespec="milliseconds"
        ),
    }
    skipped = () if kind == _TRANSFER else _CARRIED
    return {name: value for name, value in found.items() if name not in skipped}


def _is_count(params: Mapping[str, str], name: str) -> bool:
    text = params.get(name, "")
    return text.isdecimal() and (name == "seed" or int(text) > 0)


def _number(name: str) -> int:
    tail = name.rpartition("_")[2]
    return int(tail) if tail.isdecimal() else 0


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    further = {name for row in rows for name in row if name.startswith("source_")}
    columns = [*COLUMNS, *sorted(further - set(COLUMNS), key=_number)]
    table = typed(pd.DataFrame(rows, columns=columns))
    return table.sort_values("cell", ignore_index=True)
