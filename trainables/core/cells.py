"""Cells and packs: the vocabulary in which ``sweep`` asks ``trainables`` for results.

Torch-free, JSON-able and content-addressed. A *cell* is the smallest result: one prompt evaluated
on one model for one task and seed. A *pack* is the set of cells that share loaded backbones and a
task; it runs as one Ray Tune trial.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from trainables.core.plugins import Plugin
from trainables.core.precision import FLOAT32
from trainables.core.registries import METHODS

CODE_VERSION = "soft-2"
"""Raised whenever a change alters results: it enters every cell's hash, unless the settings of its
method have a ``code_version`` of their own."""


def code_version(method: str) -> str:
    """Version of the code that computes a method's cells."""
    return str(getattr(METHODS.get(method), "code_version", CODE_VERSION))


def content_hash(value: Any) -> str:
    """16 hex digits of the SHA-256 of ``value``'s canonical JSON.

    Equal values give equal hashes whatever the order of their keys.

    Raises:
        TypeError: ``value`` holds something JSON cannot.
        ValueError: ``value`` holds a NaN or an infinity.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ModelRef:
    """A backbone to load.

    Attributes:
        alias: short name used in tables, specs and MLflow.
        location: folder or GGUF file, or Hub name ``owner/name``.
        revision: pinned Hub revision; None for a folder.
        digest: content digest (folder, file) or ``location@revision`` (Hub); enters hashes.
        stored: of a GGUF file, how its weights are stored that are read as plain numbers.
    """

    alias: str
    location: str
    revision: str | None
    digest: str
    stored: str | None = None


@dataclass(frozen=True)
class TaskRef:
    """A task to load.

    Attributes:
        name: e.g. ``mini/topics``.
        file: absolute path of the task's YAML file.
        digest: over the task file and the data it names; enters hashes.
        type: what kind of task it is, for people and tables; empty: nothing is said of it.
    """

    name: str
    file: str
    digest: str
    type: str = ""


@dataclass(frozen=True)
class Cell:
    """One result to be had.

    Attributes:
        kind: ``source`` (a tuned prompt on one of its own sources), ``transfer`` (on a target),
            ``crossed`` (a prompt as it is on a task it was not tuned on, see
            :mod:`trainables.soft.crossed`) or ``reference`` (no tuned prompt).
        row: the table row: ``independent``/``joint`` (source), ``embedding``/``continued``/
            ``restarted``/``refined`` (source: a few steps that tell how like tasks are / from
            prompts of other tasks / from another draw of words / from a prompt carried over from
            another model, see :mod:`sweep.planning.tasks`), ``cross_task`` (crossed),
            ``single``/``baseline``/``ours`` (transfer: one source / several tuned independently /
            tuned jointly), ``own`` (transfer: nothing of a source comes in; its source is the
            target), ``empty``/``manual``/``constant`` (reference).
        method: ``soft``; ``none`` for references.
        task: task name.
        target: alias of the model it is evaluated on (for ``source`` cells one of ``sources``).
        sources: aliases of the models the prompt was tuned on; empty for references.
        seed: None for references.
        weight: λ of the alignment loss; 0 for independent tuning; None under annealing and for
            references.
        schedule: ``constant``, ``annealing`` or ``none`` (independent tuning, references).
        inputs: ids of the ``source`` cells whose prompts are carried over, in the order of
            ``sources``, or that a ``source`` cell starts from
            (:mod:`trainables.soft.starts`); of a ``crossed`` cell the one that is evaluated, then
            the task's own that it is compared with.
        counterparts: aliases of further models that decided over words or candidates of a hard
            prompt, or over the words that a joint tuning compares prompts on, without being
            trained on.
        precision: what the models compute in, see :mod:`trainables.core.precision`.
        origin: names of the tasks that the prompts it starts from (or that are evaluated) were
            tuned on, each once; empty where that is its own task alone.
        settings: the method's, the transfer's or the evaluation's parameters.
        digests: digests of the models and of the task involved, by name; of the file that the
            prompt of source ALIAS starts from, by ``init ALIAS``; of a model that proposes words,
            by ``helper ALIAS``; of the plugin NAME, by ``plugin
            NAME``.
    """

    kind: str
    row: str
    method: str
    task: str
    target: str
    sources: tuple[str, ...] = ()
    seed: int | None = None
    weight: float | None = None
    schedule: str = "none"
    inputs: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    counterparts: tuple[str, ...] = ()
    precision: str = FLOAT32
    origin: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Content hash of everything above and of the code version."""
        cached = self.__dict__.get("_id")
        if cached is None:
            cached = content_hash({"code": code_version(self.method), **self.to_json()})
            object.__setattr__(self, "_id", cached)
        return str(cached)

    def to_json(self) -> dict[str, Any]:
        """JSON-able dictionary; :meth:`from_json` is its inverse."""
        values = {item.name: _plain(getattr(self, item.name)) for item in fields(self)}
        # Cells from before these three keep their ids.
        for name in ("counterparts", "origin"):
            if not values[name]:
                del values[name]
        if self.precision == FLOAT32:
            del values["precision"]
        return values

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        known = dict(value)
        for name in ("sources", "inputs", "counterparts", "origin"):
            known[name] = tuple(known.get(name, ()))
        return cls(**known)

    @property
    def tuning(self) -> tuple[Any, ...]:
        """Cells of one method, settings and task that share it come from one replica.

        (sources, seed, weight, schedule), and of a ``source`` cell what it starts from.
        """
        start = self.inputs if self.kind == "source" else ()
        return (self.sources, self.seed, self.weight, self.schedule, start)


