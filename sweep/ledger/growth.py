"""A sweep's folder that goes on with a spec that asks for more.

Models, tasks, seeds, λ and so on may be added: every finished cell of the folder has to be a cell
of the new spec too. The older spec is kept as ``spec.1.yaml``, ``spec.2.yaml``, …; what
``sweep.json`` says is what holds, so that a driver killed on the way changes nothing.
"""

from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from sweep.ledger.extras import Extras
from sweep.ledger.ledger import Ledger
from sweep.plan.plan import Plan
from trainables.files.atomic import replace_file

GROWN = "grown_from"
"""Key of ``sweep.json``: the earlier specs, oldest first."""


def finished_elsewhere(folder: Path, plan: Plan) -> tuple[int, int]:
    """How many finished cells of a folder a plan does not have, and how many there are."""
    done = Ledger(folder).done_ids()
    return len(done - plan.by_id.keys()), len(done)


def origin(meta: Mapping[str, Any]) -> str:
    """Hash of the first spec of a folder: it stays the same while the folder grows."""
    earlier = meta.get(GROWN) or [meta]
    return str(earlier[0].get("spec_hash"))


def first_extras(meta: Mapping[str, Any]) -> Extras:
    """The calibrations and predictions that all specs of a folder have asked for."""
    specs = (*meta.get(GROWN, ()), meta.get("spec", {}))
    return reduce(Extras.common, map(Extras.asked, specs))


def grown(
    folder: Path, plan: Plan, meta: Mapping[str, Any], spec_file: str
) -> list[dict[str, Any]]:
    """Put the older spec aside; the new ``grown_from`` of ``sweep.json``.

    Called again after a crash on the way, it does the same.

    Args:
        folder: the sweep's folder.
        plan: the plan of the new spec.
        meta: ``sweep.json`` as it was.
        spec_file: name of the copy of the spec.

    Raises:
        OSError: the folder cannot be written.
    """
    earlier = [dict(item) for item in meta.get(GROWN, ())]
    kept = _keep_spec(folder, spec_file, len(earlier) + 1)
    # Why a cell failed that is no longer asked for is nobody's question.
    for failure in (folder / "ledger" / "failed").glob("*.json"):
        if failure.stem not in plan.by_id:
            failure.unlink(missing_ok=True)
    before = {
        "spec_hash": meta.get("spec_hash"),
        "spec": kept,
        "planned_cells": meta.get("planned_cells"),
        **Extras.asked(meta.get("spec", {})).by_kind(),
    }
    return [*earlier, before]


def _keep_spec(folder: Path, spec_file: str, number: int) -> str:
    stem, suffix = spec_file.rsplit(".", 1)
    name = f"{stem}.{number}.{suffix}"
    # Where it is there, a driver was killed before sweep.json was written: the copy of the spec may
    # be the new one by now.
    if not (folder / name).exists() and (folder / spec_file).exists():
        replace_file(folder / name, (folder / spec_file).read_bytes())
    return name
