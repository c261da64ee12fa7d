"""What `sweep plan` and `sweep status` say, as data and as text."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from analysis.durations import duration
from sweep.folder import read_meta
from sweep.ledger import Ledger
from sweep.lock import running_driver

_SHOWN_FAILURES = 10


def plan_text(counts: Mapping[str, Any]) -> str:
    """The counts of a plan for people."""
    rows = counts["rows"]
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts["kinds"].items())
    width = max(map(len, rows))
    lines = [
        f"sweep {counts['name']} (spec {counts['spec_hash']})",
        f"  {counts['cells']} cells: {kinds}",
        *[f"    {name.ljust(width)}  {count}" for name, count in rows.items()],
        f"  {_tunings(counts)} in {counts['packs']} packs",
        *_combinations(counts["combinations"]),
        f"  {counts['done']} done, {_stored(counts)}{counts['to_run']} to run",
    ]
    return "\n".join(lines)


def _stored(counts: Mapping[str, Any]) -> str:
    return f"{counts['in_store']} in the store, " if counts.get("in_store") else ""


def _tunings(counts: Mapping[str, Any]) -> str:
    tunings, searches = counts["tunings"], counts["searches"]
    direct = f" ({counts['direct']} on a target: row Direct)" if counts["direct"] else ""
    if not sum(tunings.values()):
        return f"{searches} searches of hard prompts{direct}"
    text = f"{tunings['independent']} independent{direct} and {tunings['joint']} joint tunings"
    return f"{text}, {searches} searches of hard prompts" if searches else text


def _combinations(combinations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines on combinations of settings, each tuned by itself; none where there is one."""
    if not combinations:
        return []
    texts = [
        ", ".join(f"{name} {value}" for name, value in item.items() if value is not None)
        for item in combinations
    ]
    return [f"  {len(texts)} combinations of settings:", *(f"    {text}" for text in texts)]


def folder_status(folder: Path) -> dict[str, Any]:
    """How far a sweep is, from its folder alone.

    Returns:
        ``name``, ``spec_hash``, ``state`` (``running``, ``done`` or ``stopped``), ``driver`` (pid
        or None), ``cells``, ``done``, ``failed``, ``missing``, ``kinds`` (done and planned per
        kind), ``cells_per_minute`` and ``eta_seconds`` (of a running sweep, else None),
        ``damaged`` (lines on records that count as missing) and ``failures`` (cell, row, task,
        target, sources, reason).

    Raises:
        InputError: the folder is no sweep's folder.
    """
    meta = read_meta(folder)
    damaged: list[str] = []
    ledger = Ledger(folder, warn=damaged.append)
    kinds: Counter[str] = Counter()
    moments = []
    for record in ledger.records():
        kinds[record["cell"]["kind"]] += 1
        if "reused_from" not in record:  # another sweep's hour says nothing on this one's pace
            moments.append(record["finished"])
    done, planned = kinds.total(), int(meta["planned_cells"])
    driver = running_driver(folder)
    failures = [
        {
            "cell": failure["id"],
            "row": failure["cell"]["row"],
            "task": failure["cell"]["task"],
            "target": failure["cell"]["target"],
            "sources": failure["cell"]["sources"],
            "reason": failure["reason"],
        }
        for failure in ledger.failures()
    ]
    rate = _rate(moments) if driver is not None else None
    return {
        "name": meta["name"],
        "spec_hash": meta["spec_hash"],
        "state": "running" if driver is not None else "done" if done >= planned else "stopped",
        "driver": driver,
        "cells": planned,
        "done": done,
        "failed": len(failures),
        "missing": planned - done,
        "kinds": {
            kind: {"done": kinds[kind], "planned": count} for kind, count in meta["kinds"].items()
        },
        "cells_per_minute": rate,
        "eta_seconds": (planned - done) / rate * 60 if rate else None,
        "damaged": damaged,
        "failures": failures,
    }


def status_text(status: Mapping[str, Any]) -> str:
    """The status for people."""
    state = status["state"] + (f" (process {status['driver']})" if status["driver"] else "")
    lines = [
        f"sweep {status['name']} (spec {status['spec_hash']}): {state}",
        f"  {status['done']} of {status['cells']} cells done, {status['failed']} failed",
        *[
            f"    {kind}: {count['done']} of {count['planned']}"
            for kind, count in status["kinds"].items()
        ],
    ]
    if status["cells_per_minute"]:
        lines.append(
            f"  {status['cells_per_minute']:.0f} cells/min, about"
            f" {duration(status['eta_seconds'])} left"
        )
    lines += [f"  warning: {line}" for line in status["damaged"]]
    for failure in status["failures"][:_SHOWN_FAILURES]:
        sources = "+".join(failure["sources"]) or failure["row"]
        lines.append(
            f"  failed: {sources} on {failure['target']}, {failure['task']}"
            f" ({failure['cell']}): {failure['reason']}"
        )
    if len(status["failures"]) > _SHOWN_FAILURES:
        lines.append(f"  and {len(status['failures']) - _SHOWN_FAILURES} further failed cells")
    return "\n".join(lines)


def _rate(moments: list[str]) -> float | None:
    """Cells a minute over the last half of the cells that are there."""
    times = sorted(datetime.fromisoformat(moment) for moment in moments)[len(moments) // 2 :]
    if len(times) < 2 or times[-1] <= times[0]:
        return None
    return 60 * len(times) / (datetime.now(times[0].tzinfo) - times[0]).total_seconds()
