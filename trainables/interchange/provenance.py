"""Where a prompt comes from, as the end of its README and as the head of a Hub card."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from trainables.interchange.tuned import OnModel, licence_of


def card_head(tuned: OnModel, library: str | None = None) -> str:
    """YAML that the Hub reads: the base model where the Hub has it, the library, tags.

    Names no licence: that of the prompt is its owner's to choose.
    """
    head: dict[str, Any] = {"tags": ["promptsweep", "prompt-tuning", "text-classification"]}
    if library:
        head["library_name"] = library
    if not Path(tuned.model.location).is_absolute():
        head["base_model"] = tuned.model.location
    return f"---\n{yaml.safe_dump(head, allow_unicode=True)}---\n\n"


def provenance(tuned: OnModel) -> str:
    """Sections in Markdown: beside what needs no tuning, where that is known; where it is from."""
    about = tuned.about
    metric = about.get("metric") or tuned.task.metric
    sweep = about.get("sweep", {})
    rows = {
        "sweep": f"{sweep.get('name', 'unknown')}, spec {sweep.get('spec_hash', 'unknown')}",
        "cell": about.get("cell", "unknown"),
        "method": f"{about.get('method', 'unknown')}, row {about.get('row', 'unknown')}",
        "seed, λ, schedule": ", ".join(
            str(about.get(key)) for key in ("seed", "lambda", "schedule")
        ),
        "model": _model(vars(tuned.model)),
        **({"inputs": _CHAT} if tuned.layout.chat else {}),
        "tuned on": "; ".join(map(_model, about.get("source_models", ()))) or "unknown",
        f"{metric}, validation": _score(about.get("validation_score")),
        f"{metric}, test": _score(about.get("score")),
    }
    table = "\n".join(f"| {name} | {_cell(value)} |" for name, value in rows.items())
    stands = _stands(about.get("standing"))
    licence = licence_note(tuned.model.location)
    return f"{stands}\n## Provenance\n\n| | |\n|---|---|\n{table}\n\n{licence}\n"


_CHAT = (
    "in the user's turn of the model's own chat template (`begin_ids` and what follows a text have"
    " its tokens); the answer is the assistant's first token"
)


def _stands(standing: Mapping[str, Any] | None) -> str:
    """Levels on test in points; in brackets this prompt minus the row, and its interval."""
    if not standing:
        return ""
    note = f"\n\n**Note:** {standing['warning']}." if standing["warning"] else ""
    return (
        "\n## Beside what needs no tuning\n\nScores on test in points, in brackets what this one"
        " has over the row, with its 95 % interval over test examples:\n\n"
        f"{standing['text']}.{note}\n"
    )


def _model(model: Mapping[str, Any]) -> str:
    exact = f"revision {model['revision']}" if model["revision"] else f"digest {model['digest']}"
    plain = f", weights dequantised from {model['stored']}" if model.get("stored") else ""
    return f"{model['alias']} ({model['location']}, {exact}{plain})"


def _score(value: float | None) -> str:
    return "unknown" if value is None else f"{100 * value:.2f} %"


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def licence_note(location: str) -> str:
    found = licence_of(location)
    if found:
        return f"Licence of the base model, as its card names it: {found}."
    return (
        "Licence of the base model: unknown, its files here name none; see where the model comes"
        " from\nbefore passing this prompt on."
    )
