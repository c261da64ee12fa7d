"""Links into MLflow's pages: the results of a sweep, filtered, with the charts chosen."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sweep.ledger.folder import origin, read_meta
from sweep.tracking.facts import DATABASE, HOST, USUAL_PORT, target_of
from sweep.tracking.schema import GAIN, NONE, SCORE, VALIDATION, chart_names
from sweep.tracking.writer import connect
from trainables.errors import InputError

AXES = (
    *("method", "row", "task", "target", "source_1", "source_2", "source_3", "lambda"),
    *("vocabulary", "s", "k", "state", "prompt_length", "position", "init", "solver", "seed"),
)
"""Parameters that may be axes, in their order; further settings of a sweep come before the last."""
SCORES = (VALIDATION, SCORE, GAIN)
"""Metrics that are columns of the list, in their order; the first ranks it."""
_AXIS_SCORES = (GAIN, VALIDATION, SCORE)
_NO_AXES = ("schedule", "selection", "counterparts")
MOST_AXES = 9
MOST_RUNS = 100
"""A chart shows the runs that its list has loaded, and that is so many."""
MOST_COMPARED = 5
"""The page that compares runs has their names in its address."""
_SHARED = "mlflow.sharedViewState."


@dataclass(frozen=True)
class Links:
    """Addresses for the browser.

    Attributes:
        table: the runs as a list, the best on validation first.
        charts: parallel coordinates of the list.
        comparison: the page that compares the best runs.
        runs: how many runs there are to compare.
        axes: parameters and metrics of the charts.
        best: name and :data:`SCORES` (where there are any) of the best on validation.
    """

    table: str
    charts: str
    comparison: str
    runs: int
    axes: tuple[str, ...]
    best: tuple[tuple[str, tuple[float | None, ...]], ...] = ()


def compare(folder: Path, choices: Mapping[str, str | None], server: str | None = None) -> Links:
    """Links to the results of a sweep, ranked by validation.

    List and charts are saved on the server as tags of the experiment, as MLflow's share button
    does: their links are short.

    Args:
        choices: parameters to filter by, or None; models by alias or by their name in charts.
        server: address of the web page; None takes the tracking server's, or that of ``sweep ui``.

    Raises:
        InputError: no sweep's folder, nothing in MLflow yet, or nothing that fits.
    """
    meta = read_meta(folder)
    uri = meta["spec"]["mlflow"]["tracking_uri"]
    if uri is None and not (folder / DATABASE).is_file():
        raise InputError(
            f"{folder}: no {DATABASE} in it yet; sweep run or sweep sync --tracker mlflow writes it"
        )
    client = connect(target_of(folder, uri).uri)
    experiment = client.get_experiment_by_name(meta["name"])
    wanted = {name: text for name, text in choices.items() if text is not None}
    names = chart_names(meta["spec"]["models"])
    shown = {name: names.get(text, text) for name, text in wanted.items()}
    condition = filter_of(origin(meta), shown)
    runs = [] if experiment is None else _best(client, experiment.experiment_id, condition)
    if experiment is None or not runs:
        asked = ", ".join(f"{name} {text}" for name, text in wanted.items()) or "this sweep"
        raise InputError(f"{folder}: no results of {asked} in MLflow; sweep sync brings them there")
    axes = axes_of([run.data.params for run in runs])
    keys = []
    for charts in (False, True):
        state = view_state(condition, axes, charts)
        keys.append(hashlib.sha256(state.encode()).hexdigest()[:16])
        client.set_experiment_tag(experiment.experiment_id, _SHARED + keys[-1], state)
    page = f"{(server or _server(uri)).rstrip('/')}/#"
    shared = f"{page}/experiments/{experiment.experiment_id}/runs?viewStateShareKey="
    best = runs[:MOST_COMPARED]
    lists = [[run.info.run_id for run in best], [experiment.experiment_id]]
    of_runs, of_one = (quote(json.dumps(item, separators=(",", ":"))) for item in lists)
    return Links(
        table=f"{shared}{keys[0]}",
        charts=f"{shared}{keys[1]}&compareRunsMode=CHART",
        comparison=f"{page}/compare-runs?runs={of_runs}&experiments={of_one}",
        runs=len(runs),
        axes=(*axes, *_AXIS_SCORES),
        best=tuple(
            (run.info.run_name, tuple(run.data.metrics.get(name) for name in SCORES))
            for run in best
        ),
    )


def filter_of(spec_hash: str, wanted: Mapping[str, str]) -> str:
    """MLflow's search condition for results of a sweep."""
    parts = ["tags.kind = 'result'", f"tags.spec_hash = '{spec_hash}'"]
    for name, text in wanted.items():
        if "'" in text:
            raise InputError(f"--{name}: found {text!r}; allowed: text without a quotation mark")
        parts.append(f"params.{name} = '{text}'")
    return " and ".join(parts)


