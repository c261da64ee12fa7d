"""Prompts of a sweep written out for other programs: one folder a backbone, and a manifest."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sweep.files import replace_file
from sweep.folder import read_meta
from sweep.ledger import Ledger, Record
from trainables.cells import ModelRef, TaskRef
from trainables.errors import InputError

MANIFEST = "promptsweep.json"
KIND = "promptsweep-export"
FOLDER = "exports"
_SHOWN = 5


@dataclass(frozen=True)
class Wanted:
    """Which prompts to write, and how.

    Attributes:
        cell: id of one cell or a start of it that no other id shares (None: the best ones).
        top: how many of the best transferred prompts of each target and task, by validation score.
        format: a key of :data:`trainables.interchange.FORMATS`.
        to: folder to write into (None: :data:`FOLDER` in the sweep's folder).
    """

    cell: str | None = None
    top: int = 1
    format: str = "peft"
    to: Path | None = None


@dataclass(frozen=True)
class ExportedSet:
    """A prompt on its model and, if it was carried there, its source prompts on theirs.

    Attributes:
        folder: relative to the export.
        entry: what the manifest says about it.
        files: content by path relative to the export.
    """

    folder: str
    entry: Mapping[str, Any]
    files: Mapping[str, bytes]


def export_prompts(
    folder: Path, wanted: Wanted, notes: list[str] | None = None
) -> tuple[Path, list[ExportedSet]]:
    """Write the wanted prompts of a sweep.

    Everything is made before anything is written. An earlier export of the same sweep is added to.

    Args:
        folder: the sweep's folder.
        wanted: which prompts, and how.
        notes: takes a line for each prompt that could not come along.

    Returns:
        The folder written to, and what was written there.

    Raises:
        InputError: no sweep's folder, no such cell, format or prompt, a model or task that is gone
            or has changed, or a folder that holds something else.
    """
    meta = read_meta(folder)
    _check_format(wanted.format)
    to = folder / FOLDER if wanted.to is None else wanted.to
    earlier = _earlier(to, meta)
    notes = [] if notes is None else notes
    ledger = Ledger(folder, warn=notes.append)
    cells = _best(folder, wanted.top) if wanted.cell is None else [_find(ledger, wanted.cell)]
    found = [_Exporter(ledger, meta, wanted.format, notes).export(cell) for cell in cells]
    _write(to, meta, earlier, found)
    return to, found


class _Exporter:
    """Turns cells into sets of files."""

    def __init__(
        self, ledger: Ledger, meta: Mapping[str, Any], kind: str, notes: list[str]
    ) -> None:
        self._ledger = ledger
        self._meta = meta
        self._kind = kind
        self._notes = notes

    def export(self, cell_id: str) -> ExportedSet:
        try:
            record = self._ledger.record(cell_id)
        except KeyError:
            raise InputError(
                f"cell {cell_id}: its record or its prompt is damaged; allowed: an intact cell"
                " (sweep run computes damaged ones again)"
            ) from None
        cell = record["cell"]
        name = f"{self._kind}-{_slug(cell['task'])}-{_slug(cell['target'])}-{cell_id}"
        prompts, files = [], {}
        for role, item in self._members(record):
            alias = item["cell"]["target"]
            inside = f"{name}/{role}-{_slug(alias)}"
            for file, content in self._files(item, role).items():
                files[f"{inside}/{file}"] = content
            prompts.append({"role": role, "model": alias, "cell": item["id"], "folder": inside})
        entry = {"folder": name, "export_format": self._kind, **_about(record), "prompts": prompts}
        files[f"{name}/{MANIFEST}"] = _json(
            {"format": "promptsweep-set", "version": 1, **entry, "sweep": _sweep(self._meta)}
        )
        return ExportedSet(name, entry, files)

    def _members(self, record: Record) -> Iterator[tuple[str, Record]]:
        """The record and, of a carried prompt, the source records it was carried from."""
        yield ("target" if record["cell"]["kind"] == "transfer" else "source"), record
        for name in record["cell"]["inputs"]:
            try:
                yield "source", self._ledger.record(name)
            except KeyError:
                self._notes.append(
                    f"the source prompt {name} of {record['id']} is missing or damaged: left out"
                )

    def _files(self, record: Record, role: str) -> Mapping[str, bytes]:
        from trainables.backbones import load_backbone
        from trainables.interchange import FORMATS, TunedPrompt
        from trainables.run import layout_on
        from trainables.tasks import load_task

        cell = record["cell"]
        model = _model(self._meta, cell["target"], cell["digests"].get(cell["target"]))
        prompt = self._ledger.prompt(record["id"])
        backbone = load_backbone(model)
        task = load_task(TaskRef(**self._meta["spec"]["task_files"][cell["task"]]))
        tuned = TunedPrompt(
            prompt=prompt,
            backbone=backbone,
            model=model,
            layout=layout_on(backbone, task, {**cell["settings"], "prompt_length": len(prompt)}),
            task=task,
            about={"role": role, **_about(record), "sweep": _sweep(self._meta)},
        )
        return FORMATS[self._kind](tuned)


def _check_format(kind: str) -> None:
    from trainables.interchange import FORMATS

    if kind not in FORMATS:
        raise InputError(f"--format: found {kind!r}; allowed: {', '.join(FORMATS)}")


def _best(folder: Path, top: int) -> list[str]:
    """Ids of the best transferred prompts of each target and task."""
    from analysis import load
    from analysis.best_prompts import ranked
    from analysis.families import SOFT, of_family

    soft = of_family(load(folder), SOFT)
    found = [str(name) for rows in ranked(soft) for name in rows["cell"].head(top)]
    if not found:
        raise InputError(
            f"{folder}: no transferred soft prompt has finished yet (hard ones are texts, in"
            " results.csv); allowed: a sweep with one,"
            " or --cell with the id of a tuned prompt"
        )
    return found


def _find(ledger: Ledger, start: str) -> str:
    """The one finished cell with a prompt whose id starts with ``start``."""
    found = sorted(name for name in ledger.done_ids() if start and name.startswith(start))
    if len(found) != 1:
        shown = ", ".join(found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
        many = f"{len(found)} cells start with it ({shown})" if found else "no finished cell has it"
        raise InputError(
            f"--cell: found {start!r}, but {many}; allowed: the id of a finished cell, or a start"
            " of it that no other id shares"
        )
    record = ledger.record(found[0])
    if "text" in record["result"]:
        raise InputError(
            f"--cell: {found[0]} is the hard prompt {record['result']['text']!r}, a text to copy;"
            " allowed: a cell of soft prompts"
        )
    if record["prompt"] is None:
        raise InputError(
            f"--cell: {found[0]} is the reference row {record['cell']['row']!r}, which has no"
            " prompt; allowed: a tuned or transferred cell"
        )
    return found[0]


def _model(meta: Mapping[str, Any], alias: str, digest: str | None) -> ModelRef:
    """Where the model is now; it must still be what the prompt was scored on."""
    from trainables.models import resolve_model
    from trainables.pocket.zoo import POCKET_NAMES

    planned = ModelRef(**meta["spec"]["models"][alias])
    # The package with the embedded models may have moved since, or be another machine's.
    name = alias if alias in POCKET_NAMES else planned.location
    entry = {alias: {"path": name, "revision": planned.revision}}
    now = replace(resolve_model(alias, entry), alias=alias)
    if now.digest != (digest or planned.digest):
        raise InputError(
            f"model {alias!r}: {now.location} has changed since the sweep; allowed: the model that"
            " the prompt was tuned or evaluated on"
        )
    return now


def _about(record: Record) -> dict[str, Any]:
    """What a manifest says about a cell."""
    cell, result = record["cell"], record["result"]
    return {
        "cell": record["id"],
        "kind": cell["kind"],
        "row": cell["row"],
        "method": cell["method"],
        "task_name": cell["task"],
        "model": cell["target"],
        "sources": cell["sources"],
        "seed": cell["seed"],
        "lambda": cell["weight"],
        "schedule": cell["schedule"],
        "metric": result.get("metric"),
        "validation_score": result.get("validation_score"),
        "score": result["score"],
    }


def _sweep(meta: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": meta["name"], "spec_hash": meta["spec_hash"]}


def _earlier(to: Path, meta: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Sets that ``to`` holds already.

    Raises:
        InputError: it is a file, or holds something else than an export of this sweep.
    """
    allowed = "allowed: a new or empty folder, or an earlier export of the same sweep"
    if not to.exists():
        return []
    if not to.is_dir():
        raise InputError(f"--to: {to} is a file; {allowed}")
    names = sorted(item.name for item in to.iterdir())
    if not names:
        return []
    try:
        found = json.loads((to / MANIFEST).read_bytes())
        sets = found["sets"] if found["format"] == KIND else None
    except (OSError, ValueError, KeyError, TypeError):
        sets = None
    if not isinstance(sets, list):
        raise InputError(
            f"--to: {to} is not empty and no export (it holds {names[0]!r}); {allowed}"
        )
    if found["sweep"] != _sweep(meta):
        raise InputError(f"--to: {to} holds an export of another sweep; {allowed}")
    return sets


def _write(
    to: Path,
    meta: Mapping[str, Any],
    earlier: Sequence[Mapping[str, Any]],
    found: Sequence[ExportedSet],
) -> None:
    new = {item.folder: item.entry for item in found}
    old = {item["folder"]: item for item in earlier}

    def manifest(sets: Mapping[str, Mapping[str, Any]]) -> None:
        entries = [sets[name] for name in sorted(sets)]
        content = {"format": KIND, "version": 1, "sweep": _sweep(meta), "sets": entries}
        replace_file(to / MANIFEST, _json(content))

    # First of all a sign of whose folder this is, so that a stopped export can be done again.
    manifest(old)
    for item in found:
        for path, content in item.files.items():
            replace_file(to / path, content)
    manifest(old | new)


def export_text(to: Path, found: Sequence[ExportedSet]) -> str:
    """What was written where, for people."""
    lines = []
    for item in found:
        entry = item.entry
        origin = "+".join(entry["sources"])
        weight = entry["schedule"] if entry["lambda"] is None else f"λ={entry['lambda']:g}"
        score = entry["validation_score"]
        lines.append(
            f"{entry['task_name']} on {entry['model']}: {entry['row']} from {origin}, {weight},"
            f" seed {entry['seed']}"
            + ("" if score is None else f", {100 * score:.1f} on validation")
        )
        lines += [f"  {prompt['folder']}" for prompt in entry["prompts"]]
    count = sum(len(item.entry["prompts"]) for item in found)
    lines.append(f"{count} prompt{'' if count == 1 else 's'} written to {to}, listed in {MANIFEST}")
    return "\n".join(lines)


def _slug(name: str) -> str:
    """A folder's name: slashes as dashes, other odd characters in percent codes."""
    return quote(name.replace("/", "-"), safe="")


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
