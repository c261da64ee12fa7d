import math
import statistics
from functools import cache

import pytest

from analysis import load
from analysis.contrasts.selection import choose
from analysis.present.exhibits import Table
from analysis.present.formats import FORMATS
from analysis.present.grid import DASH, points, span
from analysis.present.words import ALL_TASKS
from analysis.soft.tables import (
    averaged_joint,
    difference_grid,
    difference_table,
    metrics,
    paired_differences,
    score_grid,
    source_table,
    tasks,
    transfer_table,
)
from analysis.stats.intervals import t_interval, t_quantile
from tests.analysis.builder import Design, build, cells_of, score_of
from tests.analysis.shown import to_frame
from trainables.core.cells import Cell

T_95_TWO_DEGREES = 4.302652729911275


def planted(row: str, target: str, sources: str, label: str, task: str) -> list[float]:
    """Test scores in points by seed, by a loop over the plan."""
    return [
        100 * score_of(cell, Design(), "test")
        for cell in plan()
        if (cell.row, cell.target, "+".join(cell.sources), cell.task)
        == (row, target, sources, task)
        and (row not in ("ours", "joint") or str(cell.weight or "annealing") == label)
    ]


@cache
def plan() -> list[Cell]:
    return list(cells_of(Design()))


@pytest.fixture(scope="module")
def choices(full_frame):
    return choose(full_frame)


def test_means_deviations_and_n_by_slow_loops(full_frame, choices):
    table = transfer_table(full_frame, "elk", choices)
    assert set(table["row"]) == {"empty", "manual", "constant", "single", "baseline", "ours"}
    # 3 references, 4 singles and two rows for each of 6 pairs; 3 tasks and their mean.
    assert len(table) == (3 + 4 + 2 * 6) * 4
    for line in table.itertuples():
        names = tasks(full_frame) if line.task == ALL_TASKS else [line.task]
        by_task = [
            planted(line.row, "elk", line.sources, line.weight_label, name) for name in names
        ]
        scores = [sum(values) / len(values) for values in zip(*by_task, strict=True)]
        assert line.n == len(scores)
        assert line.mean == pytest.approx(sum(scores) / len(scores), abs=1e-9)
        if line.n > 1:
            assert line.sd == pytest.approx(statistics.stdev(scores), abs=1e-9)
        else:
            assert math.isnan(line.sd)


def test_rows_stand_in_the_order_of_the_glossary(full_frame, choices):
    table = transfer_table(full_frame, "elk", choices)
    order = list(dict.fromkeys(zip(table["group"], table["row"], strict=True)))
    assert order[:5] == [
        ("references", "empty"), ("references", "manual"), ("references", "constant"),
        ("ant", "single"), ("bee", "single"),
    ]  # fmt: skip
    assert order[7:11] == [
        ("ant+bee", "baseline"), ("ant+bee", "ours"), ("ant+cat", "baseline"), ("ant+cat", "ours"),
    ]  # fmt: skip


def test_paired_differences_and_their_interval(full_frame, choices):
    pairs = paired_differences(full_frame, "elk", choices)
    assert len(pairs) == 6 * 3 * 3
    table = difference_table(pairs)
    line = table[(table["sources"] == "ant+bee") & (table["task"] == "mini/b")].iloc[0]
    label = choices["elk", "ant+bee"].weight_label
    ours = planted("ours", "elk", "ant+bee", label, "mini/b")
    baseline = planted("baseline", "elk", "ant+bee", "0", "mini/b")
    differences = [a - b for a, b in zip(ours, baseline, strict=True)]
    mean = sum(differences) / 3
    half = T_95_TWO_DEGREES * statistics.stdev(differences) / math.sqrt(3)
    assert line["mean"] == pytest.approx(mean, abs=1e-9)
    assert (line["low"], line["high"]) == pytest.approx((mean - half, mean + half), abs=1e-9)
    assert line["n"] == 3


def test_only_common_seeds_are_paired(full_frame, choices):
    lacking = full_frame[~((full_frame["row"] == "baseline") & (full_frame["seed"] == 0))]
    pairs = paired_differences(lacking, "elk", choices)
    assert set(pairs["seed"]) == {1, 2}
    assert set(difference_table(pairs)["n"]) == {2}


