"""The progress line in terminals of any width, in notebooks and in log files."""

import errno
import fcntl
import io
import os
import pty
import select
import struct
import sys
import termios
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from rich.cells import cell_len

from sweep.engine.progress import LIVE_EVERY, ProgressLine
from sweep.planning.schedule import would_take
from tests.sweep.samples import plan_of
from tests.sweep.test_cli import Terminal
from trainables.core.cells import Pack

PACKS = plan_of().packs


@pytest.mark.parametrize("tty", [True, False])
def test_the_progress_line(tty: bool) -> None:
    now = [0.0]
    stream = Terminal(tty)
    packs = plan_of().packs
    first, second = packs[:2]
    line = ProgressLine(100, 20, packs, stream, lambda: now[0])  # type: ignore[arg-type]
    assert not line.due()
    now[0] = 60.0
    assert line.due()
    assert line.text([], {}) == "20/100 cells"
    line.close_pack(first, 4)
    text = line.text([second], {second.id: ("train", 1, 2)}, failed=3)
    assert text.startswith("24/100 cells | 3 failed | 6 cells/min | ")
    assert text.endswith("left | B on x/one 45%")
    assert line.text([second], {}).endswith("left")
    line.show([second], {second.id: ("start", 0, 1)})
    now[0] += 10.0
    line.show([], {})
    line.end()
    written = "".join(stream)
    if tty:
        assert written.count("\r") == 2
        assert written.count("\n") == 1
        # The shorter line covers the longer one.
        assert len(stream[1]) == len(stream[0])
    else:
        assert "\r" not in written
        assert written.count("\n") == 2


class Watched:
    """A sweep on imaginary workers whose progress line is looked at twice a second.

    Attributes:
        looks: seconds since the beginning, what the line tells to be left, and what is left.
    """

    def __init__(
        self,
        packs: Sequence[Pack],
        told: Callable[[Pack], float],
        true: Callable[[Pack], float],
        workers: int,
        start: float = 0.0,
    ) -> None:
        schedule = would_take(packs, (), workers, true)
        now = [0.0]
        line = ProgressLine(
            100, 0, packs, io.StringIO(), lambda: now[0], weight=told, workers=workers
        )
        by_id = {pack.id: pack for pack in packs}
        over = list(schedule.turns)
        self.looks: list[tuple[float, float | None, float]] = []
        while over:
            now[0] += LIVE_EVERY
            at = now[0] - start
            while over and over[0].ended <= at:
                pack = by_id[over.pop(0).pack]
                line.close_pack(pack, len(pack.cells))
            phases = {
                turn.pack: self._phase(by_id[turn.pack], (at - turn.began) / true(by_id[turn.pack]))
                for turn in over
                if turn.began <= max(at, 0.0)
            }
            found = line.figures([by_id[name] for name in phases], phases)
            self.looks.append((at, found["eta_seconds"], schedule.makespan - at))

    @staticmethod
    def _phase(pack: Pack, share: float) -> tuple[str, int, int]:
        done = round(1000 * max(share, 0.0))
        if not done:
            return "start", 0, 1
        if pack.kind != "tune":
            return "transfer", done, 1000
        return ("train", done, 900) if done < 900 else ("transfer", done - 900, 100)

    def worst(self, since: float) -> float:
        """The largest factor between told and true, from a share of the sweep's time on."""
        whole = self.looks[-1][0]
        factors = [
            max(told / true, true / told)
            for at, told, true in self.looks
            if told and since * whole < at < 0.95 * whole
        ]
        assert factors
        return max(factors)


def _dear_last(pack: Pack) -> float:
    """A few long packs at the end: those of a pair take 30 times what one model takes."""
    return 2.0 + (60.0 if len(pack.sources) > 1 else 0.0)


SWEEP = plan_of(sources=["A", "B", "C", "D"], tasks=["x/one", "x/two"], seeds=2).packs


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("slower", [0.2, 1.0, 5.0])
def test_the_time_left_is_true_from_the_first_packs_on(workers: int, slower: float) -> None:
    """Whatever the machine's speed, as long as packs weigh what they take."""
    watched = Watched(SWEEP, _dear_last, lambda pack: slower * _dear_last(pack), workers)
    assert watched.worst(0.1) < 1.25


@pytest.mark.parametrize("start", [5.0, 60.0])
def test_the_time_left_does_not_count_rays_start(start: float) -> None:
    watched = Watched(SWEEP, _dear_last, _dear_last, 2, start)
    assert all(told is None for at, told, _ in watched.looks if at <= 0)
    assert watched.worst(0.1) < 1.25


def test_weights_that_are_wrong_are_made_good_by_what_was_seen() -> None:
    """Packs of a pair take three times what is believed: told too little, and less so later."""
    watched = Watched(
        SWEEP, _dear_last, lambda pack: _dear_last(pack) * (3 if len(pack.sources) > 1 else 1), 2
    )
    assert watched.worst(0.1) < 3.1
    assert watched.worst(0.5) < 1.25


