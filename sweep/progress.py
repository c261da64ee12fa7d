"""One line that says how far the sweep is."""

import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TextIO

from analysis.durations import duration
from sweep.plan import cost
from trainables.cells import Pack

Phases = Mapping[str, tuple[str, int, int]]
PLAIN_EVERY = 10.0
LIVE_EVERY = 0.5
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
        work: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the clock.

        Args:
            total: cells of the plan.
            done: those finished before.
            work: :func:`sweep.plan.cost` of all packs to run.
            stream: where to write (default: standard error).
            clock: seconds; stands in for the real one in tests.
        """
        self._stream = sys.stderr if stream is None else stream
        self._live = self._stream.isatty()
        self._clock = clock
        self._total, self._before = total, done
        self._done = 0
        self._work, self._worked = work, 0.0
        self._began = self._shown = clock()
        self._width = 0

    def close_pack(self, pack: Pack, done: int) -> None:
        """A pack is over and ``done`` cells have a record that had none before."""
        self._done += done
        self._worked += cost(pack)

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
        text = self.text(running, phases, failed)
        if self._live:
            self._stream.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            self._stream.write(text + "\n")
        self._stream.flush()

    def end(self) -> None:
        """Leave the live line behind."""
        if self._live and self._width:
            self._stream.write("\n")
            self._stream.flush()
            self._width = 0

    def head(self) -> str:
        """How much is done, the first part of the line."""
        return f"{self._before + self._done}/{self._total} cells"

    def left(self, elapsed: float, worked: float) -> float | None:
        """Seconds left; None while they cannot be told.

        Args:
            elapsed: seconds so far.
            worked: :func:`sweep.plan.cost` of what was done in them.
        """
        if worked <= _TELLING * self._work:
            return None
        return max(self._work - worked, 0) * elapsed / worked

    def text(self, running: Iterable[Pack], phases: Phases, failed: int = 0) -> str:
        """The line that :meth:`show` writes."""
        # A pack that Tune has queued has no phase yet.
        packs = [pack for pack in running if pack.id in phases]
        share = {pack.id: _share(pack, *phases[pack.id]) for pack in packs}
        elapsed = max(self._clock() - self._began, 1e-9)
        worked = self._worked + sum(cost(pack) * share[pack.id] for pack in packs)
        cells = self._done + sum(len(pack.cells) * share[pack.id] for pack in packs)
        parts = [self.head()]
        if failed:
            parts.append(f"{failed} failed")
        if worked > 0:
            parts.append(f"{cells * 60 / elapsed:.0f} cells/min")
        left = self.left(elapsed, worked)
        if left is not None:
            parts.append(f"{duration(left)} left")
        if packs:
            parts.append(", ".join(f"{_label(pack)} {share[pack.id]:.0%}" for pack in packs[:3]))
        if len(packs) > 3:
            parts[-1] += f" and {len(packs) - 3} more"
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
