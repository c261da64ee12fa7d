"""What `sweep status` says, as data and as text."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweep.engine.progress import read_note
from sweep.ledger.folder import read_meta
from sweep.ledger.ledger import Ledger, Record
from sweep.ledger.lock import running_driver
from sweep.spec.trackers import MLFLOW, TRACKERS
from sweep.tracking.sink import runs_behind
from trainables.core.texts import duration
from trainables.core.weight import Weight
from trainables.packs.records import damage_note

SHOWN_FAILURES = 10
_SHOWN_BEST = 12


def folder_status(folder: Path) -> dict[str, Any]:
    """How far a sweep is, from its folder alone.

    Returns:
        ``name``, ``folder``, ``spec_hash``, ``state`` (``running``, ``done`` or ``stopped``),
        ``driver`` (pid or None), ``cells`` = ``done`` + ``running`` + ``waiting`` + ``failed``,
        ``missing`` (all but ``done``), ``kinds`` (done and planned), ``cells_per_minute`` and
        ``eta_seconds`` (None unless running), ``packs`` (under way, see
        :meth:`sweep.engine.progress.ProgressLine.figures`), ``search`` (of a search, see
        :func:`sweep.commands.search_status.search_status`), ``best`` (best transfer on validation
        by target and task), ``damaged`` (messages), ``behind`` (by tracker, how many
        runs it lacks; none where it has all or while running, -1 if unknown after a kill),
        ``mlflow_behind`` (the same of MLflow alone, or None) and ``failures``.

    Raises:
        InputError: the folder is no sweep's folder.
    """
    meta = read_meta(folder)
    damaged: list[str] = []
    ledger = Ledger(folder, warn=damaged.append)
    kinds: Counter[str] = Counter()
    best: dict[tuple[str, str], Record] = {}
    ids: set[str] = set()
    for record in ledger.records():
        ids.add(record["id"])
        kinds[record["cell"]["kind"]] += 1
        _keep_best(best, record)
    done = kinds.total()
    search = None
    if "search" in meta:
        from sweep.commands.search_status import search_status  # Optuna takes its time to import

        search = search_status(folder, meta["search"])
    driver = running_driver(folder)
    behind = runs_behind(folder) if driver is None else {}
    live = read_note(folder, driver) or {}
    failures = [_failure(item) for item in ledger.failures() if item["id"] not in ids]
    packs = live.get("packs", [])
    # A search plans as it goes: what it has begun is what it has planned.
    begun = done + len(failures) + sum(pack["cells"] for pack in packs)
    planned = begun if search else int(meta["planned_cells"])
    failed = min(len(failures), max(planned - done, 0))
    room = max(planned - done - failed, 0)
    running = min(sum(pack["cells"] for pack in packs), room)
    return {
        "name": meta["name"],
        "folder": str(folder),
        "spec_hash": meta["spec_hash"],
        "state": _state(driver, search["over"] if search else done >= planned),
        "driver": driver,
        "cells": planned,
        "done": done,
        "running": running,
        "waiting": room - running,
        "failed": failed,
        "missing": planned - done,
        "kinds": {
            kind: {"done": kinds[kind], "planned": count}
            for kind, count in meta.get("kinds", kinds).items()
        },
        **({"search": search} if search else {}),
        "cells_per_minute": live.get("cells_per_minute"),
        "eta_seconds": live.get("eta_seconds"),
        "packs": packs,
        "best": [_best_row(best[place]) for place in sorted(best)],
        "damaged": damaged,
        "behind": behind,
        "mlflow_behind": behind.get(MLFLOW),
        "failures": failures,
    }


def _state(driver: int | None, over: bool) -> str:
    if driver is not None:
        return "running"
    return "done" if over else "stopped"


def _keep_best(best: dict[tuple[str, str], Record], record: Record) -> None:
    cell, value = record["cell"], record["result"].get("validation_score")
    if cell["kind"] != "transfer" or value is None:
        return
    place = (cell["target"], cell["task"])
    if place not in best or value > best[place]["result"]["validation_score"]:
        best[place] = record


def _best_row(record: Record) -> dict[str, Any]:
    cell, result = record["cell"], record["result"]
    named = ("row", "target", "task", "sources", "weight", "schedule", "seed")
    return {
        "cell": record["id"],
        **{name: cell[name] for name in named},
        "validation_score": result["validation_score"],
        "score": result["score"],
    }


def _failure(failure: Record) -> dict[str, Any]:
    named = ("row", "task", "target", "sources")
    cell = {name: failure["cell"][name] for name in named}
    return {"cell": failure["id"], **cell, "reason": failure["reason"]}


def format_status(status: Mapping[str, Any]) -> str:
    lines = [
        *head_lines(status),
        *[
            f"    {kind}: {count['done']} of {count['planned']}"
            for kind, count in status["kinds"].items()
        ],
    ]
    lines += [*points_lines(status), *rate_lines(status), *_pack_lines(status)]
    for section in (_best_lines, tracker_lines, damage_lines, _failure_lines):
        lines += section(status)
    return "\n".join(lines)


def head_lines(status: Mapping[str, Any]) -> list[str]:
    """Which sweep, its state, and how many cells are where."""
    state = status["state"] + (f" (process {status['driver']})" if status["driver"] else "")
    return [
        f"sweep {status['name']} (spec {status['spec_hash']}): {state}",
        f"  {status['done']} of {status['cells']} cells done, {status['running']} running,"
        f" {status['waiting']} waiting, {status['failed']} failed",
    ]


def points_lines(status: Mapping[str, Any]) -> list[str]:
    """Points of a search."""
    if "search" not in status:
        return []
    from sweep.commands.search_status import search_lines

    return search_lines(status["search"])


def rate_lines(status: Mapping[str, Any]) -> list[str]:
    """Cells a minute and the time left, of a running sweep."""
    if not status["cells_per_minute"]:
        return []
    eta = status["eta_seconds"]
    left = "" if eta is None else f", about {duration(eta)} left"
    return [f"  {status['cells_per_minute']:.0f} cells/min{left}"]


def _pack_lines(status: Mapping[str, Any]) -> list[str]:
    return [
        f"  now: {pack['label']}, {pack['cells']} cells, {pack['phase']} {pack['share']:.0%}"
        for pack in status["packs"]
    ]


def _best_lines(status: Mapping[str, Any]) -> list[str]:
    rows = status["best"]
    if not rows:
        return []
    lines = ["  best on validation so far:"]
    for row in rows[:_SHOWN_BEST]:
        label = Weight.in_cell(row).label
        weight = f", λ {label}" if label else ""
        lines.append(
            f"    {'+'.join(row['sources'])} to {row['target']}, {row['task']}"
            f" ({row['row']}{weight}, seed {row['seed']}): {row['validation_score']:.3f},"
            f" test {row['score']:.3f}"
        )
    if len(rows) > _SHOWN_BEST:
        lines.append(f"    and {len(rows) - _SHOWN_BEST} further targets and tasks")
    return lines


def tracker_lines(status: Mapping[str, Any]) -> list[str]:
    """What trackers lack."""
    lines = []
    for name, count in status["behind"].items():
        runs = f"{count} run{'' if count == 1 else 's'}"
        lacks = "may lack runs" if count < 0 else f"is {runs} behind"
        title = TRACKERS[name].title if name in TRACKERS else name
        lines.append(f"  {title} {lacks}; sweep sync {status['folder']} writes them")
    return lines


def damage_lines(status: Mapping[str, Any]) -> list[str]:
    """Damaged files, and what to do about them."""
    lines = [f"  warning: {line}" for line in status["damaged"]]
    if lines:
        lines.append(f"  {damage_note(len(lines), status['folder'])}")
    return lines


def _failure_lines(status: Mapping[str, Any]) -> list[str]:
    failures = status["failures"]
    lines = []
    for failure in failures[:SHOWN_FAILURES]:
        sources = "+".join(failure["sources"]) or failure["row"]
        lines.append(
            f"  failed: {sources} on {failure['target']}, {failure['task']}"
            f" ({failure['cell']}): {failure['reason']}"
        )
    if len(failures) > SHOWN_FAILURES:
        lines.append(f"  and {len(failures) - SHOWN_FAILURES} further failed cells")
    return lines
