"""A sweep's folder: which spec it belongs to."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from sweep.ledger.extras import Extras
from sweep.ledger.ledger import Ledger, Record
from sweep.ledger.lock import LOCK_FILE
from sweep.planning.plan import AnyPlan
from trainables.core.cells import CODE_VERSION
from trainables.core.plugins import load_known
from trainables.errors import InputError
from trainables.files.atomic import TEMPORARY, replace_file
from trainables.tasks import remember_task

META_FILE = "sweep.json"
SPEC_FILE = "spec.yaml"
FORMAT = 1
GROWN = "grown_from"
"""Key of ``sweep.json``: the earlier specs, oldest first."""
TASKS = "tasks"
"""Key of the meta file: what :func:`trainables.tasks.recall_task` needs of each task, by name."""
_NEEDED = {"format", "name", "spec_hash", "spec"}
_KINDS = {
    "calibration": "calibrations",
    "predictions": "predictions",
    "evaluation": "evaluations",
}


def check_binding(folder: Path, plan: AnyPlan) -> None:
    """Check that ``folder`` is new, empty, or one that this plan may continue. Writes nothing.

    A grid continues a folder of the same name if it has every finished cell of it; a search if its
    points are comparable with those there.

    Raises:
        InputError: it is a file, holds other things, or belongs to another spec.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"--out: {folder} is a file; allowed: a new, empty or sweep's folder")
    if not (folder / META_FILE).exists():
        # A driver that is killed at once, or finds the disk full, leaves no more than this behind.
        others = sorted(
            item.name
            for item in folder.iterdir()
            if item.name != LOCK_FILE
            and not (item.name.startswith(".") and item.suffix == TEMPORARY)
        )
        if others:
            raise InputError(
                f"--out: {folder} is not empty and no sweep's folder (it holds {others[0]!r});"
                " allowed: a new, empty or sweep's folder"
            )
        return
    meta = read_meta(folder)
    if meta["spec_hash"] == plan.hash:
        return
    name, lacking = plan.resolved.spec.name, ""
    if not plan.searched:
        done = Ledger(folder).done_ids()
        foreign = len(done - plan.by_id.keys())
        if meta["name"] == name and not foreign:
            return
        lacking = f", which lacks {foreign:,} of its {len(done):,} finished cells" * bool(foreign)
    raise InputError(
        f"--out: {folder} belongs to another spec: {meta['name']} {meta['spec_hash']}, and this one"
        f" is {name} {plan.hash}{lacking}; allowed: a new folder, or {plan.may_change}"
    )


def bind(folder: Path, plan: AnyPlan, versions: Mapping[str, str]) -> None:
    """Make ``folder`` the plan's: write ``sweep.json`` and a copy of the spec.

    A grid that has grown keeps the older spec as ``spec.1.yaml``, ``spec.2.yaml``, …. Only
    ``sweep.json`` counts: a driver killed on the way changes nothing.

    Raises:
        InputError: as :func:`check_binding`.
        OSError: the folder cannot be written; the same call continues.
    """
    check_binding(folder, plan)
    before = read_meta(folder) if (folder / META_FILE).exists() else None
    same = before is not None and before["spec_hash"] == plan.hash
    meta = {**_head(plan, versions), **plan.summary(), "spec": plan.resolved.to_json()}
    if before is not None and not same:
        meta[GROWN] = _grown(folder, plan, before)
    if not same or (plan.searched and before != json.loads(json.dumps(meta))):
        # In this order: a folder in which only the copy is missing is known as this plan's.
        replace_file(folder / META_FILE, json.dumps(meta, indent=2, ensure_ascii=False).encode())
    copy, text = folder / SPEC_FILE, plan.resolved.spec.text.encode()
    if not copy.exists() or copy.read_bytes() != text:
        replace_file(copy, text)


def _head(plan: AnyPlan, versions: Mapping[str, str]) -> dict[str, Any]:
    known = {task.name: remember_task(task) for task in plan.resolved.tasks}
    return {
        TASKS: {name: found for name, found in known.items() if found is not None},
        "format": FORMAT,
        "name": plan.resolved.spec.name,
        "description": plan.resolved.spec.description,
        "spec_hash": plan.hash,
        "code": CODE_VERSION,
        "versions": dict(versions),
    }


