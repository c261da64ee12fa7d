"""Record files of a sweep's ledger: which there are, whether they are sound, and each as a row."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.data.columns import DICTIONARY
from analysis.data.combinations import HARD, family_of, flat
from trainables.core.settings import default_of
from trainables.core.settings.base import CHAT
from trainables.core.weight import Weight
from trainables.packs.records import parsed, read_bytes


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
    """What a record says, by column; ``settings`` and ``precision`` of its cell besides."""
    cell, result = record["cell"], record["result"]
    sources = list(cell.get("sources") or ())
    settings = flat(cell.get("settings") or {})
    parts = {"record": record, "cell": cell, "setting": settings, "result": result}
    row = {name: parts[part].get(name) for name, part, _ in _READ}
    for name in (name for name, _, json_text in _READ if json_text and row[name] is not None):
        row[name] = json.dumps(row[name], ensure_ascii=False)
    weight, schedule = cell.get("weight"), cell.get("schedule", "none")
    tuned, family = cell["kind"] == "source", family_of(cell, result)
    return row | {
        "cell": cell_id,
        "family": family,
        "settings": cell.get("settings") or {},
        "precision": cell.get("precision"),
        "sources": "+".join(sources),
        **{f"source_{number}": name for number, name in enumerate(sources, 1)},
        "origin": "+".join(cell.get("origin") or ()) or None,
        "counterparts": "+".join(cell.get("counterparts") or ()) or None,
        "lambda": weight,
        "schedule": schedule,
        "weight_label": Weight(weight, schedule).label,
        "position": _setting_or_default(cell, settings, "position"),
        "init": _setting_or_default(cell, settings, "init") if tuned else None,
        "template": _templated(settings.get("template")) if family == HARD else None,
        "steps": result.get("steps", settings.get("steps") if "solver" in settings else None),
        "score": float(result["score"]),
        "degenerate": bool(result.get("degenerate", False)),
        "prompt_file": (record.get("prompt") or {}).get("file"),
        "inputs": json.dumps(list(cell.get("inputs") or ())),
    }


_READ = [(name, column.read, column.type == "JSON")
         for name, column in DICTIONARY.items() if column.read]  # fmt: skip


def _setting_or_default(cell: Mapping[str, Any], settings: Mapping[str, Any], name: str) -> Any:
    """A setting of a cell; younger settings are not stored while at their default."""
    if settings.get(name) is not None or cell["kind"] == "reference":
        return settings.get(name)
    return default_of(str(cell.get("method")), name)


def _templated(template: Any) -> bool | None:
    """Whether a hard prompt's input has the task's template."""
    return template if isinstance(template, bool) else True if template == CHAT else None


def failures_in(folder: Path, finished: set[str]) -> tuple[Failure, ...]:
    """Failed cells; one that a later run finished is not failed any more."""
    failures = []
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
        failures.append(failure)
    return tuple(failures)
