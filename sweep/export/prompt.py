"""A finished cell as a prompt or a readout on its model, with all that its score rests on."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sweep.export.standings import Facts
from sweep.ledger.folder import TASKS
from sweep.ledger.ledger import Ledger, Record
from trainables.core.cells import ModelRef, TaskRef
from trainables.core.precision import FLOAT32
from trainables.core.settings import family_of
from trainables.errors import InputError

if TYPE_CHECKING:
    from trainables.backbones import Backbone
    from trainables.interchange import KeptReadout, TunedPrompt
    from trainables.tasks import Task


def tuned_prompt(
    ledger: Ledger, meta: Mapping[str, Any], record: Record, stands: Facts | None = None
) -> "TunedPrompt":
    """The prompt of a tuned or transferred cell, ready to be used or written.

    Args:
        meta: content of the sweep's ``sweep.json``.
        stands: how it stands beside what needs no tuning, for its card.

    Raises:
        InputError: a model or task that is gone or has changed, or a prompt that does not fit.
    """
    from trainables.hard.text import encode
    from trainables.interchange import TunedPrompt
    from trainables.interchange.decided import static_form
    from trainables.packs.run import layout_on

    cell = record["cell"]
    model, backbone, task = _loaded(cell, meta)
    text = None
    if family_of(cell["method"]) == "hard":
        text = str(record["result"]["text"])
        ids = encode(backbone, text)
        prompt = backbone.embeddings[ids].float().cpu().numpy()
    else:
        prompt = ledger.prompt(record["id"])
    layout = layout_on(backbone, task, cell["settings"], len(prompt))
    prompt, layout = static_form(prompt, layout, model.alias)
    return TunedPrompt(
        prompt=prompt,
        backbone=backbone,
        model=model,
        layout=layout,
        task=task,
        about=_origin(record, meta, stands),
        text=text,
    )


def kept_readout(
    ledger: Ledger, meta: Mapping[str, Any], record: Record, stands: Facts | None = None
) -> "KeptReadout":
    """The readout of a cell that ends in one; arguments and errors as :func:`tuned_prompt`.

    Raises:
        InputError: also where the cell is from before readouts were kept.
    """
    from trainables.interchange import KeptReadout
    from trainables.packs.run import plain_layout

    try:
        weights = ledger.readout(record["id"])
    except KeyError:
        raise InputError(
            f"cell {record['id']}: its readout was not kept, as it is from an earlier version;"
            " allowed: the cell of a new folder, by sweep run SPEC --out FOLDER --store none"
        ) from None
    model, backbone, task = _loaded(record["cell"], meta)
    settings = record["cell"]["settings"]
    return KeptReadout(
        weights=weights,
        features=str(settings.get("features")),
        backbone=backbone,
        model=model,
        layout=plain_layout(backbone, settings),
        task=task,
        about=_origin(record, meta, stands),
    )


MAKERS: dict[str, Callable[[Ledger, Mapping[str, Any], Record, Facts | None], Any]] = {
    "prompt": tuned_prompt,
    "readout": kept_readout,
}
"""What an export format is given, by the product it takes."""


def _loaded(cell: Mapping[str, Any], meta: Mapping[str, Any]) -> "tuple[ModelRef, Backbone, Task]":
    from trainables.backbones import load_backbone
    from trainables.models.names import model_now
    from trainables.tasks import recall_task

    planned = ModelRef(**meta["spec"]["models"][cell["target"]])
    model = model_now(planned, cell["digests"].get(planned.alias))
    backbone = load_backbone(model, precision=cell.get("precision", FLOAT32))
    ref = TaskRef(**meta["spec"]["task_files"][cell["task"]])
    return model, backbone, recall_task(meta.get(TASKS, {}).get(ref.name), ref)


def _origin(record: Record, meta: Mapping[str, Any], stands: Facts | None) -> dict[str, Any]:
    role = "target" if record["cell"]["kind"] == "transfer" else "source"
    return {"role": role, **about(record, meta, stands), "sweep": sweep_of(meta)}


def about(record: Record, meta: Mapping[str, Any], stands: Facts | None = None) -> dict[str, Any]:
    """What a manifest says about a cell: where it comes from, what it scored, and beside what."""
    cell, result = record["cell"], record["result"]
    models = meta["spec"]["models"]
    return {
        "cell": record["id"],
        "kind": cell["kind"],
        "row": cell["row"],
        "method": cell["method"],
        "task_name": cell["task"],
        "model": cell["target"],
        "sources": cell["sources"],
        "source_models": [asdict(ModelRef(**models[alias])) for alias in cell["sources"]],
        "seed": cell["seed"],
        "lambda": cell["weight"],
        "schedule": cell["schedule"],
        "metric": result.get("metric"),
        "validation_score": result.get("validation_score"),
        "score": result["score"],
        **({"standing": dict(stands)} if stands else {}),
        "finished": record.get("finished"),
        "versions": record.get("versions", {}),
    }


def sweep_of(meta: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": meta["name"], "spec_hash": meta["spec_hash"]}
