"""What may go wrong under a sweep, one by one: nothing is lost, and the same command continues."""

import errno
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from sweep.engine import trials
from sweep.engine.cluster import RayLostError
from sweep.engine.runner import RAY_DEATHS
from sweep.ledger.ledger import Ledger
from sweep.ledger.lock import LOCK_FILE, DriverLock
from sweep.testing.tabulated import run_tabulated
from tests.sweep.faulty import FOLDER, here, start
from tests.sweep.faulty import no_mlflow as no_mlflow
from tests.sweep.folders import check_complete
from tests.sweep.inline import inline as inline
from tests.sweep.ledger.test_ledger import prompt_file, record_file
from tests.sweep.samples import plan_of
from trainables.core.cells import Pack, PackOutcome
from trainables.errors import InputError
from trainables.packs.records import read_bytes

pytestmark = pytest.mark.usefixtures("inline")


# Damaged files.


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("harm", [_cut, _flip, Path.unlink])
@pytest.mark.parametrize("place", [record_file, prompt_file])
def test_a_damaged_file_costs_its_own_cell_and_no_other(
    tmp_path: Path, faults: Path, no_mlflow: None, harm: Callable[[Path], None], place: Any
) -> None:
    """The source's prompt is tuned again; what was carried over from it stays as it is."""
    plan, lines = plan_of(seeds=2), list[str]()
    assert start(plan, tmp_path, lines) == 0
    source = next(cell for cell in plan.cells if cell.row == "independent")
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "ledger").rglob("*.json")}
    kept.pop(record_file(tmp_path, source))
    harm(place(tmp_path, source))
    (faults / "packs.log").unlink()
    lines.clear()
    assert start(plan, tmp_path, lines) == 0
    check_complete(tmp_path, plan)
    now = {path: path.stat().st_mtime_ns for path in (tmp_path / "ledger").rglob("*.json")}
    assert {path: now[path] for path in kept} == kept
    assert len((faults / "packs.log").read_text().split()) == 1
    lost_record = (place, harm) == (record_file, Path.unlink)
    assert lost_record or any(source.id in line and "damaged" in line for line in lines)
    assert any(f"{len(plan.cells) - 1} of {len(plan.cells)} cells are there" in s for s in lines)
    aside = tmp_path / "ledger" / "damaged"
    gone = harm is Path.unlink
    assert (len(list(aside.iterdir())) if aside.exists() else 0) == (
        0 if lost_record else 1 if gone else 2
    )


