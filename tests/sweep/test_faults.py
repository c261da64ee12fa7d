"""What may go wrong under a sweep, one by one: nothing is lost, and the same command continues."""

import errno
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweep.files import read_bytes
from sweep.folder import bind
from sweep.ledger import Ledger
from sweep.lock import LOCK_FILE, DriverLock
from sweep.plan import Plan
from sweep.runner import Options, run
from sweep.testing.tabulated import EXECUTOR, run_tabulated
from sweep.tracking.places import DATABASE, default_tracking_uri
from sweep.tracking.writer import RunWriter
from tests.sweep.drive import no_check, no_report
from tests.sweep.folders import check_complete, check_mlflow
from tests.sweep.inline import inline as inline
from tests.sweep.samples import plan_of
from tests.sweep.test_ledger import prompt_file, record_file
from trainables.cells import Pack, PackOutcome
from trainables.errors import InputError

FOLDER = "PROMPTSWEEP_TEST_FOLDER"
"""Environment variable: the sweep's folder, for executors that harm it."""

pytestmark = pytest.mark.usefixtures("inline")


class NoSink:
    """An MLflow view nobody looks at: making a database takes seconds."""

    def start(self, records: object) -> None: ...

    def add(self, record: object) -> None: ...

    def close(self, status: str = "") -> None: ...


@pytest.fixture
def no_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.runner.make_sink", lambda plan, folder: NoSink())


def start(plan: Plan, folder: Path, lines: list[str], executor: str = EXECUTOR, **more: Any) -> int:
    chosen = {"preflight": no_check, "report": no_report, "say": lines.append, **more}
    return run(plan, folder, Options(executor=executor, **chosen))


def here(name: Callable[..., Any]) -> str:
    return f"{__name__}:{name.__name__}"


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
    prompts = sum(cell.kind != "reference" for cell in plan.cells)
    assert good == 2 + len(plan.cells) + prompts  # sweep.json, spec.yaml, records, prompts


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

    def broken(path: str) -> bytes:
        if path == str(lost):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return real(path)

    with monkeypatch.context() as patched:
        patched.setattr("sweep.ledger.read_bytes", broken)
        assert start(plan, tmp_path, lines) == 1
    assert "Input/output error" in lines[-1]
    assert lost.exists()
    assert start(plan, tmp_path, lines) == 0


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


# Packs that give back nonsense.


def _changed(pack: Pack, prompts: Mapping[str, Any], change: Callable[[Any], Any]) -> Any:
    outcome = run_tabulated(pack, prompts)
    return change(outcome) if pack.sources == ("A",) else outcome


def _first(outcome: PackOutcome) -> str:
    return next(iter(outcome.prompts))


def gives_text(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, lambda outcome: "done")


def gives_nothing(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, lambda outcome: None)


def _set(outcome: PackOutcome, name: str, value: Any) -> PackOutcome:
    setattr(outcome, name, value)
    return outcome


def results_are_a_list(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, lambda outcome: _set(outcome, "results", [1]))


def cost_is_text(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, lambda outcome: _set(outcome, "cost", "much"))


