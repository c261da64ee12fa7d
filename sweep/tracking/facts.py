"""What has to be known about a sweep before the first of its records, and where its runs go."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.ledger.folder import SPEC_FILE, origin, read_meta
from sweep.planning.plan import AnyPlan
from sweep.tracking.schema import chart_names, telling_ways, varied_settings, varied_ways
from trainables.core.cells import content_hash
from trainables.core.settings import ALIGNMENT, family_of
from trainables.core.settings.base import CHAT
from trainables.core.settings.hard import WORDS
from trainables.errors import InputError

HOST, USUAL_PORT = "127.0.0.1", 5000
"""Where ``sweep ui`` shows them."""
DATABASE, ARTIFACTS = "mlflow.db", "mlartifacts"
"""Where they go, in the sweep's folder, unless the spec names a place."""

Level = tuple[str, str, str, str]
"""Method (or reference row), target, task, and what else a level must share with a result."""


def direct_place(cell: Mapping[str, Any], settings: Mapping[str, Any]) -> Level:
    """Where row Direct of a result is found: tuned with the same settings.

    Args:
        cell: the result's, or an independent tuning's.
        settings: of the tuning that the result was carried from; of a tuning its own.
    """
    apart = {*ALIGNMENT, *WORDS}  # what an independent tuning over all words does not read
    shared = {name: value for name, value in settings.items() if name not in apart}
    return (cell["method"], cell["target"], cell["task"], content_hash(shared))


def reference_place(row: str, cell: Mapping[str, Any]) -> Level:
    """Where a reference row of a result is found: with texts cut and put in a chat alike."""
    settings = cell["settings"]
    frame = f" {CHAT}" if settings.get("template") == CHAT else ""
    return (row, cell["target"], cell["task"], f"{settings.get('text_tokens')}{frame}")


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
        named: those of them that tell runs of one method and solver apart: part of their names.
        datasets: per task its data set.
        seeds: how many tunings make up row Direct of a place.
        direct: per method the targets that are tuned on themselves: those that have a row Direct.
        targets: the models that prompts are carried to.
        planned: how many cells there are to be; None where that is not known before, in a search.
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
    named: Mapping[str, str] = field(default_factory=dict)
    datasets: Mapping[str, Dataset] = field(default_factory=dict)
    seeds: int = 1
    direct: Mapping[str, frozenset[str]] = field(default_factory=dict)
    targets: frozenset[str] = frozenset()
    planned: int | None = None
    artifacts: bool = True
    spec: str = ""
    description: str = ""


@dataclass(frozen=True)
class Place:
    """What a tracker is made from.

    Attributes:
        folder: of the sweep.
        facts: about the sweep.
        uri: MLflow's tracking URI; None for the database in the folder.
    """

    folder: Path
    facts: Facts
    uri: str | None = None


def facts_of(meta: Mapping[str, Any], text: str) -> Facts:
    """From what ``sweep.json`` says, and the text of the spec."""
    spec = meta["spec"]
    # A hard prompt is carried from one source, whatever models its words are common to.
    soft = any(family_of(method) == "soft" for method in spec["methods"])
    varied = varied_settings(spec["methods"])
    return Facts(
        name=spec["name"],
        spec_hash=origin(meta),
        searched="search" in spec,
        sources=max([2, *(len(pair) for pair in spec["pairs"] if soft)]),
        models={alias: full_name(model) for alias, model in spec["models"].items()},
        names=chart_names(spec["models"]),
        varied=varied | varied_ways(spec["transfer"]),
        named=varied | telling_ways(spec["transfer"]),
        datasets={
            name: Dataset(name, task["digest"], json.dumps({"task_file": task["file"]}))
            for name, task in spec["task_files"].items()
        },
        seeds=len(spec["seeds"]),
        direct={method: frozenset(names) for method, names in meta.get("direct", {}).items()},
        targets=frozenset(spec["targets"]),
        planned=meta.get("planned_cells"),
        artifacts=bool(spec["mlflow"].get("artifacts", True)),
        spec=text,
        description=spec.get("description") or "",
    )


def facts_of_plan(plan: AnyPlan, spec_hash: str | None = None) -> Facts:
    """The same before anything is written.

    Args:
        spec_hash: of the first spec of its folder, which keeps its runs while it grows; by default
            the plan's own.
    """
    resolved = plan.resolved
    head = {"spec_hash": spec_hash or plan.hash, "spec": resolved.to_json()}
    return facts_of({**head, **plan.summary()}, resolved.spec.text)


def facts_of_folder(folder: Path) -> Facts:
    """Of a sweep's folder, wherever it was run and whether or not its models are here.

    Raises:
        InputError: no sweep's folder, or one of promptsweep 0.1.
    """
    copy, meta = folder / SPEC_FILE, read_meta(folder)
    if not meta.keys() & {"direct", "search"}:
        raise InputError(
            f"{folder}: promptsweep 0.1 has made it, and MLflow's runs need more than it says;"
            " allowed: the same spec into a new --out (the store has the finished cells)"
        )
    return facts_of(meta, copy.read_text("utf-8") if copy.is_file() else "")


def full_name(model: Mapping[str, Any]) -> str:
    """A model's full name with what pins it: a Hub revision, or the digest of a folder."""
    if Path(model["location"]).is_absolute():
        return f"{model['location']} (digest {model['digest']})"
    return f"{model['location']}@{model['revision'] or 'main'}"


@dataclass(frozen=True)
class SinkTarget:
    """Where the runs go.

    Attributes:
        uri: tracking URI.
        artifacts: artifact folder for an experiment that is new; None leaves it to the server.
    """

    uri: str
    artifacts: str | None = None


def default_tracking_uri(folder: Path) -> str:
    """The SQLite database in a sweep's folder, as an absolute URI."""
    return f"sqlite:///{folder.resolve() / DATABASE}"


def target_of(folder: Path, uri: str | None) -> SinkTarget:
    """The place a spec or a command line asks for; None is the database in the folder.

    With a database, artifacts go into the sweep's folder; MLflow's default is the working
    directory.
    """
    if uri is not None and uri.startswith(("http://", "https://")):
        return SinkTarget(uri)
    artifacts = (folder.resolve() / ARTIFACTS).as_uri()
    return SinkTarget(uri or default_tracking_uri(folder), artifacts)
