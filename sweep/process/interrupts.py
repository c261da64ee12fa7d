"""Ctrl-C, SIGTERM, SIGQUIT and a terminal that is gone as one orderly stop."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_UNLESS_IGNORED = (signal.SIGHUP, signal.SIGQUIT)
"""Ignored from the start, as under ``nohup``, they stay so."""
_ECHO = 0.5
"""Seconds within which a second signal is the first one, which a shell, ``timeout`` or ``uv run``
has sent to the process and to its group."""


class Interrupts:
    """Raises KeyboardInterrupt at the first signal; a second one ends the process at once.

    :mod:`sweep.process.caretaker` cleans up then. A process that is not only there for the sweep, a
    notebook's, stays: a second signal there is one more KeyboardInterrupt.

    Attributes:
        seen: whether a signal came, even if a library swallowed the KeyboardInterrupt.
    """

    def __init__(self, ends: bool = True) -> None:
        """``ends``: whether a second signal ends the process."""
        self.seen = False
        self._ends = ends
        self._first = 0.0
        self._listening: int | None = None
        self._listened = -1
        self.taken = [
            *_SIGNALS,
            *(item for item in _UNLESS_IGNORED if signal.getsignal(item) is not signal.SIG_IGN),
        ]

    def install(self) -> None:
        """Take the signals; again after a library has taken them for itself."""
        if threading.current_thread() is threading.main_thread():
            for number in self.taken:
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.seen:
            if not self._ends and time.monotonic() - self._first > _ECHO:
                raise KeyboardInterrupt
            return
        self.seen = True
        self._first = time.monotonic()
        if self._ends:
            self._expect_another()
        raise KeyboardInterrupt

    def _expect_another(self) -> None:
        # A thread hears of signals even while the main one is deep in some library.
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        self._listened = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._listening = writer
        threading.Thread(target=_end_at_another, args=(reader,), daemon=True).start()

    def close(self) -> None:
        """Another signal is nothing special any more."""
        if self._listening is not None:
            signal.set_wakeup_fd(self._listened)
            os.close(self._listening)
            self._listening = None


def _end_at_another(reader: int) -> None:
    began = time.monotonic()
    while found := os.read(reader, 1):
        # A terminal that is gone cannot be more gone.
        if found[0] != signal.SIGHUP and time.monotonic() - began > _ECHO:
            os._exit(128 + found[0])
    os.close(reader)


@contextmanager
def interruptible(ends: bool = True) -> Iterator[Interrupts]:
    """Signals are taken for the time of the ``with``; see :class:`Interrupts`.

    Only the main thread gets any: in another one nothing is taken.
    """
    interrupts = Interrupts(ends)
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = {number: signal.getsignal(number) for number in interrupts.taken}
    interrupts.install()
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        interrupts.close()


@contextmanager
def children_undisturbed() -> Iterator[None]:
    """Processes started within do not get the terminal's signals; this one gets them afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _UNLESS_IGNORED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