def axes_of(params: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """Parameters that differ between tuned prompts, the most telling ones first."""
    params = [found for found in params if found.get("method") != NONE] or params
    further = {name for found in params for name in found} - {*AXES, *_NO_AXES}
    names = [*AXES[:-1], *sorted(further), AXES[-1]]
    differing = [name for name in names if len({found.get(name) for found in params}) > 1]
    return tuple((differing or ["target", "task"])[:MOST_AXES])


def view_state(condition: str, axes: Sequence[str], charts: bool) -> str:
    """JSON of the experiment page's state: its filter, columns, and a chart of the axes.

    Args:
        charts: whether the charts have the page to themselves.
    """
    section = "parallel-coordinates"
    chart = {
        "uuid": "promptsweep",
        "type": "PARALLEL",
        "runsCountToCompare": MOST_RUNS,
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": False,
        "displayName": "Transfer results",
        "selectedParams": list(axes),
        "selectedMetrics": list(_AXIS_SCORES),
        "showAllRuns": True,
    }
    state = {
        "searchFilter": condition,
        "orderByKey": _column(VALIDATION),
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [*map(_column, SCORES), *(f"params.`{name}`" for name in axes)],
        "runsHiddenMode": "SHOWALL",
        "runListHidden": charts,
        "compareRunCharts": [chart],
        "isAccordionReordered": True,  # or else sections are sorted by name
        "compareRunSections": [
            {
                "name": "Parallel coordinates",
                "uuid": section,
                "display": True,
                "isReordered": True,
                "deleted": False,
                "isGenerated": False,
                "columns": 1,
                "cardHeight": 460,
            }
        ],
    }
    return json.dumps(state, separators=(",", ":"))


def _column(metric: str) -> str:
    return f"metrics.`{metric}`"


def format_links(found: Links) -> str:
    width = max(len(name) for name, _ in found.best)
    heads = [f"{name:>{max(10, len(name))}}" for name in SCORES]
    lines = [f"{'best on validation':<{width}}  {'  '.join(heads)}"]
    for name, scores in found.best:
        shown = ["-" if value is None else f"{value:.3f}" for value in scores]
        lines.append(
            f"{name:<{width}}  "
            + "  ".join(f"{text:>{len(head)}}" for text, head in zip(shown, heads, strict=True))
        )
    return "\n".join(
        [
            *lines,
            "",
            f"list:       {found.table}",
            f"charts:     {found.charts}",
            f"            parallel coordinates of {', '.join(found.axes)}",
            f"comparison: {found.comparison}",
            f"            of the best {len(found.best)}; list and charts have {found.runs}",
        ]
    )


def _best(client: Any, experiment: str, condition: str) -> list[Any]:
    order = [f"{_column(VALIDATION)} DESC"]
    return list(client.search_runs([experiment], condition, max_results=MOST_RUNS, order_by=order))


def _server(uri: str | None) -> str:
    if uri is not None and uri.startswith(("http://", "https://")):
        return uri
    return f"http://{HOST}:{USUAL_PORT}"
