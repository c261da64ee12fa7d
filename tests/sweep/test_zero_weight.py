"""λ = 0 is 0 wherever somebody reads it; ``none`` is the word of cells for its schedule."""

import json
from pathlib import Path

import pytest

from analysis.data.results import read
from analysis.report.comparison import render_comparison
from sweep.ledger.folder import GROWN, META_FILE, bind, check_binding, read_meta
from sweep.ledger.ledger import Ledger
from sweep.planning.plan import Plan
from sweep.tracking.facts import facts_of_plan
from sweep.tracking.view import RESULT, View
from tests.sweep.ledger.test_ledger import fill
from tests.sweep.samples import plan_of
from tests.sweep.tracking.test_schema import _runs

WEIGHTS = [0, 0.5, "annealing"]
CELLS = {
    ("source", "independent", 0.0, "none"): {"768f6ff2f431db58", "94a95f35b381b9c8"},
    ("source", "joint", 0.5, "constant"): {"805dfdb555e379d4", "4b60281f1963bcdd"},
    ("transfer", "baseline", 0.0, "none"): {"a5949903cb13104b"},
    ("transfer", "ours", None, "annealing"): {"1311dd36a13abee7"},
}
"""Ids under the code version soft-1, from before λ = 0 was written as a number."""


def made() -> Plan:
    return plan_of(methods={"soft": {"lambda": WEIGHTS, "steps": 4, "evaluations": 2}})


def test_a_round_trip(tmp_path: Path) -> None:
    plan = made()
    bind(tmp_path, plan, {})
    fill(Ledger(tmp_path), plan.cells)
    text = (tmp_path / META_FILE).read_text()
    assert json.loads(text)["spec"]["methods"]["soft"]["lambda"] == WEIGHTS
    assert "none" not in text
    runs = [run for run in _runs(plan, View(facts_of_plan(plan))) if run.kind == RESULT]
    assert {(run.params["row"], run.params["lambda"]) for run in runs} == {
        *((row, "0") for row in ("empty", "manual", "constant")),
        *((row, "0") for row in ("single", "baseline")),
        *(("ours", weight) for weight in ("0.5", "-1")),
    }
    frame = read(tmp_path).frame
    tuned = frame[frame["kind"] != "reference"]
    seen = tuned[["row", "lambda", "weight_label"]].fillna(-1.0).drop_duplicates()
    assert set(seen.itertuples(index=False, name=None)) == {
        *((row, 0.0, "0") for row in ("independent", "single", "baseline")),
        *((row, 0.5, "0.5") for row in ("joint", "ours")),
        *((row, -1.0, "annealing") for row in ("joint", "ours")),
    }
    assert frame[frame["kind"] == "reference"]["lambda"].isna().all()


def test_ids_of_cells_are_what_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.core.cells.code_version", lambda method: "soft-1")
    cells = made().cells
    for (kind, row, weight, schedule), ids in CELLS.items():
        assert ids == {
            cell.id
            for cell in cells
            if (cell.kind, cell.row, cell.weight, cell.schedule) == (kind, row, weight, schedule)
        }


def earlier(folder: Path, plan: Plan) -> None:
    """A finished folder as earlier versions wrote it: another hash, and the word for the number."""
    bind(folder, plan, {})
    fill(Ledger(folder), plan.cells)
    meta = read_meta(folder)
    meta["spec_hash"] = "0" * 16
    meta["spec"]["methods"]["soft"]["lambda"][0] = "none"
    (folder / META_FILE).write_text(json.dumps(meta))


def test_an_earlier_folder_goes_on(tmp_path: Path) -> None:
    plan = made()
    earlier(tmp_path, plan)
    check_binding(tmp_path, plan)
    bind(tmp_path, plan, {})
    meta = read_meta(tmp_path)
    assert [item["spec_hash"] for item in meta[GROWN]] == ["0" * 16]
    assert meta["spec_hash"] == plan.hash
    assert meta["spec"]["methods"]["soft"]["lambda"] == WEIGHTS
    assert plan.remaining(Ledger(tmp_path).done_ids()) == ()


@pytest.mark.slow
def test_an_earlier_folder_is_read_as_the_same_spec(tmp_path: Path) -> None:
    plan = made()
    earlier(tmp_path / "old", plan)
    bind(tmp_path / "new", plan, {})
    fill(Ledger(tmp_path / "new"), plan.cells)
    old, new = read(tmp_path / "old"), read(tmp_path / "new")
    assert old.meta["spec"] == new.meta["spec"]
    assert "methods.soft.lambda" not in render_comparison([old, new])
