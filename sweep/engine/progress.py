"""One line that says how far the sweep is."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from sweep.planning.work import cost
from trainables.core.cells import Pack
from trainables.core.texts import duration, some
from trainables.files.atomic import replace_file

Phases = Mapping[str, tuple[str, int, int]]
PLAIN_EVERY = 10.0
LIVE_EVERY = 0.5
COLUMNS = 80
"""Of a terminal that does not say how wide it is."""
NOTE = ".progress.json"
_SHOWN_PACKS = 3
_STARTING = "start"  # phase of a pack whose worker has not begun yet
_TRAINING = 0.9
_LOGGED = 1 / 30  # of the time so far passes until the next line of a log file,
_RAREST = 300.0  # but not more than so many seconds
_TELLING = 0.02  # share of the work after which the time left can be told


class ProgressLine:
    """Finished cells, rate, time left and running packs.

    A terminal or notebook gets one line that changes in place. A file or pipe gets a new line every
    :data:`PLAIN_EVERY` seconds at first, later more rarely. Write errors stop nothing.
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
        headline: Callable[[], str] | None = None,
        share: Callable[[], float] | None = None,
        workers: int = 1,
    ) -> None:
        """Begin; time is counted from when the first pack is at work, not from Ray's start.

        Args:
            stream: where to write (default: standard error).
            clock: seconds; stands in for the real one in tests.
            weight: what a pack weighs against others: a pack of a large model takes longer.
            note: a file that says the same to other processes, for as long as the sweep runs.
            headline: said before the cells done, in place of the plan's number of them.
            share: how much of the work is done, from 0 to 1, where packs to come do not tell.
            workers: packs at once that there is room for; more are believed when they are seen.
        """
        self._stream = sys.stderr if stream is None else stream
        self._live = _changes_in_place(self._stream)
        self._clock = clock
        self._total, self._before = total, done
        self._done = 0
        self._weigh, self._note = weight, note
        self._headline, self._share = headline, share
        self._share_before = share() if share else 0.0
        self._left: dict[str, float] = {pack.id: weight(pack) for pack in packs}
        self._work, self._worked = sum(self._left.values()), 0.0
        self._workers = workers
        self._began = self._shown = self._logged = self._looked = clock()
        self._first: float | None = None
        self._busy, self._at_work = 0.0, 0
        self._width = 0

    def close_pack(self, pack: Pack, done: int) -> None:
        """A pack is over and ``done`` cells have a record that had none before."""
        if self._first is None:  # it was over before anybody looked
            self._first, self._at_work = self._began, 1
        self._look(self._at_work)
        self._done += done
        self._worked += self._weight(pack)
        self._left.pop(pack.id, None)

    def due(self) -> bool:
        """Whether it is time to look: a log file gets its lines more rarely than that."""
        return self._clock() - self._shown >= LIVE_EVERY

    def _weight(self, pack: Pack) -> float:
        known = self._left.get(pack.id)
        return self._weigh(pack) if known is None else known

    def _look(self, at_work: int) -> float:
        """Count the packs' seconds up to now, of which so many are at work from now on; now."""
        now = self._clock()
        if self._first is not None:
            self._busy += (now - self._looked) * self._at_work
        self._looked, self._at_work = now, at_work
        return now

    def show(self, running: Iterable[Pack], phases: Phases, failed: int = 0) -> None:
        """Write the line now; into a log file only where that is due.

        Args:
            phases: per pack id, what its worker said last: phase, done and total.
        """
        self._shown = self._clock()
        found = self.figures(running, phases, failed)
        if self._note is not None:
            _write(self._note, found)
        if self._live:
            # In the last column the cursor would go on to the next line.
            self._width = max(_columns(self._stream) - 1, 1)
            self._put("\r" + _fitted(_text(found), self._width))
        elif self._shown >= self._logged + self._pause():
            self._logged = self._shown
            self._put(_text(found) + "\n")

    def clear(self) -> None:
        """Make room for another line; the next :meth:`show` writes this one again."""
        if self._width:
            self._put("\r" + " " * self._width + "\r")
            self._width = 0

    def end(self) -> None:
        """Leave the live line behind."""
        if self._note is not None:
            self._note.unlink(missing_ok=True)
        if self._width:
            self._put("\n")
            self._width = 0

    def _pause(self) -> float:
        return min(max(PLAIN_EVERY, _LOGGED * (self._shown - self._began)), _RAREST)

    def _put(self, text: str) -> None:
        with suppress(OSError, ValueError, AttributeError):
            self._stream.write(text)
            self._stream.flush()

    def _seconds_left(
        self, elapsed: float, worked: float, running: Mapping[str, float]
    ) -> float | None:
        """None while it cannot be told.

        What is left of the packs by their weights, times what such a weight has taken so far, on
        all workers; or the longest of the packs, where that takes longer.

        Args:
            elapsed: seconds since the first pack.
            worked: weight of what was done in them.
            running: by pack under way, the weight that is done of it.
        """
        if self._share is not None:  # it goes on as fast as so far
            share = self._share()
            used = share - self._share_before
            return None if used < _TELLING else elapsed * (1 - share) / used
        if worked <= _TELLING * self._work:
            return None
        left = max(self._work - worked, 0.0)
        each = (weight - running.get(name, 0.0) for name, weight in self._left.items())
        # A pack that lost cells on the way goes by another name.
        longest = min(max(each, default=0.0), left)
        return max(left / self._workers, longest) * self._busy / worked

    def text(self, running: Iterable[Pack], phases: Phases, failed: int = 0) -> str:
        """The line that :meth:`show` writes."""
        return _text(self.figures(running, phases, failed))

    def figures(self, running: Iterable[Pack], phases: Phases, failed: int = 0) -> dict[str, Any]:
        """What the line says, as data.

        Returns:
            ``cells``, ``done``, ``failed``, ``cells_per_minute`` and ``eta_seconds`` (None while
            unknown), ``packs`` (``pack``, ``label``, ``cells``, ``phase``, ``share`` of each
            running one), and ``headline`` of a search.
        """
        # A pack that Tune has queued has no phase yet.
        packs = [pack for pack in running if pack.id in phases]
        share = {pack.id: _share(pack, *phases[pack.id]) for pack in packs}
        part = {pack.id: self._weight(pack) * share[pack.id] for pack in packs}
        begun = any(phases[pack.id][0] != _STARTING for pack in packs)
        if self._first is None and begun:  # some time since the last look
            self._first, self._at_work = self._looked, len(packs)
        now = self._look(len(packs))
        self._workers = max(self._workers, len(packs))
        worked = self._worked + sum(part.values())
        elapsed = max(now - (self._began if self._first is None else self._first), 1e-9)
        cells = self._done + sum(len(pack.cells) * share[pack.id] for pack in packs)
        headline = (
            {}
            if self._headline is None
            else {"headline": f"{self._headline()} | {self._done} cells"}
        )
        return {
            **headline,
            "cells": self._total,
            "done": self._before + self._done,
            "failed": failed,
            "cells_per_minute": cells * 60 / elapsed if worked > 0 else None,
            "eta_seconds": self._seconds_left(elapsed, worked, part),
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
    with suppress(OSError):
        content = json.dumps({"driver": os.getpid(), **found}).encode()
        replace_file(path, content, durable=False)


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
        each = [f"{pack['label']} {pack['share']:.0%}" for pack in packs]
        parts.append(some(each, _SHOWN_PACKS))
    return "".join(sign if sign.isprintable() else "?" for sign in " | ".join(parts))


def _changes_in_place(stream: TextIO | None) -> bool:
    with suppress(ValueError, AttributeError):  # it is closed, or missing
        # A notebook's stream is no terminal, but goes back to the beginning of a line as well.
        return stream.isatty() or type(stream).__module__.startswith("ipykernel.")  # type: ignore[union-attr]
    return False


def _columns(stream: TextIO) -> int:
    """How wide a terminal is now: it may have another size than a moment ago."""
    with suppress(OSError, ValueError, AttributeError):
        return os.get_terminal_size(stream.fileno()).columns or COLUMNS
    return COLUMNS


def _fitted(text: str, width: int) -> str:
    """``text`` cut or filled up to ``width`` columns, of which some characters take two."""
    from rich.cells import set_cell_size

    return set_cell_size(text, width)


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