def test_bold_marks_the_better_of_baseline_and_ours_only(full_frame, choices):
    frame = full_frame.copy()
    worse = (frame["sources"] == "ant+bee") & (frame["row"] == "ours") & (frame["task"] == "mini/a")
    frame.loc[worse, "score"] = 0.1
    same = (frame["sources"] == "ant+cat") & frame["row"].isin(["ours", "baseline"])
    frame.loc[same, "score"] = 0.7
    table = transfer_table(frame, "elk", choices)
    better = {(line.group, line.task): line.row for line in table[table["better"]].itertuples()}
    assert set(better.values()) == {"baseline", "ours"}
    assert better["ant+bee", "mini/a"] == "baseline"
    assert better["ant+bee", "mini/b"] == "ours"
    assert ("ant+cat", "mini/a") not in better
    assert len(table[table["better"]]) == len(better)
    alone = transfer_table(frame[frame["row"] != "baseline"], "elk", choices)
    assert not alone["better"].any()


def test_the_flag_needs_most_seeds_and_spares_the_constant(full_frame, choices):
    frame = full_frame.copy()
    here = (frame["row"] == "single") & (frame["task"] == "mini/a")
    frame.loc[here & (frame["sources"] == "ant") & (frame["seed"] < 2), "degenerate"] = True
    frame.loc[here & (frame["sources"] == "bee") & (frame["seed"] < 1), "degenerate"] = True
    table = transfer_table(frame, "elk", choices)
    flagged = {(line.group, line.task) for line in table[table["flagged"]].itertuples()}
    assert flagged == {("ant", "mini/a")}
    grid = to_frame(score_grid(table, tasks(frame), metrics(frame)))
    ant = grid[(grid["Tuned on"] == "ant") & (grid["Row"] == "Single")].iloc[0]
    assert ant["mini/a"].endswith("†")
    assert not ant["mini/b"].endswith("†")


@pytest.mark.slow
def test_the_source_side(full_frame, choices):
    table = source_table(full_frame, choices)
    rows = table[(table["group"] == "ant") & (table["task"] == "mini/a")]
    assert list(rows["row"]) == ["empty", "manual", "constant", "independent"] + ["joint"] * 3
    average = averaged_joint(table, full_frame, choices)
    line = average[
        (average["group"] == "ant") & (average["row"] == "joint") & (average["task"] == "mini/a")
    ].iloc[0]
    by_pair = [
        planted("joint", "ant", pair, choices["elk", pair].weight_label, "mini/a")
        for pair in ("ant+bee", "ant+cat", "ant+dog")
    ]
    by_seed = [sum(values) / 3 for values in zip(*by_pair, strict=True)]
    assert line["mean"] == pytest.approx(sum(by_seed) / 3)
    assert line["sd"] == pytest.approx(statistics.stdev(by_seed))
    assert line["n"] == 3
    grid = to_frame(score_grid(average, tasks(full_frame), metrics(full_frame), "Model"))
    assert list(grid["Row"][:5]) == ["Empty", "Manual", "Constant", "Independent", "Joint"]
    detail = to_frame(score_grid(table, tasks(full_frame), metrics(full_frame), "Model"))
    assert "Joint λ=0.3 with bee" in set(detail["Row"])


def test_text_of_one_line(full_frame, choices):
    table = transfer_table(full_frame, "elk", choices)
    grid = to_frame(score_grid(table, tasks(full_frame), metrics(full_frame)))
    line = grid[(grid["Tuned on"] == "ant + bee") & (grid["Row"] == "Ours λ=0.3")].iloc[0]
    scores = planted("ours", "elk", "ant+bee", "0.3", "mini/a")
    assert line["mini/a"] == f"{sum(scores) / 3:.1f} ± {statistics.stdev(scores):.1f}"
    assert line["n"] == "3"
    empty = grid[grid["Row"] == "Empty"].iloc[0]
    assert (empty["Tuned on"], empty["mini/a"], empty["n"]) == ("no tuned prompt", "40.0", "1")


