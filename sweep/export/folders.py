"""Prompts of a sweep, or readouts, for other programs: one folder a backbone, and a manifest."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.export.choose import PromptChoice, chosen_cells, product_of
from sweep.export.prompt import MAKERS, about, sweep_of
from sweep.export.standings import Facts, Standings, line_of
from sweep.ledger.folder import read_meta_for_models
from sweep.ledger.ledger import Ledger, Record
from trainables.core.frontier import PRODUCTS
from trainables.core.registries import FORMATS, ExportFormat
from trainables.core.settings import family_of
from trainables.core.weight import Weight
from trainables.errors import InputError, check_known
from trainables.files.atomic import replace_file
from trainables.files.names import safe_name

MANIFEST = "promptsweep.json"
KIND = "promptsweep-export"
FOLDER = "exports"


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
    folder: Path,
    choice: PromptChoice | None = None,
    kind: str | None = None,
    to: Path | None = None,
    notes: list[str] | None = None,
) -> tuple[Path, list[ExportedSet]]:
    """Write prompts of a sweep, all of them or none. An earlier export of the sweep is added to.

    Args:
        choice: None takes the best prompt of each target and task.
        kind: a key of :data:`trainables.core.registries.FORMATS`; None: the first of the family
            and product, and of the best ones prompts alone.
        to: folder to write into; None takes :data:`FOLDER` in the sweep's folder.
        notes: gets a line for each prompt that could not come along.

    Returns:
        The folder written to, and what was written there.

    Raises:
        InputError: no sweep's folder, no such cell, format or prompt, a model or task that is gone
            or has changed, or a folder that holds something else.
    """
    meta = read_meta_for_models(folder)
    formats = _formats(kind)
    to = folder / FOLDER if to is None else to
    earlier = _earlier(to, meta)
    notes = [] if notes is None else notes
    ledger = Ledger(folder, warn=notes.append)
    families, products = (
        tuple(dict.fromkeys(getattr(item, name) for item in formats))
        for name in ("family", "product")
    )
    cells = chosen_cells(folder, ledger, choice or PromptChoice(), families, products)
    exporter = _Exporter(ledger, meta, kind, notes, Standings(folder))
    found = [exporter.export(cell) for cell in cells]
    _write(to, meta, earlier, found)
    return to, found


class _Exporter:
    def __init__(
        self,
        ledger: Ledger,
        meta: Mapping[str, Any],
        kind: str | None,
        notes: list[str],
        standings: Standings,
    ) -> None:
        self._ledger = ledger
        self._meta = meta
        self._kind = kind
        self._notes = notes
        self._standings = standings

    def export(self, cell_id: str) -> ExportedSet:
        record = intact(self._ledger, cell_id)
        cell = record["cell"]
        kind = self._kind or default_format(record)
        name = f"{kind}-{safe_name(cell['task'])}-{safe_name(cell['target'])}-{cell_id}"
        prompts, files = [], {}
        for role, item in self._members(record, kind):
            alias = item["cell"]["target"]
            inside = f"{name}/{role}-{safe_name(alias)}"
            stands = self._standings.of(item["id"])
            for file, content in prompt_files(self._ledger, self._meta, item, kind, stands).items():
                files[f"{inside}/{file}"] = content
            prompts.append({"role": role, "model": alias, "cell": item["id"], "folder": inside})
        entry = {
            "folder": name,
            "export_format": kind,
            **about(record, self._meta, self._standings.of(cell_id)),
            "prompts": prompts,
        }
        files[f"{name}/{MANIFEST}"] = _json(
            {"format": "promptsweep-set", "version": 1, **entry, "sweep": sweep_of(self._meta)}
        )
        return ExportedSet(name, entry, files)

    def _members(self, record: Record, kind: str) -> Iterator[tuple[str, Record]]:
        """The record and, of a carried prompt, the source records it was carried from."""
        yield ("target" if record["cell"]["kind"] == "transfer" else "source"), record
        carried = FORMATS[kind].product == PRODUCTS[0]
        for name in record["cell"]["inputs"] if carried else ():
            try:
                yield "source", self._ledger.record(name)
            except KeyError:
                self._notes.append(
                    f"the source prompt {name} of {record['id']} is missing or damaged: left out"
                )


def intact(ledger: Ledger, cell_id: str) -> Record:
    """The record of a cell.

    Raises:
        InputError: it or its prompt is damaged.
    """
    try:
        return ledger.record(cell_id)
    except KeyError:
        raise InputError(
            f"cell {cell_id}: its record or its prompt is damaged; allowed: an intact cell"
            " (sweep run computes damaged ones again)"
        ) from None


def default_format(record: Record) -> str:
    """The format where none is asked for: ``peft`` of vectors, ``text`` of texts, ``readout``."""
    asked = family_of(record["cell"]["method"]), product_of(record)
    return next(name for name, kind in FORMATS.items() if (kind.family, kind.product) == asked)


def prompt_files(
    ledger: Ledger,
    meta: Mapping[str, Any],
    record: Record,
    kind: str,
    stands: Facts | None = None,
) -> Mapping[str, bytes]:
    """Files of the folder of one prompt or readout (name to content).

    Args:
        stands: how it stands beside what needs no tuning.

    Raises:
        InputError: a model or task that is gone or has changed, or a prompt that the format cannot
            express.
    """
    made = MAKERS[FORMATS[kind].product](ledger, meta, record, stands)
    files: Mapping[str, bytes] = FORMATS[kind].load()(made)
    return files


def _formats(kind: str | None) -> list[ExportFormat]:
    if kind is None:
        return list(FORMATS.values())
    check_known(kind, FORMATS, "--format")
    return [FORMATS[kind]]


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
    if found["sweep"] != sweep_of(meta):
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
        content = {"format": KIND, "version": 1, "sweep": sweep_of(meta), "sets": entries}
        replace_file(to / MANIFEST, _json(content))

    # First of all a sign of whose folder this is, so that a stopped export can be done again.
    manifest(old)
    for item in found:
        for path, content in item.files.items():
            replace_file(to / path, content)
    manifest(old | new)


def format_export(to: Path, found: Sequence[ExportedSet]) -> str:
    lines = []
    for item in found:
        entry = item.entry
        lines.append(title(entry))
        lines += line_of(entry.get("standing"))
        lines += [f"  {prompt['folder']}" for prompt in entry["prompts"]]
    kinds = (FORMATS[item.entry["export_format"]].product for item in found)
    product = " or ".join(dict.fromkeys(kinds))
    count = sum(len(item.entry["prompts"]) for item in found)
    many = f"{count} {product}{'' if count == 1 else 's'}"
    lines.append(f"{many} written to {to}, listed in {MANIFEST}")
    return "\n".join(lines)


def place_of(entry: Mapping[str, Any]) -> str:
    """Which prompt, in a few words."""
    return f"{entry['task_name']} on {entry['model']}"


def title(entry: Mapping[str, Any]) -> str:
    """A prompt in one line for people: task, model, origin, validation score."""
    origin = "+".join(entry["sources"])
    weight = Weight(entry["lambda"], entry["schedule"])
    how = weight.label or entry["method"]
    how = how if weight.value is None else f"λ={how}"
    score = entry["validation_score"]
    return f"{place_of(entry)}: {entry['row']} from {origin}, {how}, seed {entry['seed']}" + (
        "" if score is None else f", {100 * score:.1f} on validation"
    )


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
