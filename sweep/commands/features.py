"""The features of a finished sweep, worked out from its models and prompts into its folder.

``features.parquet`` has one row a (method, source set, target, task) that prompts were carried
over for. What is known before tuning comes from models and texts; what needs tuned prompts is read
from the prompt files of soft prompts and left empty for hard ones, which have no vectors.
"""

import contextlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from sweep.ledger.folder import read_meta_for_models
from sweep.ledger.ledger import Ledger
from trainables.core.cells import ModelRef, TaskRef
from trainables.core.settings.base import CHAT
from trainables.errors import InputError
from trainables.files.atomic import replace_file
from trainables.files.cache import cache_folder

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from analysis.data.results import Sweep
    from trainables.features.before import Looking


def facts_folder() -> Path:
    """Where facts about models are kept on this machine."""
    return cache_folder() / "features"


def write_features(
    folder: Path, looking: "Looking", after: bool = False
) -> "tuple[Sweep, pd.DataFrame]":
    """Work out the features of a sweep's folder and put them into it.

    Args:
        folder: a sweep's folder. One that cannot be written is left as it is.
        looking: where facts are kept, and who is told of those that cannot be had.
        after: also those of tuned prompts; otherwise those that lie there already are kept.

    Returns:
        The sweep, and its observations with all features that are known.

    Raises:
        InputError: no sweep's folder, nothing carried over, or a model that cannot be loaded.
    """
    import pandas as pd

    from analysis.data.results import read
    from analysis.forecast.features import FEATURES, FILE, KEY, observations, stored_features

    meta = read_meta_for_models(folder)
    sweep = read(folder)
    table = observations(sweep)
    by = ["method", *KEY]
    features = pd.DataFrame(_before(table, meta, looking))
    if after:
        features = features.merge(pd.DataFrame(_after(sweep, table, meta, looking)), on=by)
    else:
        stored = stored_features(folder)
        if stored is not None:
            older = [name for name in stored.columns if name not in features.columns]
            features = features.merge(stored[[*by, *older]], on=by, how="left")
    known = [name for name in FEATURES if name in features.columns]
    features = features[[*by, *known]]
    with contextlib.suppress(OSError):
        replace_file(folder / FILE, features.to_parquet(index=False))
    missing = [name for name in known if name in table.columns]
    return sweep, table.drop(columns=missing).merge(features, on=by, how="left")


def _before(
    table: "pd.DataFrame", meta: Mapping[str, Any], looking: "Looking"
) -> list[dict[str, Any]]:
    from trainables.features.before import features_before

    models, tasks = model_refs(meta), task_refs(meta)
    return [
        {**key_of(method, names, target, task), **features}
        for method, names, target, task in _keys(table)
        for _, features in features_before(
            [_model(models, name) for name in names.split("+")],
            _model(models, target),
            [tasks[task]],
            looking,
            *read_as(first_settings(meta, method)),
        )
    ]


def _after(
    sweep: "Sweep", table: "pd.DataFrame", meta: Mapping[str, Any], looking: "Looking"
) -> list[dict[str, Any]]:
    """Norm of the tuned prompts; cosine and shared neurons of carried and Direct ones."""
    from trainables.backbones import load_backbone
    from trainables.scoring.neurons import activated_neurons, prompt_norm

    ledger, models, rows = Ledger(sweep.folder), model_refs(meta), []
    frame = sweep.frame[sweep.frame["family"] == "soft"]
    tuned, carried = (frame[frame["kind"] == kind] for kind in ("source", "transfer"))
    for method, names, target, task in _keys(table):
        own = carried[
            (carried["method"] == method)
            & (carried["sources"] == names)
            & (carried["target"] == target)
            & (carried["task"] == task)
        ]
        if (own["row"] == "ours").any():
            own = own[own["row"] == "ours"]
        direct = tuned[
            tuned["direct"]
            & (tuned["method"] == method)
            & (tuned["target"] == target)
            & (tuned["task"] == task)
        ]
        sources = tuned[tuned["cell"].isin(_inputs(own["inputs"]))]
        norms = [
            prompt_norm(prompt, load_backbone(_model(models, str(name)), looking.device))
            for name, part in sources.groupby("target")
            for prompt in _prompts(ledger, part["cell"])
        ]
        found = {"prompt_norm": fmean(norms) if norms else math.nan}
        if len(own) and len(direct):
            reader = load_backbone(_model(models, target), looking.device)
            found |= _beside_direct(
                _prompts(ledger, own["cell"]),
                _prompts(ledger, direct["cell"]),
                lambda prompts, reader=reader: activated_neurons(reader, prompts),
            )
        rows.append({**key_of(method, names, target, task), **found})
    return rows


