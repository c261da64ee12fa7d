"""Ctrl-C and SIGTERM as one orderly stop."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Raises KeyboardInterrupt at the first signal; the second one ends the process at once.

    Attributes:
        seen: whether a signal came. A KeyboardInterrupt that some library swallows shows here.
    """

    def __init__(self) -> None:
        """Nothing is installed yet."""
        self.seen = False

    def install(self) -> None:
        """Take the signals; again after a library has taken them for itself."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.seen = True
        for other in _SIGNALS:
            signal.signal(other, signal.SIG_DFL)
        raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Signals are taken for the time of the ``with``."""
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    interrupts.install()
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
