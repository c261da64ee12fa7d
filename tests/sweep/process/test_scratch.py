import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sweep.process import scratch
from sweep.process.scratch import LONGEST, remove_leftovers, scratch_folder, temporary_roots
from trainables.errors import InputError

HOLD = """
import sys, time
from sweep.process.scratch import scratch_folder
with scratch_folder() as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


def test_the_folder_of_a_killed_process_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "temporary_roots", lambda: [tmp_path])
    code = (
        f"from pathlib import Path; import sweep.process.scratch\nROOT = Path({str(tmp_path)!r})\n"
    )
    code += "sweep.process.scratch.temporary_roots = lambda: [ROOT]\n" + HOLD
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


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Path]]:
    """Makes TMPDIR a folder whose path has so many characters."""
    made = []

    def make(length: int) -> Path:
        folder = Path("/tmp") / f"{os.getpid():x}".ljust(length - len("/tmp/"), "x")
        folder.mkdir()
        made.append(folder)
        monkeypatch.setenv("TMPDIR", str(folder))
        monkeypatch.setattr("tempfile.tempdir", None)
        return folder

    yield make
    for folder in made:
        folder.rmdir()  # nothing was left in it


@pytest.mark.parametrize("length", [LONGEST, LONGEST + 1, 17, 20, 40, 90])
def test_a_long_path_is_avoided(place: Callable[[int], Path], length: int) -> None:
    usual = place(length)
    with scratch_folder() as folder:
        assert folder.parent == (usual if length <= LONGEST else Path("/tmp"))
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


@pytest.mark.parametrize("named", ["/tmp/no-such-folder", "/dev/null", "/proc"])
def test_a_folder_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("TMPDIR", named)
    monkeypatch.setattr("tempfile.tempdir", None)
    with scratch_folder() as folder:
        assert folder.parent == Path("/tmp")


def test_nowhere_to_write_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(prefix: str, dir: Path) -> str:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(dir))

    def nowhere() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.mkdtemp", full)
    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    assert temporary_roots() == [Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")]
    with pytest.raises(InputError, match=r"^TMPDIR: .*/var/tmp: Read-only file system.*at most"):
        scratch_folder().__enter__()


@pytest.mark.cluster
def test_ray_starts_at_the_longest_path(place: Callable[[int], Path]) -> None:
    """And at no longer one, where process ids have as many digits as they may have.

    None of its processes is one that nobody asks.
    """
    usual = place(LONGEST)
    code = """
import os, psutil, ray
from sweep.engine.cluster import ray_session
from sweep.spec.spec import Resources
from sweep.process.setup import settled
with settled(local=True), ray_session(None, Resources(cpu=1)) as folder:
    name = ray._private.worker._global_node.plasma_store_socket_name
    print(folder.parent, len(name) - len(str(os.getpid())) + len("4194304"))
    words = [word for one in psutil.Process().children(recursive=True) for word in one.cmdline()]
    print(*(os.path.basename(word) for word in words if word.endswith((".py", "/raylet"))))
"""
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert told[:2] == [str(usual), "107"]
    assert "raylet" in told
    idle = {"dashboard.py", "log_monitor.py", "monitor.py", "default_worker.py"}
    assert not idle & set(told)
