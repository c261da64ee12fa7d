import importlib.metadata
import json
import os
import pty
import re
import resource
import subprocess
import sys
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweep import cli
from sweep.commands.plan import format_plan
from sweep.commands.status import folder_status, format_status
from sweep.commands.ui import free_port, is_free, server_command
from sweep.engine.progress import NOTE, ProgressLine
from sweep.ledger.folder import bind
from sweep.ledger.ledger import Ledger
from sweep.ledger.lock import DriverLock
from sweep.shell.options import MACHINE, PANELS, READ, SHARE, WRITE
from sweep.testing.tabulated import tabulated_result
from tests.sweep.ledger.test_ledger import fill, record_file
from tests.sweep.samples import content, plan_of

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "ray", "mlflow", "pandas", "numpy", "pydantic", "matplotlib")


def sweep(*arguments: str) -> int:
    """Exit code of the command, run in this process."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    code = ended.value.code
    assert isinstance(code, int)
    return code


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, sweep.cli\n"
        "try: sweep.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print(sorted(set(sys.modules) & set({HEAVY!r})))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"


def test_help_answers_at_once() -> None:
    """Below 0.3 s of computing: what a wall clock shows on a machine that does nothing else."""
    command = [sys.executable, "-m", "sweep.cli", "--help"]
    best = float("inf")
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if best < 0.3:
            return
    pytest.fail(f"help took {best:.2f} s")


def test_the_commands_are_these(capsys: pytest.CaptureFixture[str]) -> None:
    """The command line is frozen: users' scripts rest on it."""
    assert sweep("--help") == 0
    text = capsys.readouterr().out
    panels = {panel: _entries(text.partition(f"{panel}:\n")[2]) for panel in PANELS}
    assert panels == {
        WRITE: [
            *("presets", "init", "plan", "label-words", "run", "recheck", "pretext", "schema"),
            "recommend",
        ],
        READ: ["status", "report", "export", "features", "ui", "compare"],
        SHARE: ["push", "register", "sync"],
        MACHINE: ["store", "validate-cluster", "doctor"],
    }
    assert _options(text.partition("Options:")[2].partition(f"{WRITE}:")[0]) == {
        *("--version", "--install-completion", "--show-completion", "--help")
    }
    names = [name for panel in panels.values() for name in panel]
    which = {"--cell", "--row", "--task", "--target", "--method"}
    options = {name: _options(_help(name, capsys)) for name in names}
    assert options == {
        "presets": {"--help"},
        "init": {"--data", "--out", "--model", "--text", "--label", "--help"},
        "plan": {"--set", "--json", "--out", "--profile", "--workers", "--store", "--help"},
        "label-words": {
            *("--model", "--task", "--words", "--propose", "--no-propose", "--json", "--help")
        },
        "run": {"--out", "--set", "--address", "--workers", "--store", "--store-size", "--help"},
        "recheck": {"--target", "--budget", "--out", "--workers", "--json", "--store", "--help"},
        "pretext": {
            *("--out", "--kind", "--rows", "--held-rows", "--held-out", "--option-words", "--seed"),
            *("--label-task", "--labels", "--model", "--prompt", "--confidence", "--letters"),
            "--help",
        },
        "store": {"--store", "--check", "--prune", "--older-than", "--json", "--help"},
        "status": {"--json", "--help"},
        "report": {
            *("--select-lambda", "--html", "--latex", "--csv", "--markdown", "--figures", "--to"),
            "--help",
        },
        "export": {*which, "--best", "--top", "--format", "--to", "--force", "--help"},
        "push": {*which, "--repo", "--private", "--dry-run", "--force", "--help"},
        "register": {*which, "--name", "--tracking-uri", "--force", "--help"},
        "schema": {"--help"},
        "recommend": {"--from", "--target", "--json", "--help"},
        "features": {"--before", "--json", "--help"},
        "ui": {"--port", "--help"},
        "sync": {"--tracking-uri", "--tracker", "--help"},
        "compare": {"--method", "--task", "--target", "--server", "--json", "--help"},
        "validate-cluster": {"--help"},
        "doctor": {"--json", "--help"},
    }


def _entries(text: str) -> list[str]:
    """First words of an indented list, without the lines that go on."""
    lines = text.partition("\n\n")[0].splitlines()
    return [line.split()[0] for line in lines if not line.startswith("   ")]


def _options(text: str) -> set[str]:
    return {word for word in text.replace(",", " ").split() if word.startswith("--")}


def _help(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert sweep(name, "--help") == 0
    text = capsys.readouterr().out
    assert sweep(name, "-h") == 0
    assert capsys.readouterr().out == text
    return text.partition("Options:")[2]


def test_versions_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep("--version") == 0
    (line,) = capsys.readouterr().out.splitlines()
    names = [part.split()[0] for part in line.split(", ")]
    assert names == ["promptsweep", "torch", "ray", "transformers"]
    assert importlib.metadata.version("torch") in line


def test_both_names_of_the_command_are_the_same() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == dict.fromkeys(("sweep", "promptsweep"), "sweep.cli:main")


def test_the_shell_is_told_how_commands_go_on() -> None:
    code = "import sys; sys.argv = ['sweep']; from sweep.cli import main; main()"
    asked = {"_SWEEP_COMPLETE": "complete_bash", "COMP_WORDS": "sweep pl", "COMP_CWORD": "1"}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **asked})
    assert found.stdout.split() == ["plan"]


