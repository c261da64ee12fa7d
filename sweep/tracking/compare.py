"""Links into MLflow's pages: the results of a sweep, filtered, with the charts chosen."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sweep.ledger.folder import origin, read_meta
from sweep.tracking.facts import DATABASE, HOST, USUAL_PORT, target_of
from sweep.tracking.schema import GAIN, SCORE, chart_names
from sweep.tracking.writer import connect
from trainables.errors import InputError

AXES = (
    *("method", "row", "task", "target", "source_1", "source_2", "source_3", "lambda"),
    *("vocabulary", "s", "k", "state", "prompt_length", "position", "init", "solver", "seed"),
)
"""Parameters that may be axes, in their order; further settings of a sweep come before the last."""
_NO_AXES = ("schedule", "selection", "counterparts")
MOST_AXES = 9
MOST_RUNS = 100
"""A chart shows the runs that its list has loaded, and that is so many."""
_SHARED = "mlflow.sharedViewState."


@dataclass(frozen=True)
class Links:
    """Addresses for the browser.

    Attributes:
        table: the runs as a list.
        charts: parallel coordinates of the list.
        comparison: the page that compares runs.
        runs: how many runs there are to compare.
        axes: parameters and metrics of the charts.
    """

    table: str
    charts: str
    comparison: str
    runs: int
    axes: tuple[str, ...]


def compare(folder: Path, choices: Mapping[str, str | None], server: str | None = None) -> Links:
    """Links to the results of a sweep.

    The charts are saved on the server as a tag of the experiment, as MLflow's share button does.

    Args:
        choices: parameters to filter by, or None; models by alias or by their name in charts.
        server: address of the web page; None takes the tracking server's, or that of ``sweep ui``.

    Raises:
        InputError: no sweep's folder, nothing in MLflow yet, or nothing that fits.
    """
    meta = read_meta(folder)
    uri = meta["spec"]["mlflow"]["tracking_uri"]
    if uri is None and not (folder / DATABASE).is_file():
        raise InputError(f"{folder}: no {DATABASE} in it yet; sweep run or sweep sync writes it")
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
    state = view_state(condition, axes)
    key = hashlib.sha256(state.encode()).hexdigest()[:16]
    client.set_experiment_tag(experiment.experiment_id, _SHARED + key, state)
    ids = [run.info.run_id for run in runs]
    return links(server or _server(uri), experiment.experiment_id, condition, key, ids, axes)


def filter_of(spec_hash: str, wanted: Mapping[str, str]) -> str:
    """MLflow's search condition for results of a sweep."""
    parts = ["tags.kind = 'result'", f"tags.spec_hash = '{spec_hash}'"]
    for name, text in wanted.items():
        if "'" in text:
            raise InputError(f"--{name}: found {text!r}; allowed: text without a quotation mark")
        parts.append(f"params.{name} = '{text}'")
    return " and ".join(parts)


def axes_of(params: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """Parameters that differ between the runs, the most telling ones first."""
    further = {name for found in params for name in found} - {*AXES, *_NO_AXES}
    names = [*AXES[:-1], *sorted(further), AXES[-1]]
    differing = [name for name in names if len({found.get(name) for found in params}) > 1]
    return tuple((differing or ["target", "task"])[:MOST_AXES])


def view_state(condition: str, axes: Iterable[str]) -> str:
    """JSON of the experiment page's state: its filter and one chart of parallel coordinates."""
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
        "selectedMetrics": [GAIN, SCORE],
        "showAllRuns": True,
    }
    state = {
        "searchFilter": condition,
        "orderByKey": f"metrics.`{SCORE}`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [*(f"params.`{name}`" for name in axes), f"metrics.`{SCORE}`"],
        "runsHiddenMode": "SHOWALL",
        "runListHidden": True,
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


def links(
    server: str,
    experiment: str,
    condition: str,
    key: str,
    runs: Sequence[str],
    axes: Iterable[str],
) -> Links:
    page = f"{server.rstrip('/')}/#/experiments/{experiment}/runs"
    order = f"orderByKey={quote(f'metrics.`{SCORE}`', safe='')}&orderByAsc=false"
    listed = [quote(json.dumps(item, separators=(",", ":"))) for item in (list(runs), [experiment])]
    return Links(
        table=f"{page}?searchFilter={quote(condition, safe='')}&{order}",
        charts=f"{page}?viewStateShareKey={key}&compareRunsMode=CHART",
        comparison=f"{server.rstrip('/')}/#/compare-runs?runs={listed[0]}&experiments={listed[1]}",
        runs=len(runs),
        axes=(*axes, GAIN, SCORE),
    )


def format_links(found: Links) -> str:
    return "\n".join(
        [
            f"list:       {found.table}",
            f"charts:     {found.charts}",
            f"            parallel coordinates of {', '.join(found.axes)}",
            f"comparison: {found.comparison}",
            f"            the best {found.runs} results side by side",
        ]
    )


def _best(client: Any, experiment: str, condition: str) -> list[Any]:
    order = [f"metrics.`{SCORE}` DESC"]
    return list(client.search_runs([experiment], condition, max_results=MOST_RUNS, order_by=order))


def _server(uri: str | None) -> str:
    if uri is not None and uri.startswith(("http://", "https://")):
        return uri
    return f"http://{HOST}:{USUAL_PORT}"
