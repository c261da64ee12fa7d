"""Figures over all sources and targets, and as files."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from analysis import load
from analysis.data.results import read
from analysis.present.drawing import drawing
from analysis.present.exhibits import Figure, exhibits
from analysis.report.outputs import write_outputs
from analysis.report.sections import Results, sections
from analysis.soft.transfer_figures import (
    plane,
    prompt_map,
    size_surface,
    slope_chart,
    slopes,
    source_target_heatmap,
    tuned_prompts,
)
from tests.analysis.builder import Design, Hard, build


def labels(figure) -> set[str]:
    return {text.get_text() for axes in figure.axes for text in axes.texts}


def test_the_heatmap_holds_the_means(full_frame: pd.DataFrame) -> None:
    rows = full_frame[(full_frame["kind"] == "transfer") & (full_frame["sources"] == "ant")]
    with drawing() as new:
        figure = source_target_heatmap(new, full_frame)
    mean = 100 * sum(rows["gain_over_empty"]) / len(rows)
    assert f"+{mean:.1f}" in labels(figure)


def test_slopes_are_slow_means(full_frame: pd.DataFrame) -> None:
    (line,) = slopes(full_frame).query("sources == 'bee'").to_dict("records")
    own = full_frame[(full_frame["row"] == "independent") & (full_frame["sources"] == "bee")]
    moved = full_frame[(full_frame["row"] == "single") & (full_frame["sources"] == "bee")]
    assert line["source_score"] == pytest.approx(100 * own["score"].mean())
    assert line["score"] == pytest.approx(100 * moved["score"].mean())
    with drawing() as new:
        assert len(slope_chart(new, full_frame).axes[0].lines) == 4


def test_the_surface_of_s_and_k(tmp_path: Path) -> None:
    build(tmp_path, Design(seeds=(0, 1), tasks=("mini/a",), weights=(0.0,),
                           hard=Hard(s=(16, 64), k=(2, 4))))  # fmt: skip
    with drawing() as new:
        figure = size_surface(new, load(tmp_path))
    assert len([text for text in labels(figure) if text[0] in "+−"]) == 4


def test_nothing_to_draw(full_frame: pd.DataFrame) -> None:
    empty = full_frame[full_frame["kind"] == "reference"]
    with drawing() as new:
        assert source_target_heatmap(new, empty) is None
        assert slope_chart(new, empty) is None
        assert size_surface(new, full_frame) is None
        assert prompt_map(new, full_frame, {}) is None


def test_the_plane_is_that_of_scikit_learn() -> None:
    from sklearn.decomposition import PCA

    points = np.random.default_rng(3).normal(size=(20, 6)) * np.arange(1, 7)
    mine, shares = plane(points)
    model = PCA(2).fit(points)
    theirs = model.transform(points)
    assert np.abs(mine) == pytest.approx(np.abs(theirs))
    assert shares == pytest.approx(model.explained_variance_ratio_)
    alike, none = plane(np.ones((4, 3)))
    assert not alike.any() and not none.any()


@pytest.mark.slow
def test_prompts_are_read_and_drawn(tmp_path: Path) -> None:
    cells = build(tmp_path, Design(("ant", "bee"), tasks=("mini/a",), weights=(0.0, 0.3)))
    generator = np.random.default_rng(0)
    tuned = [cell.id for cell in cells if cell.kind == "source"]
    for name in tuned[1:]:
        path = tmp_path / "prompts" / name[:2] / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"prompt": generator.normal(size=(5, 8)).astype("float32")}, path)
    frame = load(tmp_path)
    found = tuned_prompts(tmp_path, frame)
    assert set(found) == set(tuned[1:])
    assert len(tuned_prompts(tmp_path, frame, most=2)) <= 4
    with drawing() as new:
        assert len(prompt_map(new, frame, found).axes) == 2
    (folder,) = write_outputs([tmp_path], figures=True)
    paths = list(folder.iterdir())
    names = {path.name for path in paths}
    assert {"prompt_map.svg", "prompt_map.png", "slopes.svg", "source_target.png"} <= names
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in paths if path.suffix == ".png")


@pytest.mark.slow
def test_names_of_figures_are_distinct(full_folder: Path) -> None:
    sweep = read(full_folder)
    shown = sections(Results(sweep.frame, sweep=sweep))
    names = [figure.name for figure in exhibits(shown, Figure)]
    assert len(set(names)) == len(names)