def _grown(folder: Path, plan: AnyPlan, meta: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Keep the older spec; the new ``grown_from``. After a crash on the way it does the same."""
    earlier = [dict(item) for item in meta.get(GROWN, ())]
    kept = folder / f"spec.{len(earlier) + 1}.yaml"
    # Where it is there, a driver was killed before sweep.json was written: the copy of the spec may
    # be the new one by now.
    if not kept.exists() and (folder / SPEC_FILE).exists():
        replace_file(kept, (folder / SPEC_FILE).read_bytes())
    # Why a cell failed that is no longer asked for is nobody's question.
    for failure in (folder / "ledger" / "failed").glob("*.json"):
        if failure.stem not in plan.by_id:
            failure.unlink(missing_ok=True)
    before = {
        "spec_hash": meta["spec_hash"],
        "spec": kept.name,
        "planned_cells": meta.get("planned_cells"),
        **Extras.asked(meta["spec"]).by_kind(),
    }
    return [*earlier, before]


def origin(meta: Mapping[str, Any]) -> str:
    """Hash of the first spec of a folder: it stays the same while the folder grows."""
    return str((meta.get(GROWN) or [meta])[0]["spec_hash"])


def first_hash(folder: Path, plan: AnyPlan) -> str:
    """Hash of the spec that ``folder`` was made with; the plan's where it is new."""
    return origin(read_meta(folder)) if (folder / META_FILE).exists() else plan.hash


def lacking_note(folder: Path, plan: AnyPlan, records: Callable[[], Iterable[Record]]) -> str:
    """A sentence on what :class:`Extras` has and finished cells lack; empty where none does.

    They are not in a spec's hash, so a folder may ask for more later. Finished cells stay as they
    are: their logits are gone.

    Args:
        plan: the plan it is continued with.
        records: reads the ledger; called only where the spec asks for more than at first.
    """
    if not (folder / META_FILE).exists():
        return ""
    meta = read_meta(folder)
    first = reduce(Extras.common, map(Extras.asked, (*meta.get(GROWN, ()), meta["spec"])))
    added = Extras.asked(plan.resolved.spec).lacking(first)
    if not added:
        return ""
    there = [Extras.of(record) for record in records() if record["id"] in plan.by_id]
    lacking = Counter(
        (kind, name)
        for found in there
        for kind, names in added.lacking(found).by_kind().items()
        for name in names
    )
    if not lacking:
        return ""
    kinds = dict.fromkeys(_KINDS[kind] for kind, _ in lacking)
    parts = (f"{name} in {count:,}" for (_, name), count in lacking.items())
    return (
        f"of {len(there):,} finished cells, {' and '.join(kinds)} that were added to the spec"
        f" later are missing ({', '.join(parts)}) and stay so; only a run into a new folder (sweep"
        " run SPEC --out NEW_FOLDER) computes them for all"
    )


def read_meta(folder: Path) -> dict[str, Any]:
    """The content of ``sweep.json``.

    Raises:
        InputError: ``folder`` is no sweep's folder.
    """
    path = folder / META_FILE
    try:
        meta = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(
            f"{folder}: no sweep's folder (it has no {META_FILE}); allowed: the --out of a sweep"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    if not isinstance(meta, dict) or not meta.keys() >= _NEEDED:
        raise InputError(f"{path}: it is damaged; allowed: the file as the sweep wrote it")
    if meta["format"] != FORMAT:
        raise InputError(
            f"{folder}: another version of promptsweep has written it (format {meta['format']});"
            " allowed: that version, or a new --out, into which the same spec takes what the store"
            " has"
        )
    return meta


def read_meta_for_models(folder: Path) -> dict[str, Any]:
    """As :func:`read_meta`, for commands that load models or prompts: with the sweep's plugins.

    Raises:
        InputError: also where a plugin is gone or has changed.
    """
    meta = read_meta(folder)
    load_known(meta["spec"].get("plugins", {}), folder)
    return meta