def a_result_is_a_list(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    def change(outcome: PackOutcome) -> PackOutcome:
        outcome.results[_first(outcome)] = [0.5]  # type: ignore[assignment]
        return outcome

    return _changed(pack, prompts, change)


def _with_score(value: Any) -> Callable[[PackOutcome], PackOutcome]:
    def change(outcome: PackOutcome) -> PackOutcome:
        outcome.results[_first(outcome)]["score"] = value
        return outcome

    return change


def score_is_nan(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, _with_score(float("nan")))


def score_is_text(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, _with_score("high"))


def score_is_a_set(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, _with_score({1}))


def _with_prompt(prompt: Any) -> Callable[[PackOutcome], PackOutcome]:
    def change(outcome: PackOutcome) -> PackOutcome:
        outcome.prompts[_first(outcome)] = prompt
        return outcome

    return change


def no_prompt(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, _with_prompt(None))


def prompt_of_three_axes(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, _with_prompt(np.zeros((1, 5, 8), np.float32)))


def prompt_of_no_rows(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, _with_prompt(np.zeros((0, 8), np.float32)))


def prompt_with_nan(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, _with_prompt(np.full((5, 8), np.nan, np.float32)))


def prompt_is_ragged(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, _with_prompt([[1.0], [1.0, 2.0]]))


def prompt_is_no_utf8(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, _with_prompt(np.array([255, 254], np.uint8)))


def prompt_is_bytes_in_rows(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, _with_prompt(np.zeros((2, 2), np.uint8)))


def raises_without_words(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    if pack.sources == ("A",):
        raise MemoryError
    return run_tabulated(pack, prompts)


@pytest.mark.parametrize(
    ("executor", "reason"),
    [
        (gives_text, "'str' object has no attribute 'results'"),
        (gives_nothing, "'NoneType' object has no attribute"),
        (results_are_a_list, "the results its worker gave are a list"),
        (cost_is_text, "the cost its worker gave are a str"),
        (a_result_is_a_list, "a list is no mapping"),
        (score_is_nan, "its score is nan"),
        (score_is_text, "its score is 'high'"),
        (score_is_a_set, "a set is neither number"),
        (no_prompt, "gave no prompt for it"),
        (prompt_of_three_axes, "(1, 5, 8)"),
        (prompt_of_no_rows, "(0, 8)"),
        (prompt_with_nan, "no matrix of finite numbers"),
        (prompt_is_ragged, "inhomogeneous"),
        (prompt_is_no_utf8, "utf-8"),
        (prompt_is_bytes_in_rows, "no text (shape (2, 2))"),
        (raises_without_words, "MemoryError"),
    ],
    ids=lambda item: getattr(item, "__name__", ""),
)
def test_nonsense_is_a_failure_of_its_cells_alone(
    tmp_path: Path, no_mlflow: None, executor: Callable[..., Any], reason: str
) -> None:
    plan, lines = plan_of(), list[str]()
    assert start(plan, tmp_path, lines, here(executor)) == 1
    assert reason in " ".join(lines)
    assert all("\n" not in line for line in lines)
    done = Ledger(tmp_path).done_ids()
    assert {cell.id for cell in plan.cells if cell.sources == ("B",)} <= done
    assert start(plan, tmp_path, lines) == 0
    check_complete(tmp_path, plan)


# Cells that fail, and are tried again.


def fails_at_first(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> PackOutcome:
    """Packs of A fail as often as the file ``left`` says."""
    left = Path(os.environ[FOLDER]) / "left"
    if pack.sources == ("A",) and (number := int(left.read_text())):
        left.write_text(str(number - 1))
        raise RuntimeError(f"no luck, {number} to go")
    return run_tabulated(pack, prompts)


@pytest.mark.parametrize(("failures", "retries", "code"), [(2, 2, 0), (3, 2, 1), (1, 0, 1)])
def test_a_failing_cell_is_tried_again(
    tmp_path: Path,
    no_mlflow: None,
    faults: Path,
    monkeypatch: pytest.MonkeyPatch,
    failures: int,
    retries: int,
    code: int,
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    (tmp_path / "left").write_text(str(failures))
    plan, folder, lines = plan_of(retries=retries), tmp_path / "out", list[str]()
    assert plan.hash == plan_of().hash
    assert start(plan, folder, lines, here(fails_at_first)) == code
    left = failures - retries - 1 if code else 0
    assert (tmp_path / "left").read_text() == str(left)
    if code == 0:
        check_complete(folder, plan)
        return
    failed = [item for item in Ledger(folder).failures() if item["cell"]["sources"] == ["A"]]
    tuned = [item for item in failed if item["cell"]["row"] == "independent"]
    assert {item["attempt"] for item in tuned} == {retries + 1}
    assert all("RuntimeError: no luck, 1 to go" in item["traceback"] for item in tuned)
    # Nothing else waited for it in vain, and the same command tries again.
    done = Ledger(folder).done_ids()
    assert {cell.id for cell in plan.cells if cell.row in ("joint", "ours", "empty")} & done
    assert start(plan, folder, lines, here(fails_at_first)) == 0
    check_complete(folder, plan)


def one_seed_fails(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> PackOutcome:
    outcome = run_tabulated(pack, prompts)
    log = Path(os.environ[FOLDER]) / "cells.log"
    with log.open("a") as file:
        file.write("".join(f"{cell.id}\n" for cell in pack.cells))
    for cell in pack.cells:
        if cell.row == "ours" and cell.seed == 1 and log.read_text().count(cell.id) < 2:
            del outcome.results[cell.id]
            outcome.failures[cell.id] = "no luck"
    return outcome


def test_only_what_failed_is_tried_again(
    tmp_path: Path, no_mlflow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its tuning, which is there, and without the other seed's."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    plan, lines = plan_of(seeds=2, retries=1), list[str]()
    assert start(plan, tmp_path / "out", lines, here(one_seed_fails)) == 0
    check_complete(tmp_path / "out", plan)
    runs = (tmp_path / "cells.log").read_text().split()
    twice = {name for name in runs if runs.count(name) == 2}
    again = {c.id for c in plan.cells if c.row == "ours" and c.seed == 1}
    assert twice == again
    assert len(runs) == len(plan.cells) + len(again)


@pytest.mark.parametrize("value", [-1, 1.5, True, "3", None, 101])
def test_retries_of_another_kind(value: Any) -> None:
    from sweep.spec import parse_spec
    from tests.sweep.samples import content

    with pytest.raises(InputError, match=r"retries: found .*allowed: a whole number from 0 to 100"):
        parse_spec({**content(), "retries": value})


# MLflow.


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    from mlflow.tracking import MlflowClient

    folder = tmp_path_factory.mktemp("mlflow")
    MlflowClient(tracking_uri=default_tracking_uri(folder)).search_experiments()
    return (folder / DATABASE).read_bytes()


@pytest.fixture
def bound(tmp_path: Path, database: bytes) -> tuple[Plan, Path]:
    plan, folder = plan_of(), tmp_path / "out"
    folder.mkdir()
    bind(folder, plan, {})
    (folder / DATABASE).write_bytes(database)
    return plan, folder


def _warnings(lines: list[str]) -> list[str]:
    return [line for line in lines if "MLflow (" in line]


@pytest.mark.parametrize("moment", ["__init__", "write", "end"])
@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "Connection refused"),
        sqlite3.OperationalError("database is locked"),
        sqlite3.OperationalError("database or disk is full"),
    ],
    ids=str,
)
def test_mlflow_lost_at_the_start_on_the_way_or_at_the_end(
    bound: tuple[Plan, Path], monkeypatch: pytest.MonkeyPatch, moment: str, error: Exception
) -> None:
    plan, folder = bound
    lines: list[str] = []
    real, calls = getattr(RunWriter, moment), [0]

    def lost(*arguments: Any) -> Any:
        calls[0] += 1
        if moment != "write" or calls[0] > 1:
            raise error
        return real(*arguments)

    monkeypatch.setattr("sweep.tracking.sink.BATCH", 2)
    with monkeypatch.context() as patched:
        patched.setattr(RunWriter, moment, lost)
        assert start(plan, folder, lines) == 0
    check_complete(folder, plan)
    (warning,) = _warnings(lines)
    assert str(error) in warning
    lines.clear()
    assert start(plan, folder, lines) == 0
    assert _warnings(lines) == []
    check_mlflow(folder, plan)


@pytest.mark.slow
def test_a_database_somebody_else_has_locked(bound: tuple[Plan, Path]) -> None:
    plan, folder = bound
    lines: list[str] = []
    other = sqlite3.connect(folder / DATABASE)
    try:
        other.execute("BEGIN EXCLUSIVE")
        assert start(plan, folder, lines) == 0
    finally:
        other.close()
    check_complete(folder, plan)
    assert len(_warnings(lines)) == 1
    assert "database is locked" in _warnings(lines)[0]
    assert start(plan, folder, lines) == 0
    assert len(_warnings(lines)) == 1
    check_mlflow(folder, plan)


def delete_database(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> PackOutcome:
    if pack.sources == ("A", "B"):
        (Path(os.environ[FOLDER]) / DATABASE).unlink(missing_ok=True)
    return run_tabulated(pack, prompts)


def test_a_database_deleted_under_way(
    bound: tuple[Plan, Path], monkeypatch: pytest.MonkeyPatch, database: bytes
) -> None:
    plan, folder = bound
    monkeypatch.setenv(FOLDER, str(folder))
    lines: list[str] = []
    assert start(plan, folder, lines, here(delete_database)) == 0
    check_complete(folder, plan)
    assert len(_warnings(lines)) <= 1
    # Elsewhere, as MLflow keeps a database open for as long as its process lives.
    moved = folder.rename(folder.parent / "moved")
    if not (moved / DATABASE).exists():
        (moved / DATABASE).write_bytes(database)  # only to save the time
    assert start(plan, moved, lines) == 0
    check_mlflow(moved, plan)


@pytest.fixture
def server() -> Iterator[str]:
    """Something that answers every request with an error."""
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Broken(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.send_response(503)
            self.end_headers()
            self.wfile.write(b"away")

        do_GET = do_POST = do_PATCH = _answer  # noqa: N815

        def log_message(self, *arguments: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Broken) as found:
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()


def test_a_server_that_answers_with_errors(tmp_path: Path, server: str) -> None:
    plan, lines = plan_of(mlflow={"tracking_uri": server}), list[str]()
    assert start(plan, tmp_path, lines) == 0
    check_complete(tmp_path, plan)
    assert len(_warnings(lines)) == 1
    assert json.loads((tmp_path / "sweep.json").read_text())["spec_hash"] == plan_of().hash