def _beside_direct(
    carried: "Sequence[torch.Tensor]", direct: "Sequence[torch.Tensor]", neurons: Any
) -> dict[str, float]:
    """Cosine and shared neurons of carried and Direct prompts, mean over all pairs of them."""
    import torch

    from trainables.scoring.neurons import neuron_overlap, prompt_cosine

    cosines = [prompt_cosine(one, other) for one in carried for other in direct]
    fired, wanted = (neurons(torch.stack(list(group))) for group in (carried, direct))
    shared = [neuron_overlap(one, other) for one in fired for other in wanted]
    return {"prompt_cosine": fmean(cosines), "neuron_overlap": fmean(shared)}


def _prompts(ledger: Ledger, cells: Any) -> "list[torch.Tensor]":
    import torch

    return [torch.from_numpy(ledger.prompt(cell)) for cell in cells]


def _inputs(texts: Any) -> set[str]:
    import json

    return {name for text in texts for name in json.loads(text)}


def _keys(table: "pd.DataFrame") -> list[tuple[str, str, str, str]]:
    keys = table[["method", "sources", "target", "task"]].drop_duplicates()
    return list(keys.itertuples(index=False, name=None))


def key_of(method: str, names: str, target: str, task: str) -> dict[str, Any]:
    """What a row of features is about."""
    return {"method": method, "sources": names, "target": target, "task": task}


def model_refs(meta: Mapping[str, Any]) -> dict[str, ModelRef]:
    """The models of a sweep's folder; an embedded one where it is on this machine."""
    from trainables.models.names import resolve_model
    from trainables.pocket.zoo import POCKET_NAMES

    found = {}
    for alias, entry in meta.get("spec", {}).get("models", {}).items():
        ref = ModelRef(**entry)
        if alias in POCKET_NAMES:
            here = resolve_model(alias)
            ref = here if here.digest == ref.digest else ref
        found[alias] = ref
    return found


def task_refs(meta: Mapping[str, Any]) -> dict[str, TaskRef]:
    files = meta.get("spec", {}).get("task_files", {})
    return {name: TaskRef(**entry) for name, entry in files.items()}


def first_settings(meta: Mapping[str, Any], method: str) -> Mapping[str, Any]:
    """Settings of a method of a sweep's folder; of several combinations those of the first."""
    settings: Mapping[str, Any] = meta.get("spec", {}).get("methods", {}).get(method, {})
    return next(iter(settings.get("variants", [settings])))


def read_as(settings: Mapping[str, Any]) -> tuple[int | None, bool]:
    """Where texts are cut under a method's settings, and whether models read in chat templates.

    Of several combinations the first decides: all cut texts alike, and where models read both with
    chat templates and without, one of the two has to be taken.
    """
    return settings.get("text_tokens"), settings.get("template") == CHAT


def _model(models: Mapping[str, ModelRef], name: str) -> ModelRef:
    if name not in models:
        raise InputError(
            f"sweep.json: names no model {name!r}, which the ledger does; allowed: the file as the"
            " sweep wrote it"
        )
    return models[name]
