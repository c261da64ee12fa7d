"""Soft and hard methods in one spec: one ledger, one MLflow experiment, one report."""

from pathlib import Path

import pytest

from analysis import load
from sweep.engine.runner import Options, run
from sweep.ledger.ledger import Ledger
from sweep.testing.tabulated import EXECUTOR, tabulated_result
from tests.sweep.drive import no_check
from tests.sweep.folders import check_complete, mlflow_runs
from tests.sweep.inline import inline as inline
from tests.sweep.samples import plan_of

pytestmark = pytest.mark.usefixtures("inline")


@pytest.mark.slow
def test_one_sweep_of_both(tmp_path: Path) -> None:
    vocabularies = ["all", "random", "common", "agreement"]
    plan = plan_of(
        seeds=3,
        methods={
            "soft": {"lambda": [0, 0.5], "steps": 4, "evaluations": 2},
            "random": {},
            "pez": {"vocabulary": vocabularies, "s": [20, 40], "k": 4, "steps": 60},
        },
    )
    assert {cell.method for cell in plan.cells} == {"soft", "random", "pez", "none"}
    lines: list[str] = []
    options = Options(executor=EXECUTOR, preflight=no_check, say=lines.append)
    assert run(plan, tmp_path, options) == 0
    check_complete(tmp_path, plan)

    parents, children = mlflow_runs(tmp_path)
    assert len(parents) == 1
    assert {run.data.params["method"] for run in children} == {"soft", "random", "pez"}
    assert len({frozenset(run.data.params) for run in children}) == 1
    manual = next(cell for cell in plan.cells if cell.row == "manual" and cell.target == "T")
    level = tabulated_result(manual)["score"]
    for item in children:
        if item.data.params["method"] == "pez":
            gain = item.data.metrics["test/score"] - level
            assert item.data.metrics["test/gain_over_empty"] == pytest.approx(gain)
            assert item.data.tags["prompt"].startswith("words of ")

    frame = load(tmp_path)
    assert len(frame) == len(plan.cells)
    assert set(frame["family"].dropna()) == {"soft", "hard"}
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    for words in ("PEZ-pruned", "CommonVocab-pruned", "Baseline", "words of "):
        assert words in report

    # Again: nothing is left to do, and the ledger has each cell once.
    assert run(plan, tmp_path, options) == 0
    assert "no trial is started" in " ".join(lines)
    assert len(list(Ledger(tmp_path).records())) == len(plan.cells)
