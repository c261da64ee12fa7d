"""Record files of a sweep's ledger: which there are, whether they are sound, and each as a row."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.data.families import family_of
from analysis.data.hard_columns import hard_values
from trainables.core.settings import default_of
from trainables.core.weight import Weight
from trainables.packs.records import parsed, read_bytes
from trainables.scoring.calibration import CALIBRATIONS

JSON = (
    "histogram",
    "nearest",
    "nearest_cosine",
    "nearest_words",
    "nearest_words_cosine",
)
"""Keys of a result that become columns as JSON."""

_MEASURED = (
    "selection",
    "candidates",
    "chosen",
    "metric",
    "score",
    "validation_score",
    "similarity",
    "alignment",
    "n_test",
    "n_validation",
    "loss",
    "best_step",
    "steps",
    "train_seconds",
    *(f"{split}_{name}" for name in CALIBRATIONS for split in ("score", "validation_score")),
)
"""Keys of a result that become columns unchanged."""


@dataclass(frozen=True)
class Failure:
    """A cell without a result.

    Attributes:
        cell: its id.
        reason: one sentence.
        row: table row, ``?`` where the record does not say; likewise ``task``.
        task: task name.
        sources: source aliases joined by ``+``.
    """

    cell: str
    reason: str
    row: str
    task: str
    sources: str


def row_of(cell_id: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says, by column; ``settings`` and what hard prompts need besides."""
    cell, result = record["cell"], record["result"]
    sources = list(cell.get("sources") or ())
    settings = cell.get("settings") or {}
    prompt = record.get("prompt") or {}
    row: dict[str, Any] = hard_values(cell, result)
    row |= {name: result.get(name) for name in _MEASURED}
    row["score"] = float(result["score"])
    row |= {f"source_{number}": name for number, name in enumerate(sources, 1)}
    row |= {
        name: None if result.get(name) is None else json.dumps(result[name], ensure_ascii=False)
        for name in JSON
    }
    return row | {
        "cell": cell_id,
        "kind": cell["kind"],
        "row": cell["row"],
        "method": cell.get("method"),
        "family": family_of(cell, result),
        "settings": settings,
        "precision": cell.get("precision"),
        "task": cell["task"],
        "target": cell["target"],
        "sources": "+".join(sources),
        "seed": cell.get("seed"),
        "lambda": cell.get("weight"),
        "schedule": cell.get("schedule", "none"),
        "weight_label": Weight(cell.get("weight"), cell.get("schedule", "none")).label,
        "prompt_length": _setting(settings, "prompt_length"),
        "position": _tuned_setting(cell, "position"),
        "init": _tuned_setting(cell, "init") if cell["kind"] == "source" else None,
        "solver": _setting(settings, "solver"),
        "degenerate": bool(result.get("degenerate", False)),
        "prompt_file": prompt.get("file"),
        "pack": record.get("pack"),
        "finished": record.get("finished"),
        "inputs": json.dumps(list(cell.get("inputs") or ())),
    }


def _setting(settings: Mapping[str, Any], name: str) -> Any:
    """A setting by name, at the top or in one of the groups below it."""
    if name in settings:
        return settings[name]
    groups = (group for group in settings.values() if isinstance(group, Mapping))
    return next((group[name] for group in groups if name in group), None)


def _tuned_setting(cell: Mapping[str, Any], name: str) -> Any:
    """A setting of a tuned cell; younger settings are not stored while at their default."""
    found = _setting(cell.get("settings") or {}, name)
    if found is not None or cell["kind"] == "reference":
        return found
    return default_of(str(cell.get("method")), name)


def failures_in(folder: Path, finished: set[str]) -> tuple[Failure, ...]:
    """Failed cells; one that a later run finished is not failed any more."""
    found = []
    for path in sorted(folder.glob("*.json")):
        if path.stem in finished:
            continue
        try:
            record = parsed(read_bytes(str(path)))
            cell = record.get("cell") or {}
            failure = Failure(
                cell=path.stem,
                reason=str(record.get("reason") or "no reason recorded"),
                row=str(cell.get("row", "?")),
                task=str(cell.get("task", "?")),
                sources="+".join(cell.get("sources") or ()),
            )
        except (OSError, ValueError, AttributeError, TypeError):
            failure = Failure(path.stem, "its failure record cannot be read", "?", "?", "")
        found.append(failure)
    return tuple(found)