@pytest.mark.parametrize("refused", [False, True])
def test_colours_are_for_terminals_whose_user_wants_them(refused: bool) -> None:
    driver, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"}
    environment |= {"NO_COLOR": "1" if refused else ""}
    command = [sys.executable, "-m", "sweep.cli", "-h"]
    with subprocess.Popen(command, stdout=terminal, stderr=terminal, env=environment) as process:
        os.close(terminal)
        shown = b""
        with suppress(OSError):  # as Linux tells the end
            while part := os.read(driver, 4096):
                shown += part
    os.close(driver)
    assert process.returncode == 0
    assert WRITE.encode() in shown
    assert bool(re.search(rb"\x1b\[[0-9;]*3\d[;m]", shown)) is not refused


def test_presets_are_listed_with_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep("presets") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        *("lester", "lester_small", "paper_a", "paper_b", "ppt", "quickstart", "smoke", "spot"),
        "tpt",
    ]
    assert all(len(line.split()) > 5 for line in lines)


def test_a_preset_is_printed_to_start_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep("presets", "smoke") == 0
    own = tmp_path / "own.yaml"
    own.write_text(capsys.readouterr().out)
    assert sweep("plan", "smoke", "--json") == sweep("plan", str(own), "--json") == 0
    one, other = capsys.readouterr().out.splitlines()
    assert one == other
    assert sweep("presets", "smok") == 2
    assert "did you mean smoke" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["plan", "quickstrt"], "did you mean quickstart"),
        (["plan", "{folder}/missing.yaml"], "no such file or preset"),
        (["plan", "{folder}/bad.yaml"], "'souces'"),
        (["plan", "{folder}/model.yaml"], "nomodel"),
        (["run", "{folder}/lambda.yaml", "--out", "{folder}/out"], "methods.soft.lambda[0]"),
        (["run", "smoke", "--out", "{folder}"], "no sweep's folder"),
        (["run", "smoke", "--out", "{folder}/bad.yaml"], "is a file"),
        (["run", "smoke", "--out", "{folder}/out", "--workers", "0"], "--workers: found 0"),
        (["plan", "smoke", "--set", "seeds"], "--set: found 'seeds'; allowed: PATH=VALUE"),
        (["run", "smoke", "--set", "sedes=2", "--out", "{folder}/out"], "did you mean seeds"),
        (["status", "{folder}"], "no sweep's folder"),
        (["report", "{folder}"], "no sweep's folder"),
        (["ui", "{folder}"], "no sweep's folder"),
        (["validate-cluster", "{folder}/none.yaml"], "cannot be read"),
        (["report", "{folder}/sweep", "--select-lambda", "test"], "allowed: pair, task, source"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(
    arguments: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    specs: dict[str, dict[str, Any]] = {
        "bad": {"souces": ["A"]},
        "model": {"sources": ["nomodel"], "tasks": ["mini/topics"]},
        "lambda": {"methods": {"soft": {"lambda": [2]}}},
    }
    for name, changes in specs.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content(**changes)))
    bind(tmp_path / "sweep", plan_of(), {})
    assert sweep(*(text.format(folder=tmp_path) for text in arguments)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert named in err
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")


def test_a_folder_of_another_spec_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bind(tmp_path, plan_of(), {})
    assert sweep("run", "smoke", "--out", str(tmp_path)) == 2
    assert "belongs to another spec" in capsys.readouterr().err
    assert sweep("plan", "smoke", "--out", str(tmp_path)) == 2


def test_a_plan_as_json_and_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep("plan", "smoke", "--json") == 0
    counts = json.loads(capsys.readouterr().out)
    # Two sources, the target itself, and the pair's two prompts.
    assert counts["kinds"] == {"source": 5, "reference": 9, "transfer": 4}
    assert counts["direct"] == 1
    assert counts["rows"]["ours"] == 1
    assert (counts["done"], counts["to_run"]) == (0, 18)
    assert sweep("plan", "smoke", "--out", str(tmp_path / "new")) == 0
    text = capsys.readouterr().out
    assert text.strip() == format_plan(counts)
    assert "18 cells" in text
    assert "3 independent (1 on a target: row Direct) and 1 joint tunings" in text
    assert not (tmp_path / "new").exists()


def test_a_plan_with_values_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep("plan", "smoke", "--set", "direct=false", "--set", "seeds=[5]", "--json") == 0
    assert json.loads(capsys.readouterr().out)["direct"] == 0


def test_the_status_of_a_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_of(seeds=3)
    bind(tmp_path, plan, {})
    ledger = Ledger(tmp_path)
    fill(ledger, plan.cells[:10])
    ledger.fail(plan.cells[10], "no luck", "p")
    record_file(tmp_path, plan.cells[0]).write_text("{")
    with DriverLock(tmp_path):
        running = folder_status(tmp_path)
    assert running["state"] == "running"
    assert running["driver"] == os.getpid()
    assert running["cells_per_minute"] is None or running["cells_per_minute"] > 0
    assert sweep("status", str(tmp_path), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["state"] == "stopped"
    assert (found["cells"], found["done"], found["failed"]) == (len(plan.cells), 9, 1)
    assert found["missing"] == len(plan.cells) - 9
    assert sum(kind["done"] for kind in found["kinds"].values()) == 9
    assert found["failures"][0]["reason"] == "no luck"
    assert "damaged" in found["damaged"][0]
    text = format_status(found)
    assert "no luck" in text
    assert "9 of" in text
    # Looking changes nothing.
    assert record_file(tmp_path, plan.cells[0]).read_text() == "{"
    fill(Ledger(tmp_path, repair=True), plan.cells)
    assert folder_status(tmp_path)["state"] == "done"


def test_the_status_of_a_running_sweep(tmp_path: Path) -> None:
    plan = plan_of(seeds=3)
    bind(tmp_path, plan, {})
    fill(Ledger(tmp_path), plan.packs[0].cells)
    ledger = Ledger(tmp_path)
    ledger.fail(plan.packs[2].cells[0], "no luck", "p")
    now = [0.0]
    line = ProgressLine(
        *(len(plan.cells), 0, plan.packs, Terminal(False), lambda: now[0]),  # type: ignore[arg-type]
        note=tmp_path / NOTE,
    )
    with DriverLock(tmp_path):
        early = folder_status(tmp_path)
        assert (early["running"], early["eta_seconds"], early["packs"]) == (0, None, [])
        now[0] = 60.0
        line.close_pack(plan.packs[0], len(plan.packs[0].cells))
        line.show([plan.packs[1]], {plan.packs[1].id: ("train", 1, 2)}, failed=1)
        found = folder_status(tmp_path)
    assert found["running"] == len(plan.packs[1].cells)
    states = [found[name] for name in ("done", "running", "waiting", "failed")]
    assert sum(states) == found["cells"] == len(plan.cells)
    assert found["eta_seconds"] > 0
    assert found["cells_per_minute"] > 0
    text = format_status(found)
    assert "now: B on x/one, " in text
    assert "train 45%" in text
    assert " left" in text
    # A driver that is gone runs nothing, whatever it has left behind.
    assert (tmp_path / NOTE).exists()
    assert folder_status(tmp_path)["running"] == 0
    line.end()
    assert not (tmp_path / NOTE).exists()


def test_the_status_shows_what_is_best(tmp_path: Path) -> None:
    plan = plan_of(seeds=3, targets=["T", "U"])
    bind(tmp_path, plan, {})
    assert folder_status(tmp_path)["best"] == []
    fill(Ledger(tmp_path), plan.cells)
    found = folder_status(tmp_path)["best"]
    for row, target in zip(found, ("T", "U"), strict=True):
        cells = [cell for cell in plan.cells if cell.kind == "transfer" and cell.target == target]
        best = max(cells, key=lambda cell: tabulated_result(cell)["validation_score"])
        assert row["cell"] == best.id
        assert row["score"] == tabulated_result(best)["score"]
        assert row["sources"] == list(best.sources)


def test_the_time_left_weighs_packs_by_what_they_take() -> None:
    """A small pack in 1 s and a large one of 99 s, which steps alone would take for equals."""
    first, second = plan_of().packs[:2]
    seconds = {first.id: 1.0, second.id: 99.0}
    now = [0.0]
    line = ProgressLine(
        *(100, 0, [first, second], Terminal(False), lambda: now[0]),  # type: ignore[arg-type]
        weight=lambda pack: seconds[pack.id],
    )
    now[0] = 1.0
    line.close_pack(first, len(first.cells))
    assert line.figures([second], {second.id: ("start", 0, 1)})["eta_seconds"] is None  # too early
    now[0] = 50.5
    phases = {second.id: ("train", 5, 9)}  # training is nine tenths of a tuning: half
    assert line.figures([second], phases)["eta_seconds"] == pytest.approx(49.5)


class Terminal(list[str]):
    """Collects what is written, as a terminal or as a pipe."""

    def __init__(self, tty: bool) -> None:
        super().__init__()
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty

    def write(self, text: str) -> int:
        self.append(text)
        return len(text)

    def flush(self) -> None:
        pass


def test_the_server_is_for_this_machine_only(tmp_path: Path) -> None:
    command = server_command(tmp_path, 5123)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--workers") + 1] == "1"
    uri = command[command.index("--backend-store-uri") + 1]
    assert uri == f"sqlite:////{str(tmp_path.resolve() / 'mlflow.db')[1:]}"


def test_a_taken_port(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    bind(tmp_path, plan_of(), {})
    assert sweep("ui", str(tmp_path)) == 2
    assert "mlflow.db" in capsys.readouterr().err
    (tmp_path / "mlflow.db").touch()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not is_free(port)
        assert sweep("ui", str(tmp_path), "--port", str(port)) == 2
        assert f"--port: {port} is taken" in capsys.readouterr().err
    assert is_free(free_port())