@pytest.mark.slow
def test_one_seed_shows_a_dash_for_the_deviation_and_no_interval(tmp_path):
    build(tmp_path, Design(seeds=(0,), tasks=("mini/a",)))
    frame = load(tmp_path)
    choices = choose(frame)
    table = transfer_table(frame, "elk", choices)
    grid = to_frame(score_grid(table, tasks(frame), metrics(frame)))
    assert list(grid.columns) == ["Tuned on", "Row", "mini/a", "n"]
    assert grid[grid["Row"] == "Baseline"]["mini/a"].str.endswith(f"± {DASH}").all()
    differences = difference_table(paired_differences(frame, "elk", choices))
    text = to_frame(difference_grid(differences, tasks(frame), metrics(frame)))
    assert not text["mini/a"].str.contains(r"\[").any()
    assert not differences["direction"].any()


def test_n_is_named_where_it_differs(full_frame, choices):
    lost = (
        (full_frame["row"] == "single")
        & (full_frame["sources"] == "ant")
        & (full_frame["task"] == "mini/b")
    )
    lacking = full_frame[~(lost & (full_frame["seed"] == 2))]
    table = transfer_table(lacking, "elk", choices)
    grid = to_frame(score_grid(table, tasks(lacking), metrics(lacking)))
    line = grid[(grid["Tuned on"] == "ant") & (grid["Row"] == "Single")].iloc[0]
    assert line["n"] == "3"
    assert line["mini/b"].endswith("(n=2)")
    assert line["mean"].endswith("(n=2)")
    gone = full_frame[~lost]
    grid = to_frame(score_grid(transfer_table(gone, "elk", choices), tasks(gone), metrics(gone)))
    line = grid[(grid["Tuned on"] == "ant") & (grid["Row"] == "Single")].iloc[0]
    assert (line["mini/b"], line["mean"]) == (DASH, DASH)


def test_markdown_and_html_say_the_same_and_escape(full_frame, choices):
    frame = full_frame.copy()
    frame["task"] = frame["task"].replace({"mini/a": "<b>|x"})
    table = transfer_table(frame, "elk", choices)
    grid = score_grid(table, tasks(frame), metrics(frame))
    shown = Table("name", "A <caption>", grid, table)
    html, text = FORMATS["html"][1](shown), FORMATS["markdown"][1](shown)
    assert "&lt;b&gt;|x" in html
    assert "<b>|x" not in html
    assert "A &lt;caption&gt;" in html
    assert "\\<b\\>\\|x (accuracy)" in text
    lines = text.splitlines()[2:]
    assert len(lines) == 2 + len(grid.lines)
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    for entry in grid.lines[-1].entries:
        assert entry.text in html and entry.note in html
        assert entry.text in lines[-1]
    assert f"**{grid.lines[-1].entries[0].text}**" in lines[-1]


@pytest.mark.parametrize(
    ("value", "signed", "text"),
    [(-0.04, True, "+0.0"), (-1.26, False, "−1.3"), (2.0, True, "+2.0"), (math.nan, True, "–")],
)
def test_points(value, signed, text):
    assert points(value, signed) == text


def test_intervals():
    # Published quantiles of Student's t.
    assert t_quantile(2) == pytest.approx(4.302653, abs=1e-6)
    assert t_quantile(4) == pytest.approx(2.776445, abs=1e-6)
    found = t_interval([1.0, 2.0, 3.0, float("nan")])
    half = T_95_TWO_DEGREES / math.sqrt(3)
    assert (found.mean, found.n) == (2.0, 3)
    assert found.low == pytest.approx(2 - half)
    assert found.direction == 0
    assert t_interval([5.0, 5.1, 5.2]).direction == 1
    assert t_interval([-5.0, -5.1, -5.2]).direction == -1
    # No spread is no evidence of certainty.
    assert t_interval([5.0, 5.0]).direction == 0
    assert t_interval([1.0]).n == 1
    assert math.isnan(t_interval([]).mean)
    assert span(math.nan, 1.0) == ""
