"""Row Direct and the share of its gap that is recovered, against slow loops."""

import statistics
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from analysis import load
from analysis.contrasts.selection import choose
from analysis.present.grid import MINUS, percent
from analysis.present.words import ALL_TASKS
from analysis.soft.ceiling import gap_finding, gap_note, gap_table, gaps, recovered
from analysis.soft.tables import (
    metrics,
    share_grid,
    source_models,
    source_table,
    tasks,
    transfer_table,
)
from tests.analysis.builder import Design, build, cells_of, score_of
from tests.analysis.shown import to_frame

DESIGN = Design(direct=True)


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("ceiling")
    build(folder, DESIGN)
    return load(folder)


@cache
def level(row: str, task: str, target: str = "elk", design: Design = DESIGN) -> float:
    """Mean test score over seeds of Direct or Empty, by a loop over the plan."""
    found = [
        score_of(cell, design, "test")
        for cell in cells_of(design)
        if (cell.row, cell.target, cell.task) == (row, target, task)
    ]
    return sum(found) / len(found)


@pytest.mark.slow
def test_the_share_of_every_transferred_prompt(frame):
    assert set(frame.loc[frame["direct"], "target"]) == {"elk"}
    assert int(frame["direct"].sum()) == 3 * 3
    moved = frame[frame["kind"] == "transfer"]
    for row in moved.itertuples():
        empty, direct = level("empty", row.task), level("independent", row.task)
        assert row.gap_recovered == pytest.approx((row.score - empty) / (direct - empty))
    assert frame.loc[frame["kind"] != "transfer", "gap_recovered"].isna().all()


def test_without_direct_there_is_no_share(full_frame):
    assert not full_frame["direct"].any()
    assert full_frame["gap_recovered"].isna().all()
    choices = choose(full_frame)
    assert gap_table(full_frame, "elk", choices).empty
    assert gap_finding(full_frame, "elk", choices) == gap_note(full_frame, "elk") == ""


@pytest.mark.slow
def test_a_ceiling_no_higher_than_empty_gives_no_share(tmp_path):
    """Direct equal to Empty on one task, 4.9 points above on another, clearly above on a third."""
    gap = {"mini/a": 0.0, "mini/b": 0.049, "mini/c": 0.4}

    def alter(cell, record):
        if cell.row == "independent" and cell.target == "elk":
            record["result"]["score"] = level("empty", cell.task) + gap[cell.task]

    build(tmp_path, DESIGN, alter=alter)
    frame = load(tmp_path)
    choices = choose(frame)
    shares = frame[frame["kind"] == "transfer"].groupby("task")["gap_recovered"].count()
    assert (shares["mini/a"], shares["mini/b"]) == (0, 0)
    assert shares["mini/c"] > 0
    table = gap_table(frame, "elk", choices)
    assert set(table["task"]) == {"mini/c"}
    note = gap_note(frame, "elk")
    assert "mini/a (+0.0), mini/b (+4.9)" in note
    assert "mini/c" not in note
    assert "over 1 of 3 tasks, where there is one" in gap_finding(frame, "elk", choices)
    assert list(gaps(frame, "elk")["clear"]) == [False, False, True]


@pytest.mark.slow
def test_no_gap_anywhere_is_said(tmp_path):
    def alter(cell, record):
        if cell.row == "independent" and cell.target == "elk":
            record["result"]["score"] = 0.2

    build(tmp_path, DESIGN, alter=alter)
    frame = load(tmp_path)
    text = gap_finding(frame, "elk", choose(frame))
    assert "there is no gap of which a transfer could recover a share" in text
    assert "%" not in text


def test_the_table_of_shares_by_slow_loops(frame):
    choices = choose(frame)
    table = gap_table(frame, "elk", choices)
    assert set(table["row"]) == {"single", "baseline", "ours"}
    names = tasks(frame)
    gap = {name: level("independent", name) - level("empty", name) for name in names}

    def gain(cell):
        return score_of(cell, DESIGN, "test") - level("empty", cell.task)

    singles = [
        cell for cell in cells_of(DESIGN) if (cell.row, cell.sources) == ("single", ("ant",))
    ]
    for name in names:
        expected = [100 * gain(cell) / gap[name] for cell in singles if cell.task == name]
        line = table[(table["sources"] == "ant") & (table["task"] == name)].iloc[0]
        assert line["mean"] == pytest.approx(sum(expected) / 3)
        assert line["sd"] == pytest.approx(statistics.stdev(expected))
        assert line["n"] == 3
    pooled = [
        100 * sum(gain(cell) for cell in singles if cell.seed == seed) / sum(gap.values())
        for seed in DESIGN.seeds
    ]
    line = table[(table["sources"] == "ant") & (table["task"] == ALL_TASKS)].iloc[0]
    assert line["mean"] == pytest.approx(sum(pooled) / 3)
    assert line["sd"] == pytest.approx(statistics.stdev(pooled))
    grid = to_frame(share_grid(table, names, metrics(frame)))
    assert list(grid.columns) == ["Tuned on", "Row", *names, "pooled", "n"]
    row = grid[(grid["Tuned on"] == "ant") & (grid["Row"] == "Single")].iloc[0]
    assert row["pooled"] == f"{sum(pooled) / 3:.0f} % ± {statistics.stdev(pooled):.0f} %"


