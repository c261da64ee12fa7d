"""Standard streams that stop nothing: closed ones, pipes nobody reads, terminals that are gone."""

import errno
import io
import os
import select
import sys
from contextlib import suppress
from typing import Any, TextIO

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""There may be room again later, so the file stays open."""


class _Lasting(io.FileIO):
    """The writing end of a standard stream: what cannot be written is dropped.

    Attributes:
        lost: why something is missing of what was written to a file.
    """

    lost: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            written = super().write(data)
            while written is None:  # another process has made the stream non-blocking
                select.select((), (self,), ())
                written = super().write(data)
        except OSError as error:
            if error.errno in _FULL:
                self.lost = self.lost or error
            else:
                self._leave()
            return len(memoryview(data).cast("B"))
        return written

    def _leave(self) -> None:
        """Nobody is there any more, for the children that inherit the stream neither."""
        with suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)


def keep_streams() -> None:
    """Make the standard streams never fail; call it first.

    Closed ones lead nowhere: else the next opened file would get their number and their output.
    Replaced streams are left alone.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    for number, name in ((1, "stdout"), (2, "stderr")):
        found = getattr(sys, name)
        if found is None or found is getattr(sys, f"__{name}__"):
            setattr(sys, name, _lasting(number, found))


def lost_output() -> OSError | None:
    """Why standard output is incomplete, if it is: a full disk. A closed pipe wants no more."""
    with suppress(AttributeError, ValueError):
        sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.lost if isinstance(raw, _Lasting) else None


def _lasting(number: int, before: TextIO | None) -> TextIO:
    if before is not None:
        before.flush()
    errors = getattr(before, "errors", None)
    return io.TextIOWrapper(
        io.BufferedWriter(_Lasting(number, "wb", closefd=False)),
        encoding=getattr(before, "encoding", None),
        # A character that the terminal does not know is no reason to stop either.
        errors="backslashreplace" if errors in (None, "strict") else errors,
        line_buffering=number == 2 or bool(getattr(before, "line_buffering", False)),
        write_through=bool(getattr(before, "write_through", False)),
    )
