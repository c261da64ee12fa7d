"""A finished cell as a prompt on its model, with all that its score rests on."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sweep.ledger.folder import TASKS
from sweep.ledger.ledger import Ledger, Record
from trainables.core.cells import ModelRef, TaskRef
from trainables.core.precision import FLOAT32
from trainables.core.settings import family_of

if TYPE_CHECKING:
    from trainables.interchange import TunedPrompt


def tuned_prompt(ledger: Ledger, meta: Mapping[str, Any], record: Record) -> "TunedPrompt":
    """The prompt of a tuned or transferred cell, ready to be used or written.

    Args:
        meta: content of the sweep's ``sweep.json``.

    Raises:
        InputError: a model or task that is gone or has changed, or a prompt that does not fit.
    """
    from trainables.backbones import load_backbone
    from trainables.hard.text import encode
    from trainables.interchange import TunedPrompt
    from trainables.models.names import model_now
    from trainables.packs.run import layout_on
    from trainables.tasks import recall_task

    cell = record["cell"]
    planned = ModelRef(**meta["spec"]["models"][cell["target"]])
    model = model_now(planned, cell["digests"].get(planned.alias))
    backbone = load_backbone(model, precision=cell.get("precision", FLOAT32))
    ref = TaskRef(**meta["spec"]["task_files"][cell["task"]])
    task = recall_task(meta.get(TASKS, {}).get(ref.name), ref)
    text = None
    if family_of(cell["method"]) == "hard":
        text = str(record["result"]["text"])
        ids = encode(backbone, text)
        prompt = backbone.embeddings[ids].float().cpu().numpy()
    else:
        prompt = ledger.prompt(record["id"])
    layout = layout_on(backbone, task, cell["settings"], len(prompt))
    role = "target" if cell["kind"] == "transfer" else "source"
    return TunedPrompt(
        prompt=prompt,
        backbone=backbone,
        model=model,
        layout=layout,
        task=task,
        about={"role": role, **about(record, meta), "sweep": sweep_of(meta)},
        text=text,
    )


def about(record: Record, meta: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest says about a cell: where it comes from and what it scored."""
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
        "finished": record.get("finished"),
        "versions": record.get("versions", {}),
    }


def sweep_of(meta: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": meta["name"], "spec_hash": meta["spec_hash"]}
