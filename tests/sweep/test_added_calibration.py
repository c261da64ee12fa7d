"""A calibration, or a split of predictions, added to the spec of a folder that has results."""

from pathlib import Path

import pytest

from sweep.engine.runner import Options, run
from sweep.ledger.folder import bind, lacking_note
from sweep.ledger.ledger import Ledger
from sweep.testing.tabulated import tabulated_predictions, tabulated_prompt, tabulated_result
from tests.sweep.drive import no_check, no_report
from tests.sweep.ledger.test_ledger import fill
from tests.sweep.samples import plan_of

BOTH = ["batch", "content_free"]


def told(folder: Path, calibration: list[str]) -> list[str]:
    """What a run of the same spec with these calibrations says."""
    lines: list[str] = []
    plan = plan_of(calibration=calibration)
    assert run(plan, folder, Options(preflight=no_check, report=no_report, say=lines.append)) == 0
    return lines


@pytest.mark.slow
@pytest.mark.usefixtures("no_ray")
def test_a_finished_folder_says_what_it_lacks_and_what_computes_it(tmp_path: Path) -> None:
    plan = plan_of(calibration=["batch"])
    bind(tmp_path, plan, {})
    fill(Ledger(tmp_path), plan.cells)
    before = {path: path.read_bytes() for path in (tmp_path / "ledger").rglob("*.json")}
    for _ in range(2):
        nothing_left, warning, *_ = told(tmp_path, BOTH)
        assert "nothing left to do" in nothing_left
        count = len(plan.cells)
        assert f"of {count} finished cells" in warning
        assert f"missing (content_free in {count}) and stay so" in warning
        assert "sweep run SPEC --out NEW_FOLDER" in warning
        assert "\n" not in warning
    assert before == {path: path.read_bytes() for path in (tmp_path / "ledger").rglob("*.json")}
    for fewer in (["batch"], []):
        assert not any("calibration" in line for line in told(tmp_path, fewer))


def test_cells_that_have_it_are_not_counted(tmp_path: Path) -> None:
    plan = plan_of(calibration=["batch"])
    bind(tmp_path, plan, {})
    more = plan_of(calibration=BOTH)
    ledger = Ledger(tmp_path)
    fill(ledger, plan.cells[:3])
    for cell in more.cells[3:]:
        ledger.write(cell, tabulated_result(cell, BOTH), "later", {})
    note = lacking_note(tmp_path, more, ledger.records)
    assert f"of {len(more.cells)} finished cells" in note
    assert "(content_free in 3)" in note


def test_nothing_is_read_where_nothing_was_added(tmp_path: Path) -> None:
    def unread() -> list[dict[str, object]]:
        raise AssertionError("the ledger was read")

    plan = plan_of(calibration=BOTH)
    assert lacking_note(tmp_path, plan, unread) == ""
    bind(tmp_path, plan, {})
    for fewer in (BOTH, ["content_free"], []):
        assert lacking_note(tmp_path, plan_of(calibration=fewer), unread) == ""


def test_predictions_that_were_added_are_told(tmp_path: Path) -> None:
    plan = plan_of(predictions=["validation"])
    bind(tmp_path, plan, {})
    ledger = Ledger(tmp_path)
    for number, cell in enumerate(plan.cells):
        kept = tabulated_predictions(cell, ["validation", "test"][: 1 if number < 4 else 2])
        ledger.write(cell, tabulated_result(cell), "p", {}, tabulated_prompt(cell), kept)
    assert lacking_note(tmp_path, plan, ledger.records) == ""
    assert lacking_note(tmp_path, plan_of(predictions=[]), ledger.records) == ""
    note = lacking_note(tmp_path, plan_of(), ledger.records)
    count = len(plan.cells)
    assert note.startswith(f"of {count} finished cells, predictions that were added to the spec")
    assert "(test in 4)" in note
    note = lacking_note(tmp_path, plan_of(calibration=BOTH), ledger.records)
    assert "calibrations and predictions that were added" in note
    assert f"(content_free in {count}, test in 4)" in note


def test_an_evaluation_that_was_added_is_told(tmp_path: Path) -> None:
    plan = plan_of()
    bind(tmp_path, plan, {})
    ledger = Ledger(tmp_path)
    fill(ledger, plan.cells)
    note = lacking_note(tmp_path, plan_of(evaluation=["open"]), ledger.records)
    assert "evaluations that were added to the spec later are missing (open in" in note