def flip_in_passing(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> PackOutcome:
    """The disk spoils A's prompt while B is tuned, once."""
    folder = Path(os.environ[FOLDER])
    if pack.sources == ("B",) and not (folder / ".spoilt.tmp").exists():
        for path in folder.glob("prompts/??/*"):
            _flip(path)
        (folder / ".spoilt.tmp").touch()
    return run_tabulated(pack, prompts, **more)


def test_a_prompt_damaged_during_the_run_stops_only_what_needs_it(
    tmp_path: Path, no_mlflow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    plan, lines = plan_of(), list[str]()
    assert start(plan, tmp_path, lines, here(flip_in_passing)) == 1
    assert any("is lost or damaged" in line for line in lines)
    done = Ledger(tmp_path).done_ids()
    assert {cell.id for cell in plan.cells if cell.row == "ours"} <= done
    assert start(plan, tmp_path, lines) == 0
    check_complete(tmp_path, plan)


def test_half_written_files_are_no_obstacle(tmp_path: Path, no_mlflow: None) -> None:
    for name in (".sweep.json.77.tmp", ".spec.yaml.77.tmp", LOCK_FILE):
        (tmp_path / name).write_text("{")
    plan = plan_of()
    assert start(plan, tmp_path, []) == 0
    check_complete(tmp_path, plan)


# No room, no right.


class FullDisk:
    """Every write after the first ``good`` ones finds the disk full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, good: int) -> None:
        self.writes, self._good = 0, good
        real = os.fsync

        def fsync(number: int) -> None:
            self.writes += 1
            if self.writes > self._good:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(number)

        monkeypatch.setattr("os.fsync", fsync)


@pytest.mark.slow
def test_the_disk_full_at_any_write(
    tmp_path: Path, no_mlflow: None, monkeypatch: pytest.MonkeyPatch, faults: Path
) -> None:
    """One sentence and exit code 1 each time; what was written before is never run again."""
    plan, good = plan_of(tasks=["x"], methods={"soft": {"lambda": [0, 0.5]}}), 0
    (faults / "error-x").touch()  # failures are written too
    assert start(plan, tmp_path / "failing", []) == 1
    (faults / "error-x").unlink()
    while True:
        folder, lines = tmp_path / str(good), list[str]()
        with monkeypatch.context() as patched:
            FullDisk(patched, good)
            code = start(plan, folder, lines)
        if code == 0:
            break
        assert code == 1
        (told,) = [line for line in lines if "stopped" in line]
        assert "No space left on device" in told
        assert "the same command continues" in told
        kept = Ledger(folder).done_ids()
        assert len(kept) <= good
        assert start(plan, folder, lines) == 0
        check_complete(folder, plan)
        good += 1
    assert good == 2 + 2 * len(plan.cells)  # sweep.json, spec.yaml, a record and a file a cell


def test_the_disk_full_when_a_failure_is_written(
    tmp_path: Path, no_mlflow: None, monkeypatch: pytest.MonkeyPatch, faults: Path
) -> None:
    (faults / "error-x-one").touch()
    lines: list[str] = []
    with monkeypatch.context() as patched:
        FullDisk(patched, 2)
        assert start(plan_of(), tmp_path, lines) == 1
    assert any("No space left" in line for line in lines)


@pytest.mark.parametrize("method", ["mkdir", "open"])
def test_the_disk_full_before_anything_is_there(
    tmp_path: Path, no_mlflow: None, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    real, lines = getattr(Path, method), list[str]()

    def full(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name in ("out", LOCK_FILE):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return real(path, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, method, full)
        assert start(plan_of(), tmp_path / "out", lines) == 1
    (told,) = lines
    assert "No space left" in told
    assert start(plan_of(), tmp_path / "out", []) == 0


def test_the_disk_full_when_the_report_is_written(tmp_path: Path, no_mlflow: None) -> None:
    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    lines: list[str] = []
    assert start(plan_of(), tmp_path, lines, report=full) == 1
    assert "the report could not be written" in lines[-1]
    assert any("No space left" in line for line in lines)
    check_complete(tmp_path, plan_of())
    assert start(plan_of(), tmp_path, lines) == 0


def test_a_folder_nobody_can_write(
    tmp_path: Path, no_mlflow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"--out: /proc/sweeps/x cannot be used"):
        start(plan_of(), Path("/proc/sweeps/x"), [])
    real = Path.open

    def forbidden(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == LOCK_FILE:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(InputError, match=r"cannot be used \(Read-only file system\)") as caught:
        start(plan_of(), tmp_path, [])
    assert str(tmp_path) in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_made_read_only(tmp_path: Path, no_mlflow: None) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(InputError, match="Permission denied"):
            start(plan_of(), tmp_path, [])
    finally:
        tmp_path.chmod(0o755)


def test_an_unreadable_record_is_told_and_left_alone(
    tmp_path: Path, no_mlflow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An I/O error may pass: the record is not set aside, and nothing runs without it."""
    plan, lines = plan_of(), list[str]()
    assert start(plan, tmp_path, lines) == 0
    lost, real = record_file(tmp_path, plan.cells[0]), read_bytes

    def broken(path: str, *more: int) -> bytes:
        if path == str(lost):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return real(path, *more)

    with monkeypatch.context() as patched:
        patched.setattr("trainables.packs.records.read_bytes", broken)
        assert start(plan, tmp_path, lines) == 1
    assert "Input/output error" in lines[-1]
    assert lost.exists()
    assert start(plan, tmp_path, lines) == 0


@pytest.mark.slow
def test_a_second_driver_starts_nothing(tmp_path: Path, faults: Path) -> None:
    with DriverLock(tmp_path), pytest.raises(InputError, match=f"process {os.getpid()} on "):
        start(plan_of(), tmp_path, [])
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_FILE]
    assert not (faults / "packs.log").exists()


def test_ctrl_c_during_the_report_says_how_to_continue(tmp_path: Path, no_mlflow: None) -> None:
    def interrupt(folder: Path) -> None:
        raise KeyboardInterrupt

    lines: list[str] = []
    assert start(plan_of(), tmp_path, lines, report=interrupt) == 130
    assert "the same command continues" in lines[-1]


# Ray goes down.


MONITOR = """Task was killed due to the node running low on memory.
Memory on the node (IP: 127.0.0.1) was 1.9GB / 2.0GB (0.96), which exceeds the memory usage
threshold of 0.95. Refer to the documentation on how to address the out of memory issue"""


def test_a_ray_that_goes_down_is_replaced(
    tmp_path: Path, no_mlflow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as there is progress between; what is finished is not done again."""
    real, after = trials.run_packs, iter([1, 2, 0, 0])

    def goes_down(agenda: Any, outcomes: Any, *more: Any) -> None:
        left = next(after, 1000)

        def on_close(pack: Pack, closed: Any) -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                raise RayLostError("the process that hands out packs died")

        if not left:
            on_close(agenda, None)
        monkeypatch.setattr(outcomes, "_on_close", on_close)
        real(agenda, outcomes, *more)

    monkeypatch.setattr("sweep.engine.trials.run_packs", goes_down)
    lines: list[str] = []
    assert start(plan_of(), tmp_path, lines) == 0
    check_complete(tmp_path, plan_of())
    assert len([line for line in lines if "goes on with a new Ray" in line]) == 4


def test_a_ray_that_goes_down_at_once_is_given_up(
    tmp_path: Path, no_mlflow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def goes_down(*arguments: Any) -> None:
        raise RayLostError(f"the process that hands out packs {trials.cause_of_death(MONITOR)}")

    monkeypatch.setattr("sweep.engine.trials.run_packs", goes_down)
    lines: list[str] = []
    assert start(plan_of(), tmp_path, lines) == 1
    assert len([line for line in lines if "goes on with a new Ray" in line]) == RAY_DEATHS
    (told,) = [line for line in lines if "stopped" in line]
    assert "was killed by Ray's memory monitor" in told
    assert "fewer packs at once (--workers) or fewer resources.replicas" in told
    assert "\n" not in told
    assert "documentation" not in told


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (MONITOR, "by Ray's memory monitor"),
        ("The actor died unexpectedly before finishing this task.", "killed or crashed"),
        ("killed by SIGKILL by OOM killer due to high memory usage", "killed or crashed"),
        ("ValueError", "died"),
    ],
)
def test_what_a_process_died_of(text: str, says: str) -> None:
    assert says in trials.cause_of_death(text)
    assert "\n" not in trials.cause_of_death(text)
