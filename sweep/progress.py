"""One line that says how far the sweep is."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from analysis.durations import duration
from sweep.files import TEMPORARY
from sweep.plan import cost
from trainables.cells import Pack

Phases = Mapping[str, tuple[str, int, int]]
PLAIN_EVERY = 10.0
LIVE_EVERY = 0.5
NOTE = ".progress.json"
_SHOWN_PACKS = 3
_TRAINING = 0.9
_TELLING = 0.02  # share of the work after which the time left can be told


class ProgressLine:
    """Cells done of all, rate, time left and the packs under way.

    A terminal gets one line that changes in place; a file or pipe gets a new line every
    :data:`PLAIN_EVERY` seconds.
    """

    def __init__(
        self,
        total: int,
        done: int,
        packs: Iterable[Pack],
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        weight: Callable[[Pack], float] = cost,
        note: Path | None = None,
    ) -> None:
        """Start the clock.

        Args:
            total: cells of the plan.
            done: those finished before.
            packs: all packs to run.
            stream: where to write (default: standard error).
            clock: seconds; stands in for the real one in tests.
            weight: what a pack weighs against others: a pack of a large model takes longer.
            note: a file that says the same to other processes, for as long as the sweep runs.
        """
        self._stream = sys.stderr if stream is None else stream
        self._live = self._stream.isatty()
        self._clock = clock
        self._total, self._before = total, done
        self._done = 0
        self._weigh, self._note = weight, note
        self._work, self._worked = sum(map(weight, packs)), 0.0
        self._began = self._shown = clock()
        self._width = 0

    def close_pack(self, pack: Pack, done: int) -> None:
        """A pack is over and ``done`` cells have a record that had none before."""
        self._done += done
        self._worked += self._weigh(pack)

    def due(self) -> bool:
        """Whether it is time to show the line."""
        return self._clock() - self._shown >= (LIVE_EVERY if self._live else PLAIN_EVERY)

    def show(self, running: Iterable[Pack], phases: Phases, failed: int = 0) -> None:
        """Write the line now.

        Args:
            running: packs under way.
            phases: per pack id, what its worker said last: phase, done and total.
            failed: cells that have failed.
        """
        self._shown = self._clock()
        found = self.figures(running, phases, failed)
        text = _text(found)
        if self._note is not None:
            _write(self._note, found)
        if self._live:
            self._stream.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            self._stream.write(text + "\n")
        self._stream.flush()

    def end(self) -> None:
        """Leave the live line behind."""
        if self._note is not None:
            self._note.unlink(missing_ok=True)
        if self._live and self._width:
            self._stream.write("\n")
            self._stream.flush()
            self._width = 0

    def left(self, elapsed: float, worked: float) -> float | None:
        """Seconds left; None while they cannot be told.

        Args:
            elapsed: seconds so far.
            worked: weight of what was done in them.
        """
        if worked <= _TELLING * self._work:
            return None
        return max(self._work - worked, 0) * elapsed / worked

    def text(self, running: Iterable[Pack], phases: Phases, failed: int = 0) -> str:
        """The line that :meth:`show` writes."""
        return _text(self.figures(running, phases, failed))

    def figures(self, running: Iterable[Pack], phases: Phases, failed: int = 0) -> dict[str, Any]:
        """What the line says, as data.

        Returns:
            ``cells`` and ``done`` (of the whole plan), ``failed``, ``cells_per_minute`` (None
            before anything is known; packs under way count by their share),
            ``eta_seconds`` (None while too little is known) and ``packs``: per pack under way
            ``pack``, ``label``, ``cells``, ``phase`` and ``share``.
        """
        # A pack that Tune has queued has no phase yet.
        packs = [pack for pack in running if pack.id in phases]
        share = {pack.id: _share(pack, *phases[pack.id]) for pack in packs}
        elapsed = max(self._clock() - self._began, 1e-9)
        worked = self._worked + sum(self._weigh(pack) * share[pack.id] for pack in packs)
        cells = self._done + sum(len(pack.cells) * share[pack.id] for pack in packs)
        return {
            "cells": self._total,
            "done": self._before + self._done,
            "failed": failed,
            "cells_per_minute": cells * 60 / elapsed if worked > 0 else None,
            "eta_seconds": self.left(elapsed, worked),
            "packs": [
                {
                    "pack": pack.id,
                    "label": _label(pack),
                    "cells": len(pack.cells),
                    "phase": phases[pack.id][0],
                    "share": share[pack.id],
                }
                for pack in packs
            ],
        }


def read_note(folder: Path, pid: int | None) -> dict[str, Any] | None:
    """What the driver ``pid`` of a sweep's folder said last; None where it has said nothing."""
    try:
        found = json.loads((folder / NOTE).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and pid and found.get("driver") == pid else None


def _write(path: Path, found: Mapping[str, Any]) -> None:
    # Not made durable: it is of no use to any other driver, and a full disk is told elsewhere.
    temporary = path.with_suffix(TEMPORARY)
    with suppress(OSError):
        temporary.write_text(json.dumps({"driver": os.getpid(), **found}), encoding="utf-8")
        temporary.replace(path)


def _text(found: Mapping[str, Any]) -> str:
    parts = [found.get("headline") or f"{found['done']}/{found['cells']} cells"]
    if found["failed"]:
        parts.append(f"{found['failed']} failed")
    if found["cells_per_minute"] is not None:
        parts.append(f"{found['cells_per_minute']:.0f} cells/min")
    if found["eta_seconds"] is not None:
        parts.append(f"{duration(found['eta_seconds'])} left")
    packs = found["packs"]
    if packs:
        shown = (f"{pack['label']} {pack['share']:.0%}" for pack in packs[:_SHOWN_PACKS])
        parts.append(", ".join(shown))
    if len(packs) > _SHOWN_PACKS:
        parts[-1] += f" and {len(packs) - _SHOWN_PACKS} more"
    return " | ".join(parts)


def _share(pack: Pack, phase: str, done: int, total: int) -> float:
    """How much of a pack is done, judged by its phase; training is most of a ``tune`` pack."""
    part = done / max(total, 1)
    if pack.kind != "tune":
        return part
    return {"train": _TRAINING * part, "transfer": _TRAINING + (1 - _TRAINING) * part}.get(phase, 0)


def _label(pack: Pack) -> str:
    if pack.sources:
        return f"{'+'.join(pack.sources)} on {pack.task.name}"
    return f"to {', '.join(dict.fromkeys(cell.target for cell in pack.cells))} on {pack.task.name}"
