import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sweep import scratch
from sweep.scratch import remove_leftovers, scratch_folder, temporary_root

HOLD = """
import sys, time
from sweep.scratch import scratch_folder
with scratch_folder() as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


def test_the_folder_of_a_killed_process_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "temporary_root", lambda: tmp_path)
    code = f"from pathlib import Path; import sweep.scratch\nROOT = Path({str(tmp_path)!r})\n"
    code += "sweep.scratch.temporary_root = lambda: ROOT\n" + HOLD
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    theirs = Path(other.stdout.readline().strip())
    (theirs / "big").write_text("x")
    with scratch_folder() as mine:
        assert mine.parent == theirs.parent == tmp_path
        remove_leftovers(tmp_path, young=0)
        assert theirs.exists()
        assert mine.exists()
        other.send_signal(signal.SIGKILL)
        other.wait()
        other.stdout.close()
        remove_leftovers(tmp_path)  # it might just be starting
        assert theirs.exists()
        remove_leftovers(tmp_path, young=0)
        assert not theirs.exists()
        assert mine.exists()
    assert list(tmp_path.iterdir()) == []


def test_strangers_are_left_alone(tmp_path: Path) -> None:
    for name in ("promptsweep-ray-x", "promptsweep-home", "other"):
        (tmp_path / name).mkdir()
    remove_leftovers(tmp_path, young=0)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_long_path_is_avoided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/" + "x" * 60)
    assert temporary_root() == Path("/tmp")
