"""Standard streams that are closed, that nobody reads, or that end on a full disk."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PYTHON = sys.executable
STAND_IN = """
import sys
from pathlib import Path
from unittest.mock import MagicMock
from sweep.cli import main

def stand_in(plan, out, options):
    for number in range(20000):
        print("of a library", number)
        options.say(f"line {number}")
    Path("there").write_text("computed")
    Path("number").write_text(str(open("there").fileno()))
    return 3

# They take seconds to import.
for name in ("engine.runner", "search.plan", "spec.spec", "ledger.store"):
    sys.modules[f"sweep.{name}"] = MagicMock(Options=MagicMock, run=stand_in)
class Options:
    def __init__(self, **some): pass
    def say(self, line): print(line, file=sys.stderr, flush=True)
sys.modules["sweep.engine.runner"].Options = Options
main(["run", "smoke", "--out", "x", "--store", "none"])
"""


def shell(line: str, folder: Path, **more: Any) -> "subprocess.CompletedProcess[str]":
    command = ["bash", "-c", f"set -o pipefail; {line}"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False, **more
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "streams",
    [
        "| head -1",
        "2>&1 | head -1",
        "2>&1 >/dev/null | true",
        ">&-",
        "2>&-",
        "<&-",
        "<&- >&- 2>&-",
        ">/dev/full 2>&1",
        "2>/dev/full",
    ],
)
def test_no_stream_stops_a_sweep(tmp_path: Path, streams: str) -> None:
    """It goes on to the end and its exit code is its own."""
    (tmp_path / "run.py").write_text(STAND_IN)
    found = shell(f"{PYTHON} run.py {streams}", tmp_path)
    assert found.returncode == 3, found.stderr
    assert "Traceback" not in found.stdout + found.stderr
    assert (tmp_path / "there").read_text() == "computed"
    assert int((tmp_path / "number").read_text()) > 2  # a file is no standard stream


@pytest.mark.slow
@pytest.mark.parametrize(
    ("streams", "code"),
    [("| head -1", 0), ("| true", 0), (">&-", 0), ("<&- 2>&-", 0), (">/dev/full", 1)],
)
def test_what_other_commands_print(tmp_path: Path, streams: str, code: int) -> None:
    """A reader that has enough is no error, a file that lacks its end is one."""
    found = shell(f"{PYTHON} -m sweep.cli schema {streams}", tmp_path)
    assert found.returncode == code
    assert found.stderr == ("error: No space left on device\n" if code else "")


@pytest.mark.slow
def test_a_mistake_is_one_with_any_streams(tmp_path: Path) -> None:
    line = f"{PYTHON} -m sweep.cli status none <&- >&- 2>&-"
    assert shell(line, tmp_path).returncode == 2


def test_children_get_streams_that_lead_nowhere(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; from sweep.process.streams import keep_streams; keep_streams();"
        "kept = open('kept', 'w');"
        "child = 'import os, sys; [os.write(i, b\\'x\\') for i in (1, 2)]; sys.stdin.read()';"
        "sys.exit(subprocess.run([sys.executable, '-c', child]).returncode)"
    )
    assert shell(f'{PYTHON} -c "{code}" <&- >&- 2>&-', tmp_path).returncode == 0
    assert (tmp_path / "kept").read_text() == ""


def test_a_reader_that_leaves_takes_the_children_s_stream_with_it(tmp_path: Path) -> None:
    """A child that writes into a pipe nobody reads would be ended by SIGPIPE."""
    code = (
        "import subprocess, sys, time;"
        "from sweep.process.streams import keep_streams; keep_streams();"
        "print('x', flush=True); time.sleep(0.3); print('y', flush=True);"
        "sys.exit(subprocess.run(['echo', 'z']).returncode)"
    )
    assert shell(f'{PYTHON} -c "{code}" | true', tmp_path).returncode == 0


def test_streams_put_in_place_of_the_standard_ones_stay(capsys: pytest.CaptureFixture[str]) -> None:
    from sweep.process.streams import keep_streams

    before = sys.stdout, sys.stderr
    keep_streams()
    assert (sys.stdout, sys.stderr) == before


def test_a_stream_that_is_not_blocking(tmp_path: Path) -> None:
    """As other programs that share a terminal or a pipe may leave it."""
    code = (
        "import os, sys; from sweep.process.streams import keep_streams; keep_streams();"
        "os.set_blocking(1, False); print('x' * 500000)"
    )
    command = [PYTHON, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path, env=os.environ) as process:
        assert process.stdout is not None
        assert len(process.stdout.read()) == 500001
    assert process.returncode == 0
