"""A sweep from Python: light to import, nothing left."""

import json
import os
import signal
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sweep
from sweep.planning.preflight import answer
from sweep.process.interrupts import interruptible
from sweep.session import Result, _plain
from tests.sweep.commands.test_init import labelled, write_csv
from tests.sweep.inline import inline as inline
from tests.sweep.test_cli import HEAVY
from trainables.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "examples" / "first_sweep.ipynb"


def test_the_import_is_light() -> None:
    code = (
        "import sys, sweep\n"
        f"print(sorted(set(sys.modules) & set({(*HEAVY, 'typer', 'yaml', 'trainables')!r})))\n"
        "sweep.run, sweep.plan, sweep.Result\n"
        f"print(sorted(set(sys.modules) & set({HEAVY!r}) - {{'pydantic'}}))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == ["[]", "[]"]


def test_a_plan_is_data_and_text() -> None:
    found = sweep.plan("smoke", store="none")
    assert found["cells"] == 18 and "18 to run" in repr(found)
    assert json.loads(json.dumps(found))["name"] == "smoke"
    with pytest.raises(sweep.InputError, match="did you mean smoke"):
        sweep.plan("smok")
    with pytest.raises(InputError, match="'souces'"):
        sweep.plan({"souces": ["pocket-bert"]})


def test_specs_may_hold_what_python_writes() -> None:
    spec = {"a": (1, Path("x/y")), "b": range(2), "c": np.float64(0.5), "d": {"e": np.int64(3)}}
    assert _plain(spec) == {"a": [1, "x/y"], "b": [0, 1], "c": 0.5, "d": {"e": 3}}
    assert type(_plain(np.int64(3))) is int


def stand_in(code: int, given: list[Any]) -> Any:
    def run(plan: Any, out: Path, options: Any) -> int:
        given.append((plan.resolved.spec.name, out, options))
        return code

    return run


def test_a_run_passes_on_what_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr("sweep.engine.runner.run", stand_in(1, given))
    result = sweep.run("smoke", tmp_path / "out", workers=2, store=tmp_path / "store")
    assert (result.ok, result.folder, result.failures) == (False, tmp_path / "out", {})
    ((name, out, options),) = given
    assert (name, out) == ("smoke", tmp_path / "out")
    assert (options.workers, options.store, options.ends) == (2, tmp_path / "store", False)
    monkeypatch.setattr("sweep.engine.runner.run", stand_in(130, given))
    with pytest.raises(KeyboardInterrupt):
        sweep.run("smoke", tmp_path / "out")
    with pytest.raises(InputError, match="--workers: found 0"):
        sweep.run("smoke", tmp_path / "out", workers=0)


def test_a_ray_of_the_users_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = types.SimpleNamespace(is_initialized=lambda: True)
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(InputError, match="found a Ray"):
        sweep.run("smoke", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_second_signal_ends_no_notebook() -> None:
    """It interrupts once more, and who listened for signals before does so again."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    try:
        with pytest.raises(KeyboardInterrupt), interruptible(ends=False) as interrupts:
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                interrupts._first -= 60
                os.kill(os.getpid(), signal.SIGINT)
        assert signal.set_wakeup_fd(-1) == writer
    finally:
        signal.set_wakeup_fd(-1)
        os.close(reader)
        os.close(writer)


def test_another_thread_takes_no_signals() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def within() -> None:
        with interruptible(ends=False) as interrupts:
            interrupts.install()
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=within)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.fixture
def here(inline: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything in this process: another one takes seconds to import what is there already."""
    monkeypatch.setattr(
        "sweep.planning.preflight._ask", lambda asked: answer(json.loads(json.dumps(asked)))
    )


@pytest.mark.slow
def test_the_example_notebook_runs(
    tmp_path: Path,
    here: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Cell by cell, as a notebook runs them; it is kept without what they said."""
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    names: dict[str, Any] = {}
    for number, cell in enumerate(code):
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
    result = names["result"]
    assert isinstance(result, Result) and result.ok and not result.failures
    assert result.report() == tmp_path / "results" / "first_sweep" / "report.html"
    assert len(result.frame()) == sweep.plan(names["spec"], result.folder)["done"] == 18
    assert "'souces'" in capsys.readouterr().out
    # A report that is gone is written anew.
    result.report().unlink()
    monkeypatch.setattr("analysis.report.page.write_report", lambda folder: folder / "anew")
    assert result.report() == result.folder / "anew"


@pytest.mark.slow
def test_from_a_csv_file_to_the_report(tmp_path: Path, here: None) -> None:
    """``sweep init``, then plan, run and report, with small models."""
    from sweep.commands.init.start import start

    data = write_csv(tmp_path / "mine.csv", labelled(60, ("good", "bad")))
    start(data, tmp_path, ["pocket-bert", "pocket-gpt2"])
    spec = tmp_path / "spec.yaml"
    planned = sweep.plan(spec)
    result = sweep.run(spec, tmp_path / "out")
    assert result.ok and not result.failures
    frame = result.frame()
    assert len(frame) == planned["cells"]
    assert {"closed_form", "readout", "distil"} <= set(frame.solver.dropna())
    page = result.report().read_text(encoding="utf-8")
    assert "mine" in page and "Cost and gain" in page


LEFT = """
import functools, threading
import psutil
import sweep.engine.runner as runner
import sweep
from sweep.testing.tabulated import EXECUTOR

runner.Options = functools.partial(
    runner.Options, executor=EXECUTOR, preflight=lambda plan: [], report=lambda folder: None
)
results = []
thread = threading.Thread(target=lambda: results.append(sweep.run("smoke", OUT, workers=1)))
thread.start()
thread.join()
import ray

children = [item.name() for item in psutil.Process().children(recursive=True)]
print(results[0].ok, len(results[0].frame()), ray.is_initialized(), children)
"""


@pytest.mark.cluster
@pytest.mark.slow
def test_a_thread_runs_a_sweep_and_leaves_no_ray(tmp_path: Path) -> None:
    """A script's own thread, on a real Ray."""
    code = f"OUT = {str(tmp_path / 'out')!r}\n{LEFT}"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1] == "True 18 False []"
    assert "18 of 18 cells are there" in found.stderr
