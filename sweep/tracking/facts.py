"""What has to be known about a sweep before the first of its records."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.ledger.folder import SPEC_FILE, read_meta
from sweep.ledger.growth import origin
from sweep.ledger.ledger import Record
from sweep.plan.plan import DIRECT_ROWS
from sweep.search.plan import AnyPlan, SearchPlan
from sweep.tracking.names import chart_names
from sweep.tracking.schema import varied_settings
from trainables.core.cells import content_hash
from trainables.core.settings import ALIGNMENT
from trainables.core.settings.hard import WORDS

Place = tuple[str, str, str, str]
"""Method (or reference row), target, task, and what else a level must share with a result."""


def direct_place(cell: Mapping[str, Any], settings: Mapping[str, Any]) -> Place:
    """Where row Direct of a result is found: tuned with the same settings.

    Args:
        cell: the result's, or an independent tuning's.
        settings: of the tuning that the result was carried from; of a tuning its own.
    """
    apart = {*ALIGNMENT, *WORDS}  # what an independent tuning over all words does not read
    shared = {name: value for name, value in settings.items() if name not in apart}
    return (cell["method"], cell["target"], cell["task"], content_hash(shared))


def reference_place(row: str, cell: Mapping[str, Any]) -> Place:
    """Where a reference row of a result is found: with texts cut alike."""
    return (row, cell["target"], cell["task"], str(cell["settings"].get("text_tokens")))


@dataclass(frozen=True)
class Dataset:
    """A task as MLflow's dataset: ``source`` is JSON that says where its file is."""

    name: str
    digest: str
    source: str


@dataclass(frozen=True)
class Facts:
    """A sweep as its runs see it.

    Attributes:
        name: the spec's name: that of the experiment.
        spec_hash: identifies the sweep's runs within the experiment.
        searched: whether the sweep is a search: its runs are grouped by points.
        sources: most sources a transfer has.
        models: per alias the model's full name with its revision.
        names: per alias its name in charts.
        varied: see :func:`sweep.tracking.schema.varied_settings`.
        datasets: per task its data set.
        direct: per place the ids of the planned independent tunings on the target.
        artifacts: whether prompts are written too.
        spec: text of the spec.
        description: the spec's description.
    """

    name: str
    spec_hash: str
    searched: bool = False
    sources: int = 2
    models: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    varied: Mapping[str, str] = field(default_factory=dict)
    datasets: Mapping[str, Dataset] = field(default_factory=dict)
    direct: Mapping[Place, frozenset[str]] = field(default_factory=dict)
    artifacts: bool = True
    spec: str = ""
    description: str = ""


def facts_of_plan(plan: AnyPlan, spec_hash: str | None = None) -> Facts:
    """From a plan, before anything has run.

    Args:
        plan: the plan.
        spec_hash: of the first spec of its folder, which keeps its runs while it grows; by default
            the plan's own.
    """
    meta = {"spec": plan.resolved.to_json(), "spec_hash": spec_hash or plan.hash}
    direct: dict[Place, set[str]] = {}
    for cell in plan.direct:
        found = cell.to_json()
        direct.setdefault(direct_place(found, found["settings"]), set()).add(cell.id)
    sources = [len(cell.sources) for cell in plan.cells if cell.kind == "transfer"]
    if isinstance(plan, SearchPlan):  # its cells are not known yet
        sources = [len(pair) for pair in plan.resolved.pairs]
    return _facts(meta, sources, direct, plan.resolved.spec.text)


def facts_of_folder(folder: Path, records: Iterable[Record]) -> Facts:
    """From a sweep's folder, wherever it was run and whether or not its models are here.

    A place of which independent tunings are missing gets no Direct level: where each method has as
    many everywhere, one with fewer is known to be incomplete.

    Args:
        folder: a sweep's folder.
        records: its ledger's.

    Raises:
        InputError: no sweep's folder.
    """
    meta = read_meta(folder)
    targets = set(meta["spec"]["targets"])
    direct: dict[Place, set[str]] = {}
    sources = [2]
    for record in records:
        cell = record["cell"]
        if cell["kind"] == "transfer":
            sources.append(len(cell["sources"]))
        elif cell["kind"] == "source" and cell["row"] in DIRECT_ROWS and cell["target"] in targets:
            direct.setdefault(direct_place(cell, cell["settings"]), set()).add(record["id"])
    most: Counter[str] = Counter()
    for (method, *_), ids in direct.items():
        most[method] = max(most[method], len(ids), len(meta["spec"]["seeds"]))
    whole = {place: ids for place, ids in direct.items() if len(ids) == most[place[0]]}
    spec_file = folder / SPEC_FILE
    text = spec_file.read_text(encoding="utf-8") if spec_file.is_file() else ""
    return _facts(meta, sources, whole, text)


def _facts(
    meta: Mapping[str, Any], sources: Iterable[int], direct: Mapping[Place, set[str]], text: str
) -> Facts:
    spec = meta["spec"]
    return Facts(
        name=spec["name"],
        spec_hash=origin(meta),
        searched="search" in spec,
        sources=max([2, *sources]),
        models={alias: full_name(model) for alias, model in spec["models"].items()},
        names=chart_names(spec["models"]),
        varied=varied_settings(spec["methods"]),
        datasets={
            name: Dataset(name, task["digest"], json.dumps({"task_file": task["file"]}))
            for name, task in spec["task_files"].items()
        },
        direct={place: frozenset(ids) for place, ids in direct.items()},
        artifacts=bool(spec["mlflow"].get("artifacts", True)),
        spec=text,
        description=spec.get("description") or "",
    )


def full_name(model: Mapping[str, Any]) -> str:
    """A model's full name with what pins it: a Hub revision, or the digest of a folder."""
    if Path(model["location"]).is_absolute():
        return f"{model['location']} (digest {model['digest']})"
    return f"{model['location']}@{model['revision'] or 'main'}"