@dataclass(frozen=True)
class Pack:
    """Cells computed together by one trial.

    Attributes:
        kind: ``tune`` (train the prompts of ``sources``, evaluate there, carry over to targets) or
            ``transfer`` (carry over prompts that earlier packs tuned; reference rows).
        method: name of the method that trains.
        task: the task.
        models: every model to load, by alias.
        sources: aliases trained on, in order; empty for ``transfer``.
        cells: what to return. ``tune`` packs hold all the ``source`` cells that their ``transfer``
            cells take as inputs.
        needs: ids of ``source`` cells of other packs whose prompts must be handed in.
        files: by source, absolute path of the file its prompts start from; where it is does not
            matter to a result, what it holds is in its cells' digests.
        calibration: calibrations to evaluate besides (:mod:`trainables.scoring.calibration`). They
            add numbers to results and change none, so that no id depends on them.
        predictions: splits whose predictions are kept (:mod:`trainables.core.predictions`); no id
            depends on them either.
        evaluation: what else is measured (:mod:`trainables.scoring.open_vocabulary`); likewise.
        plugins: files of the user's that are to be loaded before anything else; their digests are
            among the cells'.
        texts: further tasks by name, whose texts are read without labels, or with them for a
            mixture of tasks; their digests are among the cells' or those of their inputs.
    """

    kind: str
    method: str
    task: TaskRef
    models: Mapping[str, ModelRef]
    sources: tuple[str, ...]
    cells: tuple[Cell, ...]
    needs: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    calibration: tuple[str, ...] = ()
    predictions: tuple[str, ...] = ()
    evaluation: tuple[str, ...] = ()
    plugins: tuple[Plugin, ...] = ()
    texts: Mapping[str, TaskRef] = field(default_factory=dict)

    @property
    def file_digests(self) -> dict[str, str]:
        """By source of ``files``, the digest of what its file held when the plan was made."""
        found = {key: value for cell in self.cells for key, value in cell.digests.items()}
        named = {alias: found.get(f"init {alias}") for alias in self.files}
        return {alias: digest for alias, digest in named.items() if digest}

    @property
    def precision(self) -> str:
        """What the models compute in: the same for all cells of a sweep."""
        return self.cells[0].precision if self.cells else FLOAT32

    @property
    def id(self) -> str:
        """Content hash of the pack's kind, sources and cells."""
        cached = self.__dict__.get("_id")  # asked for once a cell: without it, work grows squared
        if cached is None:
            names = sorted(cell.id for cell in self.cells)
            cached = content_hash([self.kind, list(self.sources), names])
            object.__setattr__(self, "_id", cached)
        return str(cached)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "method": self.method,
            "task": asdict(self.task),
            "models": {alias: asdict(model) for alias, model in self.models.items()},
            "sources": list(self.sources),
            "cells": [cell.to_json() for cell in self.cells],
            "needs": list(self.needs),
            "files": dict(self.files),
            "calibration": list(self.calibration),
            "predictions": list(self.predictions),
            "evaluation": list(self.evaluation),
            "plugins": [asdict(plugin) for plugin in self.plugins],
            "texts": {name: asdict(task) for name, task in self.texts.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(
            kind=value["kind"],
            method=value["method"],
            task=TaskRef(**value["task"]),
            models={alias: ModelRef(**model) for alias, model in value["models"].items()},
            sources=tuple(value["sources"]),
            cells=tuple(Cell.from_json(cell) for cell in value["cells"]),
            needs=tuple(value["needs"]),
            files=dict(value["files"]),
            calibration=tuple(value.get("calibration", ())),
            predictions=tuple(value.get("predictions", ())),
            evaluation=tuple(value.get("evaluation", ())),
            plugins=tuple(Plugin(**plugin) for plugin in value.get("plugins", ())),
            texts={name: TaskRef(**task) for name, task in value.get("texts", {}).items()},
        )


def processor_time(name: str) -> str:
    """Where a pack's cost of that name, in seconds, has those that its processor worked."""
    return f"{name.removesuffix('seconds')}processor_seconds"


@dataclass
class PackOutcome:
    """What a pack gives back.

    Attributes:
        results: per cell id, the measured numbers (see ``trainables.packs.pack`` for the keys).
        prompts: per cell id of a ``source`` or ``transfer`` cell, float32 array [m, d].
        failures: per cell id, one sentence why there is no result.
        cost: seconds and counts of the whole pack (``seconds``, ``train_seconds``, …; see
            :func:`processor_time`).
        stopped: per cell id that was given up on demand, the step after which its training
            stopped; it has neither result nor failure.
        predictions: per cell id the arrays of :mod:`trainables.core.predictions`, of the splits
            that the pack asks for.
        readouts: per cell id of a ``transfer`` cell that ends in a map of what the target computes,
            float32 array [C, h + 1], see :mod:`trainables.transfer.taught.readout`.
        remarks: sentences that people should read once a run; they fail nothing.
    """

    results: dict[str, dict[str, Any]]
    prompts: dict[str, Any]
    failures: dict[str, str]
    cost: dict[str, float]
    stopped: dict[str, int] = field(default_factory=dict)
    predictions: dict[str, Any] = field(default_factory=dict)
    readouts: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float)):  # nearly all: soon told
        return value
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value
