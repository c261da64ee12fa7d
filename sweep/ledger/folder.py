"""A sweep's folder: which spec it belongs to."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from sweep.ledger.extras import Extras
from sweep.ledger.growth import GROWN, finished_elsewhere, first_extras, grown, origin
from sweep.ledger.ledger import Record
from sweep.ledger.lock import LOCK_FILE
from sweep.search.plan import AnyPlan, SearchPlan
from trainables.core.cells import CODE_VERSION
from trainables.errors import InputError
from trainables.files.atomic import TEMPORARY, replace_file
from trainables.tasks import remember_task

META_FILE = "sweep.json"
SPEC_FILE = "spec.yaml"
FORMAT = 1
TASKS = "tasks"
"""Key of the meta file: what :func:`trainables.tasks.recall_task` needs of each task, by name."""
_KINDS = {"calibration": "calibrations", "predictions": "predictions"}


def check_binding(folder: Path, plan: AnyPlan) -> None:
    """See that ``folder`` is new, empty, this plan's or one that the plan goes on with.

    Writes nothing. A plan of the same name goes on with a folder of another spec if it has every
    finished cell of it; a search if its points can be compared with those that are there.

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
    if meta.get("spec_hash") == plan.hash:
        return
    name = plan.resolved.spec.name
    if isinstance(plan, SearchPlan):
        raise InputError(
            f"--out: {folder} belongs to another spec: {meta.get('name')} {meta.get('spec_hash')},"
            f" and this search is {name} {plan.hash}; allowed: a new folder (the store has what is"
            " computed already), or the same targets, tasks, seeds, transfer and objective, where"
            " sources, methods and budget may change"
        )
    foreign, finished = finished_elsewhere(folder, plan)
    if meta.get("name") != name or foreign:
        lacking = f", which lacks {foreign:,} of its {finished:,} finished cells" if foreign else ""
        raise InputError(
            f"--out: {folder} belongs to another spec: {meta.get('name')} {meta.get('spec_hash')},"
            f" and this one is {name} {plan.hash}{lacking}; allowed: a new folder, or the spec,"
            " models, tasks and program version it was made with, to which the spec may add"
        )


def bind(folder: Path, plan: AnyPlan, versions: Mapping[str, str]) -> None:
    """Make ``folder`` the plan's: write ``sweep.json`` and a copy of the spec.

    Nothing is written where it is the plan's already; a copy of an older spec is kept.

    Raises:
        InputError: as :func:`check_binding`.
        OSError: the folder cannot be written; the same call continues.
    """
    check_binding(folder, plan)
    if isinstance(plan, SearchPlan):
        _bind_search(folder, plan, versions)
        return
    history: dict[str, Any] = {}
    if (folder / META_FILE).exists():
        before = read_meta(folder)
        if before.get("spec_hash") == plan.hash:
            _copy_spec(folder, plan)  # a driver may have been killed between the two files
            return
        history = {GROWN: grown(folder, plan, before, SPEC_FILE)}
    counts = plan.counts()
    meta = {
        **_head(plan, versions),
        "planned_cells": counts["cells"],
        "kinds": counts["kinds"],
        "rows": counts["rows"],
        "tunings": counts["tunings"],
        "packs": counts["packs"],
        "spec": plan.resolved.to_json(),
        **history,
    }
    _write(folder, plan, meta)


def _bind_search(folder: Path, plan: SearchPlan, versions: Mapping[str, str]) -> None:
    """A search's folder goes along with its spec: sources, methods and budget may change."""
    meta = {**_head(plan, versions), "search": plan.counts(), "spec": plan.resolved.to_json()}
    if not (folder / META_FILE).exists() or read_meta(folder) != json.loads(json.dumps(meta)):
        _write(folder, plan, meta)


def _head(plan: AnyPlan, versions: Mapping[str, str]) -> dict[str, Any]:
    told = {task.name: remember_task(task) for task in plan.resolved.tasks}
    return {
        TASKS: {name: found for name, found in told.items() if found is not None},
        "format": FORMAT,
        "name": plan.resolved.spec.name,
        "description": plan.resolved.spec.description,
        "spec_hash": plan.hash,
        "code": CODE_VERSION,
        "versions": dict(versions),
    }


def _write(folder: Path, plan: AnyPlan, meta: Mapping[str, Any]) -> None:
    content = json.dumps(meta, indent=2, ensure_ascii=False).encode()
    # In this order: a folder in which only the copy is missing is known as this plan's.
    replace_file(folder / META_FILE, content)
    _copy_spec(folder, plan)


def _copy_spec(folder: Path, plan: AnyPlan) -> None:
    copy, text = folder / SPEC_FILE, plan.resolved.spec.text.encode()
    if not copy.exists() or copy.read_bytes() != text:
        replace_file(copy, text)


def first_hash(folder: Path, plan: AnyPlan) -> str:
    """Hash of the spec that ``folder`` was made with; the plan's where it is new."""
    return origin(read_meta(folder)) if (folder / META_FILE).exists() else plan.hash


def lacking_note(folder: Path, plan: AnyPlan, records: Callable[[], Iterable[Record]]) -> str:
    """Which calibrations and predictions finished cells lack, in a sentence; empty where none does.

    They are no part of a spec's hash: a folder may be continued with more of them. A cell that is
    finished stays as it was written, for its logits are gone.

    Args:
        folder: a sweep's folder.
        plan: the plan it is continued with.
        records: reads the ledger; called only where the spec asks for more than it did at first.
    """
    if not (folder / META_FILE).exists():
        return ""
    added = Extras.asked(plan.resolved.spec).lacking(first_extras(read_meta(folder)))
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
    if not isinstance(meta, dict):
        raise InputError(f"{path}: found no mapping; allowed: the file as the sweep wrote it")
    return meta