def test_direct_stands_between_references_and_transfers(frame):
    choices = choose(frame)
    table = transfer_table(frame, "elk", choices)
    order = list(dict.fromkeys(zip(table["group"], table["row"], strict=True)))
    assert order[:5] == [
        ("references", "empty"), ("references", "manual"), ("references", "constant"),
        ("elk", "direct"), ("ant", "single"),
    ]  # fmt: skip
    line = table[(table["row"] == "direct") & (table["task"] == "mini/b")].iloc[0]
    assert line["mean"] == pytest.approx(100 * level("independent", "mini/b"))
    assert line["n"] == 3
    assert not table.loc[table["row"] == "direct", "better"].any()


def test_a_target_alone_is_no_source_model(frame):
    assert source_models(frame) == ["ant", "bee", "cat", "dog"]
    assert "elk" not in set(source_table(frame, choose(frame))["group"])


@pytest.mark.slow
def test_a_source_that_is_a_target_too_has_its_ceiling_in_its_own_cells(tmp_path):
    design = Design(sources=("ant", "bee", "cat"), targets=("ant", "elk"), direct=True)
    assert len({cell.id for cell in cells_of(design)}) == len(list(cells_of(design)))
    build(tmp_path, design)
    frame = load(tmp_path)
    choices = choose(frame)
    assert source_models(frame) == ["ant", "bee", "cat"]
    on_sources = source_table(frame, choices)
    assert "independent" in set(on_sources.loc[on_sources["group"] == "ant", "row"])
    table = transfer_table(frame, "ant", choices)
    direct = table[(table["row"] == "direct") & (table["task"] == "mini/a")].iloc[0]
    expected = level("independent", "mini/a", "ant", design)
    assert direct["mean"] == pytest.approx(100 * expected)
    row = frame[(frame["kind"] == "transfer") & (frame["target"] == "ant")].iloc[0]
    empty = level("empty", row["task"], "ant", design)
    top = level("independent", row["task"], "ant", design)
    assert row["gap_recovered"] == pytest.approx((row["score"] - empty) / (top - empty))


@pytest.mark.slow
def test_a_planned_target_is_known_before_anything_reached_it(tmp_path):
    import json

    build(tmp_path, DESIGN, keep=lambda cell: cell.kind != "transfer")
    meta = json.loads((tmp_path / "sweep.json").read_text())
    assert not load(tmp_path)["direct"].any()
    meta["spec"] = {"targets": ["elk"]}
    (tmp_path / "sweep.json").write_text(json.dumps(meta))
    assert set(load(tmp_path).query("direct")["target"]) == {"elk"}


def test_the_finding_states_the_planted_ceiling(frame):
    text = gap_finding(frame, "elk", choose(frame))
    direct = sum(level("independent", name) for name in tasks(frame)) / 3
    empty = sum(level("empty", name) for name in tasks(frame)) / 3
    assert f"reaches {100 * direct:.1f} on average over 3 tasks (Direct)" in text
    assert f"where Empty has {100 * empty:.1f}." in text
    # Single 0.55, Baseline 0.60, Ours 0.65 between 0.40 and 0.90.
    assert "Single 30 %, Baseline 40 %, Ours 50 %." in text


@pytest.mark.slow
def test_the_report_shows_it(tmp_path: Path):
    from analysis import write_report

    build(tmp_path, Design(("ant", "bee"), tasks=("mini/a",), weights=(0.0, 0.3), direct=True))
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "Share of the gap to Direct that is recovered" in text
    assert "Of the gap between them, the transfer recovers: Single " in text
    assert ">Direct</th>" in text
    assert "Scores after calibration" not in text
    results = pd.read_csv(tmp_path / "results.csv")
    assert results["gap_recovered"].notna().sum() == (results["kind"] == "transfer").sum()


def test_a_share_below_0_is_said_in_words():
    assert recovered(-1.05) == "nothing (worse than Empty)"
    assert recovered(0.304) == "30 %" and recovered(-0.001) == "0 %"


def test_percentages():
    assert percent(-3.4) == f"{MINUS}3 %"
    assert percent(-0.2) == "0 %"
    assert percent(float("nan")) == "–"