class Pty:
    """A terminal whose other end is read here."""

    def __init__(self) -> None:
        self._screen, self._end = pty.openpty()
        attributes = termios.tcgetattr(self._end)
        attributes[1] &= ~termios.OPOST  # newlines arrive as they were written
        termios.tcsetattr(self._end, termios.TCSANOW, attributes)
        self.stream = open(self._end, "w", encoding="utf-8", closefd=False)  # noqa: SIM115

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def read(self) -> str:
        found = b""
        while select.select([self._screen], [], [], 0.1)[0]:
            found += os.read(self._screen, 1 << 16)
        return found.decode()

    def close(self) -> None:
        self.stream.close()
        os.close(self._end)
        os.close(self._screen)


@pytest.fixture
def terminal() -> Iterator[Pty]:
    found = Pty()
    yield found
    found.close()


def shown(line: ProgressLine, **more: Any) -> None:
    line.show(PACKS[:4], {pack.id: ("train", 1, 2) for pack in PACKS[:4]}, **more)


@pytest.mark.parametrize(("columns", "wide"), [(80, 80), (40, 40), (0, 80), (2, 2), (500, 500)])
def test_one_line_as_wide_as_the_terminal(terminal: Pty, columns: int, wide: int) -> None:
    """Many shows, one line: nothing reaches the last column, from which terminals wrap."""
    line = ProgressLine(10**6, 0, PACKS, terminal.stream, weight=lambda pack: 1.0)
    terminal.resize(columns)
    for failed in range(5):
        shown(line, failed=10**failed)
    written = terminal.read()
    assert "\n" not in written
    drawn = written.split("\r")[1:]
    assert [cell_len(text) for text in drawn] == [wide - 1] * 5
    assert len(set(drawn)) == (5 if wide >= 40 else 1)
    if wide == 80:
        assert drawn[0].startswith("0/1000000 cells | 1 failed | ")
    line.end()
    assert terminal.read() == "\n"


def test_a_terminal_that_changes_its_width(terminal: Pty) -> None:
    line = ProgressLine(100, 0, PACKS, terminal.stream)
    for columns in (80, 30, 120):
        terminal.resize(columns)
        shown(line)
        assert cell_len(terminal.read()) == columns - 1


@pytest.mark.slow
def test_wide_characters_take_two_columns(terminal: Pty) -> None:
    """And characters that move the cursor are not written at all."""
    packs = plan_of(tasks=["日本語の課題" * 9, "tab\tand\nline"]).packs[:4]
    terminal.resize(80)
    line = ProgressLine(100, 0, packs, terminal.stream)
    for pack in packs:
        line.show([pack], {pack.id: ("train", 1, 2)})
        written = terminal.read()
        assert written.count("\r") == 1
        assert cell_len(written.lstrip("\r")) == 79
        assert written.lstrip("\r").isprintable()


def test_another_line_takes_the_place_of_this_one(terminal: Pty) -> None:
    line = ProgressLine(100, 0, PACKS, terminal.stream)
    line.clear()
    shown(line)
    line.clear()
    line.clear()
    terminal.stream.write("a warning\n")
    shown(line)
    written = terminal.read()
    assert written.count("\n") == 1
    assert "\r" + " " * 79 + "\ra warning\n\r0/100 cells" in written


def test_a_notebook_gets_one_line() -> None:
    """Its stream is no terminal, but knows the carriage return."""
    stream = type("OutStream", (Terminal,), {"__module__": "ipykernel.iostream"})(False)
    line = ProgressLine(100, 0, PACKS, stream)
    shown(line)
    shown(line)
    assert [text[0] for text in stream] == ["\r", "\r"]
    assert "\n" not in "".join(stream)


def test_a_log_file_gets_a_line_now_and_then() -> None:
    """Every ten seconds at first; ten hours are some hundred lines, not thousands."""
    now, stream, times = [0.0], io.StringIO(), list[float]()
    line = ProgressLine(100, 0, PACKS, stream, lambda: now[0])
    while now[0] < 36_000:
        now[0] += 5.0
        if line.due():
            before = stream.tell()
            shown(line)
            if stream.tell() > before:
                times.append(now[0])
    assert times[:4] == [10.0, 20.0, 30.0, 40.0]
    assert len(times) < 250
    assert max(later - sooner for sooner, later in pairwise(times)) <= 310
    lines = stream.getvalue().splitlines()
    assert all(text.startswith("0/100 cells | ") and " left" in text for text in lines)
    assert stream.getvalue().replace("\n", "").isprintable()


class Gone(Terminal):
    """A terminal or pipe whose other end is closed."""

    def write(self, text: str) -> int:
        raise OSError(errno.EIO, text)


def test_a_stream_that_cannot_be_written_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", None)
    for stream in (None, closed, Gone(True), Gone(False)):
        line = ProgressLine(100, 0, PACKS, stream)
        shown(line)
        line.clear()
        line.end()
