"""Several sweeps in one page."""

from pathlib import Path

import pytest

from analysis import load
from analysis.contrasts.selection import at_choices, choose
from analysis.data.results import read
from analysis.report.comparison import (
    common_cells,
    headline_numbers,
    render_comparison,
    sweep_names,
    write_comparison,
)
from analysis.report.outputs import write_outputs
from tests.analysis.builder import Design, build
from trainables.errors import InputError

DESIGN = Design(("ant", "bee", "cat"), tasks=("mini/a", "mini/b"), weights=(0.0, 0.3), seeds=(0, 1))
MORE = 0.02


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two sweeps of one design; the second scores two points more wherever it carried over."""
    folder = tmp_path_factory.mktemp("pair")

    def alter(cell, record):
        if cell.kind == "transfer":
            record["result"]["score"] += MORE

    build(folder / "one", DESIGN)
    build(folder / "two", DESIGN, alter=alter)
    return folder / "one", folder / "two"


@pytest.mark.slow
def test_the_planted_difference_is_found_on_every_common_cell(pair) -> None:
    one, two = map(load, pair)
    both = common_cells(one, two)
    moved = one[one["kind"] == "transfer"]
    wanted = len(moved[moved["row"] != "ours"]) + len(at_choices(one, choose(one)))
    assert len(both) == wanted
    assert both["difference"].tolist() == pytest.approx([100 * MORE] * wanted)


@pytest.mark.slow
def test_common_cells_are_those_a_slow_reading_finds(pair) -> None:
    one, two = map(load, pair)
    two = two[(two["task"] == "mini/a") & (two["seed"] != 1)]
    both = common_cells(one, two)
    for line in both.to_dict("records"):
        rows = one[(one["row"] == line["row"]) & (one["sources"] == line["sources"])
                   & (one["task"] == line["task"]) & (one["target"] == line["target"])
                   & (one["seed"] == line["seed"]) & (one["kind"] == "transfer")]  # fmt: skip
        assert line["one"] == pytest.approx(100 * rows["score"].mean())
    assert set(both["task"]) == {"mini/a"}
    assert set(both["seed"]) == {0}


@pytest.mark.slow
def test_headlines_stand_side_by_side(pair) -> None:
    one, two = map(load, pair)
    table = headline_numbers({"a": one, "b": two}).set_index("number")
    gain = table.loc["Baseline − Empty (soft)"]
    assert gain["b"] - gain["a"] == pytest.approx(100 * MORE)
    rows = one[one["row"] == "baseline"]
    assert gain["a"] == pytest.approx(100 * rows["gain_over_empty"].mean())


@pytest.mark.slow
def test_the_page_says_the_difference_and_loads_nothing(pair, tmp_path: Path) -> None:
    path = write_comparison(pair, tmp_path / "both.html")
    text = path.read_text(encoding="utf-8")
    assert "made up (2) minus made up is +2.0 points" in text
    assert "http:" not in text and "https:" not in text and "<script" not in text
    assert len(text) < 5_000_000


@pytest.mark.slow
def test_sweeps_with_nothing_in_common_say_so(pair, tmp_path: Path) -> None:
    build(tmp_path, Design(("dog", "fox"), ("gnu",), ("mini/a",), (0.0, 0.3), (0,)))
    text = render_comparison([read(pair[0]), read(tmp_path)])
    assert "No cell is common" in text


@pytest.mark.slow
def test_names_are_told_apart(pair) -> None:
    sweeps = [read(folder) for folder in (*pair, pair[0])]
    assert sweep_names(sweeps) == ["made up", "made up (2)", "made up (3)"]


@pytest.mark.slow
def test_options_that_do_not_go_together(pair, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="allowed: one folder with them"):
        write_outputs(pair, formats=["csv"])
    with pytest.raises(InputError, match="--to: found with one folder"):
        write_outputs(pair[:1], to=tmp_path / "x.html")
    assert write_outputs(pair, "task", to=tmp_path / "x.html")
    with pytest.raises(InputError, match="--to: found"):
        write_outputs(pair, to=tmp_path / "none" / "x.html")


@pytest.mark.slow
def test_parts_of_one_sweep(pair) -> None:
    written = write_outputs(pair[:1], formats=["latex"])
    assert written == [pair[0] / "tables"]
    assert {path.suffix for path in written[0].iterdir()} == {".tex"}
    assert not (pair[0] / "report.html").exists()


def test_settings_are_listed_as_people_write_them() -> None:
    from analysis.report.comparison import _flat

    spec = {
        "pairs": [["A", "B"], ["A", "C"]],
        "seeds": [0, 1],
        "transfer": {"anchors": None},
        "methods": {
            "soft": {"variants": [{"weight": 0, "steps": 4}, {"weight": 0.5, "steps": 4}]},
            "random": "used",
        },
    }
    assert _flat(spec) == {
        "pairs": "A+B, A+C",
        "seeds": "0, 1",
        "transfer.anchors": "–",
        "methods.soft.weight": "0, 0.5",
        "methods.soft.steps": "4",
        "methods.random": "used",
    }
