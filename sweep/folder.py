"""A sweep's folder: which spec it belongs to."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from sweep.files import TEMPORARY, replace_file
from sweep.ledger import Record
from sweep.lock import LOCK_FILE
from sweep.plan import Plan
from trainables.cells import CODE_VERSION
from trainables.errors import InputError

META_FILE = "sweep.json"
SPEC_FILE = "spec.yaml"
FORMAT = 1


def check_binding(folder: Path, plan: Plan) -> None:
    """See that ``folder`` is new, empty or this plan's; writes nothing.

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
    if meta.get("spec_hash") != plan.hash:
        raise InputError(
            f"--out: {folder} belongs to another spec: {meta.get('name')} {meta.get('spec_hash')},"
            f" and this one is {plan.resolved.spec.name} {plan.hash}; allowed: a new folder, or the"
            " spec, models, tasks and program version it was made with"
        )


def bind(folder: Path, plan: Plan, versions: Mapping[str, str]) -> None:
    """Make ``folder`` the plan's: write ``sweep.json`` and a copy of the spec, once.

    Raises:
        InputError: as :func:`check_binding`.
        OSError: the folder cannot be written; the same call continues.
    """
    check_binding(folder, plan)
    if not (folder / META_FILE).exists():
        replace_file(folder / META_FILE, _meta(plan, versions))
    # In this order: a folder in which only the copy is missing is known as this plan's.
    if not (folder / SPEC_FILE).exists():
        replace_file(folder / SPEC_FILE, plan.resolved.spec.text.encode())


def _meta(plan: Plan, versions: Mapping[str, str]) -> bytes:
    counts = plan.counts()
    meta = {
        "format": FORMAT,
        "name": plan.resolved.spec.name,
        "description": plan.resolved.spec.description,
        "spec_hash": plan.hash,
        "code": CODE_VERSION,
        "versions": dict(versions),
        "planned_cells": counts["cells"],
        "kinds": counts["kinds"],
        "rows": counts["rows"],
        "tunings": counts["tunings"],
        "packs": counts["packs"],
        "spec": plan.resolved.to_json(),
    }
    return json.dumps(meta, indent=2, ensure_ascii=False).encode()


def calibration_note(folder: Path, plan: Plan, records: Callable[[], Iterable[Record]]) -> str:
    """Which calibrations of the spec finished cells lack, in a sentence; empty where none does.

    Calibrations are no part of a spec's hash: a folder may be continued with more of them. A cell
    that is finished stays as it was written, for its logits are gone.

    Args:
        folder: a sweep's folder.
        plan: the plan it is continued with.
        records: reads the ledger; called only where the spec asks for more than it did at first.
    """
    if not (folder / META_FILE).exists():
        return ""
    first = read_meta(folder).get("spec", {}).get("calibration", ())
    added = [name for name in plan.resolved.spec.calibration if name not in first]
    if not added:
        return ""
    results = [record["result"] for record in records() if record["id"] in plan.by_id]
    lacking = {name: sum(f"score_{name}" not in result for result in results) for name in added}
    parts = [f"{name} in {count:,}" for name, count in lacking.items() if count]
    if not parts:
        return ""
    return (
        f"of {len(results):,} finished cells, calibrations that were added to the spec later are"
        f" missing ({', '.join(parts)}) and stay so; only a run into a new folder (sweep run SPEC"
        " --out NEW_FOLDER) computes them for all"
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
