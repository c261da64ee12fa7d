"""A process that puts away what another one leaves behind, however that ends.

Run as a script, it waits for the end of its standard input, which comes when the other process
closes it or dies. It imports nothing but the standard library and starts in milliseconds.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PATIENCE = 20.0
_NAP = 0.05


@contextmanager
def caretaker(
    folder: Path | None = None, workplace: Path | None = None, group: int | None = None
) -> Iterator[None]:
    """Clean up when the ``with`` or this process ends, even by ``kill -9``.

    Args:
        folder: to remove.
        workplace: first kill this user's processes that have a file below it open.
        group: a process group to kill.
    """
    what = [str(item or "") for item in (folder, workplace, group)]
    command = [sys.executable, "-I", "-S", __file__, *what]
    # In a session of its own: what ends its parent, say a terminal, must not end it.
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
    try:
        yield
    finally:
        assert process.stdin is not None
        process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)


def end_users(folder: Path) -> None:
    """Kill the processes that have a file below ``folder`` open."""
    until = time.monotonic() + _PATIENCE
    # What was being started while it was looked for is found the next time.
    while (found := users_of(folder)) and time.monotonic() < until:
        for pid in found:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_NAP)


def users_of(folder: Path) -> list[int]:
    """Processes with an open file below ``folder``, without this one and its parent. Linux only."""
    below, family = f"{folder}{os.sep}", (os.getpid(), os.getppid())
    pids = (int(place.name) for place in Path("/proc").glob("[0-9]*"))
    return [pid for pid in pids if pid not in family and _uses(pid, below)]


def _uses(pid: int, below: str) -> bool:
    return any(name.startswith(below) for name in _open(Path(f"/proc/{pid}")))


def _open(process: Path) -> Iterator[str]:
    with suppress(OSError):
        for file in (process / "fd").iterdir():
            with suppress(OSError):
                yield str(file.readlink())


def main() -> None:
    folder, workplace, group = sys.argv[1:]
    sys.stdin.buffer.read()
    if group:
        with suppress(OSError):
            os.killpg(int(group), signal.SIGKILL)
    if workplace:
        end_users(Path(workplace))
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
