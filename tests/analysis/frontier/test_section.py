"""The section, its figure and its place on the page; nothing of it where costs are not known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import load, write_report
from analysis.frontier.figure import shown_lines
from analysis.frontier.lines import field
from analysis.frontier.section import cost_section, costs_and_gains
from analysis.frontier.tables import line_grid, line_table
from analysis.present.exhibits import Figure, Table, exhibits
from tests.analysis.planted_ways import CLOSED, WAYS, Sweep, Way, build_ways, cost, table
from tests.analysis.shown import html

ALL = Way(CLOSED.settings, 0.05, cost(), rows=("single", "baseline"))


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    sweep = Sweep((ALL, *WAYS[1:]), case=0.1, targets=("elk", "fox"), seeds=(0, 1, 2))
    return table(sweep, np.random.default_rng(0))


@pytest.mark.slow
def test_a_line_for_every_way_with_its_price_and_gain(frame):
    lines = field(frame).at("elk")
    numbers = line_table(lines, lines.worthy)
    plain = numbers[~numbers["calibrated"]]
    assert set(plain["line"]) == {
        *("Empty", "Manual", "Constant", "source", "closed_form", "closed_form (Baseline)"),
        *("readout", "distil sources 15", "distil sources 30", "distil sources 60", "proxy"),
        *("tune", "distil own 60, no source", "Direct"),
    }
    at = plain.set_index("line")
    assert at.loc["readout", "share_low"] < 0.6 < at.loc["readout", "share_high"]
    assert at.loc["proxy", "source"] and not at.loc["readout", "source"]
    assert at.loc["closed_form (Baseline)", "cases"] == 6 * 3
    grid = line_grid(numbers, "Empty + calibration")
    assert len(grid.lines) == plain["line"].nunique()
    assert all(len(line.entries) == len(grid.columns) for line in grid.lines)


@pytest.mark.slow
def test_the_figure_shows_ways_after_calibration_and_empty_with_and_without(frame):
    lines = field(frame).at("elk")
    shown = shown_lines(line_table(lines, lines.worthy))
    counts = shown["line"].value_counts()
    assert counts["Empty"] == 2 and counts.drop("Empty").max() == 1
    assert shown.loc[shown["line"] == "readout", "calibrated"].all()


@pytest.mark.slow
def test_all_targets_and_each_have_a_figure_and_tables(frame):
    every = costs_and_gains(frame)
    section = cost_section(every)
    assert section is not None
    names = [item.name for item in exhibits([section], Figure)]
    assert names == ["cost_and_gain_all", "cost_and_gain_elk", "cost_and_gain_fox"]
    tables = {item.name for item in exhibits([section], Table)}
    assert {"costs_all", "costs_elk", "frontier_fox", "cheap_all"} <= tables
    text = html([section])
    assert "Cost and gain" in text
    assert text.count("What validation chooses, mean over source sets") == 3


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["nothing", "Direct", "Direct and seeds"])
def test_figures_are_drawn_whatever_is_missing(frame, lost):
    if lost != "nothing":
        frame = frame[~frame["direct"]]
    if lost == "Direct and seeds":
        frame = frame[(frame["seed"].isna()) | (frame["seed"] == 0)]
    section = cost_section(costs_and_gains(frame))
    assert section is not None
    images = [item.image() for item in exhibits([section], Figure)]
    assert all(image is not None and b"<svg" in image for image in images)


def test_without_costs_there_is_no_section(full_frame):
    assert costs_and_gains(full_frame) == []
    assert cost_section([]) is None


def test_a_report_without_costs_says_nothing_of_them(full_report):
    assert "Cost and gain" not in full_report and "What validation chooses" not in full_report
    assert "row equivalents" not in full_report


@pytest.mark.slow
def test_the_report_has_its_figure_beside_the_verdict(tmp_path: Path):
    build_ways(tmp_path, Sweep((ALL, *WAYS[1:]), tasks=("mini/a", "mini/b"), seeds=(0, 1, 2)))
    text = write_report(tmp_path).read_text(encoding="utf-8")
    figure = text.index('alt="Work on the target')
    assert text.index('<section id="verdict">') < figure < text.index('<section id="findings">')
    assert text.count('alt="Work on the target') == 1
    # The ways that carry single prompts alone have no section of their own.
    assert text.count("<h2>Transfer to elk") == 1
    frame = load(tmp_path)
    assert set(frame["row"].dropna()) >= {"own", "single", "baseline"}
