import re
import xml.etree.ElementTree as ElementTree

import pytest

from analysis import load
from analysis.contrasts.selection import choose
from analysis.soft.figures import (
    gain_heatmap,
    similarity_points,
    similarity_scatter,
    weight_curve,
    weight_curves,
)
from tests.analysis.builder import Design, build, cells_of, score_of
from tests.analysis.shown import drawn

FIGURES = {
    "heatmap": lambda frame, fmt: drawn(gain_heatmap, frame, "elk", choose(frame), fmt=fmt),
    "curves": lambda frame, fmt: drawn(weight_curves, frame, "elk", choose(frame), fmt=fmt),
    "scatter": lambda frame, fmt: drawn(similarity_scatter, frame, "elk", fmt=fmt),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_vector_or_pixel_files(full_frame, name):
    draw = FIGURES[name]
    svg = draw(full_frame, "svg")
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg")
    assert not re.search(rb'(?:href|src)="(?!#|data:)', svg)
    assert draw(full_frame, "svg") == svg
    assert draw(full_frame, "png").startswith(b"\x89PNG")


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_to_draw_gives_none(full_frame, name):
    references = full_frame[full_frame["kind"] != "transfer"]
    assert FIGURES[name](references, "svg") is None


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_partial_sweeps_and_hostile_names(tmp_path, name):
    design = Design(
        sources=("a$b$", "<i>&", "名前"),
        tasks=("$\\frac{1}$", "x" * 60),
        seeds=(0,),
        weights=(0.0, 0.3, None),
    )
    build(tmp_path, design, keep=lambda cell: cell.row != "baseline" or "a$b$" in cell.sources)
    ElementTree.fromstring(FIGURES[name](load(tmp_path), "svg"))


@pytest.mark.slow
@pytest.mark.parametrize("rows", [["single"], ["baseline"], ["ours"], ["single", "ours"]])
def test_each_row_can_be_missing(full_frame, rows):
    frame = full_frame[full_frame["row"].isin(["empty", *rows])]
    assert FIGURES["heatmap"](frame, "svg")
    assert FIGURES["scatter"](frame, "svg")
    assert (FIGURES["curves"](frame, "svg") is None) == (rows == ["single"])


@pytest.mark.slow
def test_no_empty_row_no_gain_to_draw(full_frame, tmp_path):
    build(tmp_path, Design(tasks=("mini/a",), seeds=(0,)), keep=lambda cell: cell.row != "empty")
    frame = load(tmp_path)
    assert FIGURES["heatmap"](frame, "svg") is None
    assert FIGURES["curves"](frame, "svg")


@pytest.mark.slow
def test_the_curve_is_the_mean_over_tasks_and_seeds(full_frame):
    rows = full_frame[
        full_frame["row"].isin(["baseline", "ours"]) & (full_frame["sources"] == "ant+bee")
    ]
    curve = weight_curve(rows)
    design = Design()
    for line in curve.itertuples():
        split = "test" if line.split == "score" else "validation"
        scores = [
            100 * score_of(cell, design, split)
            for cell in cells_of(design)
            if cell.row in ("baseline", "ours")
            and cell.sources == ("ant", "bee")
            and ("annealing" if cell.weight is None else f"{cell.weight:g}") == line.weight_label
        ]
        assert len(scores) == 9
        assert line.mean == pytest.approx(sum(scores) / 9)
    labels = ["0", "0.1", "0.3", "0.5", "0.7", "0.9", "annealing"]
    assert list(curve.loc[curve["split"] == "score", "weight_label"]) == labels


def test_a_weight_that_lacks_a_task_is_not_drawn(full_frame):
    rows = full_frame[
        full_frame["row"].isin(["baseline", "ours"]) & (full_frame["sources"] == "ant+bee")
    ]
    lacking = rows[~((rows["weight_label"] == "0.5") & (rows["task"] == "mini/a"))]
    assert "0.5" not in set(weight_curve(lacking)["weight_label"])


def test_scatter_points_are_seed_means(full_frame):
    means = similarity_points(full_frame, "elk")
    assert len(means) == 3 * (4 + 6 * 7)
    line = means.iloc[0]
    rows = full_frame[
        (full_frame["kind"] == "transfer")
        & (full_frame["row"] == line["row"])
        & (full_frame["sources"] == line["sources"])
        & (full_frame["weight_label"] == line["weight_label"])
        & (full_frame["task"] == line["task"])
    ]
    assert len(rows) == 3
    assert line["similarity"] == pytest.approx(rows["similarity"].mean())
