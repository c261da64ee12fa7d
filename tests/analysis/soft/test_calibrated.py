"""The table and the sentence on calibration, against slow loops."""

import pandas as pd
import pytest

from analysis import load, write_report
from analysis.contrasts.selection import choose
from analysis.soft.calibrated import (
    UNCALIBRATED,
    calibration_finding,
    calibration_table,
    computed,
    missing_note,
)
from analysis.soft.tables import calibration_grid
from tests.analysis.builder import Design, build, cells_of, score_of
from tests.analysis.shown import to_frame

DESIGN = Design(sources=("ant", "bee"), weights=(0.0, 0.3), direct=True)
SHIFT = {"empty": 0.20, "constant": 0.0}


def calibrated(cell) -> float:
    return score_of(cell, DESIGN, "test") + SHIFT.get(cell.row, 0.05)


def with_batch(cell, record) -> None:
    record["result"]["score_batch"] = calibrated(cell)
    record["result"]["validation_score_batch"] = score_of(cell, DESIGN, "validation")


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("calibrated")
    build(folder, DESIGN, alter=with_batch)
    return load(folder)


def test_columns_are_read_and_others_stay_empty(frame):
    assert frame["score_batch"].notna().all()
    assert frame["validation_score_batch"].notna().all()
    assert frame["score_content_free"].isna().all()
    assert computed(frame) == ["batch"]


def test_means_over_tasks_by_slow_loops(frame):
    table = calibration_table(frame, "elk", choose(frame))
    assert list(dict.fromkeys(table["task"])) == [UNCALIBRATED, "batch"]
    rows = {"empty", "manual", "constant", "direct", "single", "baseline", "ours"}
    assert set(table["row"]) == rows
    for line in table.itertuples():
        row = "independent" if line.row == "direct" else line.row
        score = calibrated if line.task == "batch" else lambda cell: score_of(cell, DESIGN, "test")
        scores = [
            100 * score(cell)
            for cell in cells_of(DESIGN)
            if (cell.row, cell.target) == (row, "elk") and "+".join(cell.sources) == line.sources
        ]
        assert line.mean == pytest.approx(sum(scores) / len(scores))
    grid = to_frame(calibration_grid(table, [UNCALIBRATED, "batch"], "mean over tasks"))
    assert list(grid.columns) == ["Tuned on", "Row", UNCALIBRATED, "batch", "n"]
    assert list(grid["Row"])[:4] == ["Empty", "Manual", "Constant", "Direct"]
    empty = grid[grid["Row"] == "Empty"].iloc[0]
    assert (empty[UNCALIBRATED], empty["batch"]) == ("45.0", "65.0")


def test_nothing_computed_nothing_shown(full_frame, full_report):
    choices = choose(full_frame)
    assert calibration_table(full_frame, "elk", choices).empty
    assert calibration_finding(full_frame, "elk", choices) == missing_note(full_frame) == ""
    assert "Scores after calibration" not in full_report


def test_the_sentence_says_when_calibration_does_what_a_prompt_does(frame):
    text = calibration_finding(frame, "elk", choose(frame))
    # Empty 0.45 to 0.65, Baseline and Ours near 0.70, Single 0.60.
    assert "Empty goes from 45.0 to 65.0 and Ours from 70." in text
    assert "Calibrating Empty alone" not in text
    lower = frame.copy()
    ours = lower["row"] == "ours"
    lower.loc[ours, "score"] = 0.55
    lower.loc[ours, "score_batch"] = 0.60
    text = calibration_finding(lower, "elk", choose(frame))
    assert "on average over 3 tasks." in text
    assert "Calibrating Empty alone does as much as Ours (55.0) without it." in text
    assert "The gain of Ours over Empty is −5.0 points with it on both sides, +10.0 without" in text
    lower.loc[lower["row"] == "empty", "score_batch"] = 0.99
    text = calibration_finding(lower, "elk", choose(frame))
    assert "does as much as Ours (55.0) and Direct (9" in text


def test_no_sentence_where_nothing_moves(frame):
    still = frame.copy()
    still["score_batch"] = still["score"] + 0.004
    assert calibration_finding(still, "elk", choose(still)) == ""


def test_results_from_before_are_left_out_and_counted(frame):
    old = frame.copy()
    lost = (old["row"] == "ours") & (old["seed"] == 0)
    old.loc[lost, "score_batch"] = float("nan")
    table = calibration_table(old, "elk", choose(old))
    line = table[(table["row"] == "ours") & (table["task"] == "batch")].iloc[0]
    assert line["n"] == 2
    note = missing_note(old)
    assert note.startswith(f"{int(lost.sum())} of {len(old)} results were finished without batch")


@pytest.mark.slow
def test_flags_belong_to_the_uncalibrated_predictions(tmp_path):
    def alter(cell, record):
        with_batch(cell, record)
        record["result"]["degenerate"] = True

    one = Design(sources=("ant", "bee"), tasks=("mini/a",), weights=(0.0, 0.3))
    build(tmp_path, one, alter=alter)
    frame = load(tmp_path)
    table = calibration_table(frame, "elk", choose(frame))
    assert table.loc[(table["task"] == UNCALIBRATED) & (table["row"] == "ours"), "flagged"].all()
    assert not table.loc[table["task"] == "batch", "flagged"].any()


@pytest.mark.slow
def test_the_report_shows_it_beside_the_scores(tmp_path):
    build(tmp_path, DESIGN, alter=with_batch)
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert text.index("Scores on test") < text.index("Scores after calibration")
    assert "With batch calibration, which needs no labels, Empty goes from" in text
    assert "content-free<small>" not in text


@pytest.mark.slow
def test_from_the_plan_to_the_report(tmp_path):
    """Through the ledger with the tabulated executor: what the plan asks for is what is shown."""
    from sweep.ledger.folder import bind
    from sweep.ledger.ledger import Ledger
    from sweep.testing.tabulated import run_tabulated, tabulated_result
    from tests.sweep.samples import plan_of

    both = ["batch", "content_free"]
    plan = plan_of(direct=True, seeds=2, targets=["T", "A"], calibration=both)
    bind(tmp_path, plan, {})
    ledger = Ledger(tmp_path)
    for pack in sorted(plan.packs, key=lambda pack: bool(pack.needs)):
        outcome = run_tabulated(pack, {name: ledger.prompt(name) for name in pack.needs})
        for cell in pack.cells:
            prompt = outcome.prompts.get(cell.id)
            ledger.write(cell, outcome.results[cell.id], pack.id, outcome.cost, prompt)
    frame = load(tmp_path)
    assert sorted(frame["cell"]) == sorted(plan.by_id)
    assert set(frame.loc[frame["direct"], "cell"]) == {cell.id for cell in plan.direct}
    for row in frame.itertuples():
        expected = tabulated_result(plan.by_id[row.cell], both)
        assert row.score_content_free == expected["score_content_free"]
        assert row.validation_score_batch == expected["validation_score_batch"]
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "content-free<small>" in page
    assert "Nothing known to be missing" in page
