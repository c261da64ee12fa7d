"""What status, points.csv and the report's section say of a search."""

import csv
import json
import random
from pathlib import Path

import pytest

from analysis.report.search import (
    best_so_far,
    importance_frame,
    load_points,
    points_frame,
    search_section,
)
from analysis.stats.importance import beyond_noise
from sweep.commands.search_status import search_lines, search_status
from sweep.search.table import write_points
from tests.analysis.shown import html
from tests.sweep.search.test_agenda import driver, expected_score, searched


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    plan = searched(trials=12)
    with driver(tmp_path, plan) as one:
        one.run(random.Random(1))
        write_points(tmp_path, one.study)
    return tmp_path


@pytest.mark.slow
def test_the_status_of_a_search(folder: Path) -> None:
    plan = searched(trials=12)
    search = json.loads(json.dumps(plan.counts()))
    found = search_status(folder, search)
    assert (found["complete"], found["failed"], found["over"]) == (12, 0, True)
    values = [row["values"]["validation/score"] for row in found["best"]]
    assert values == sorted(values, reverse=True)
    assert len(values) == 5
    table = json.loads((folder / "points.json").read_text())
    best = max(table["points"], key=lambda row: row["values"]["validation/score"])
    assert values[0] == best["values"]["validation/score"]
    assert table["best"] == [best["point"]]
    lines = "\n".join(search_lines(found))
    assert "12 complete (of up to 12 trials)" in lines
    assert f"validation/score {values[0]:.4g}: method {best['method']}" in lines


@pytest.mark.slow
def test_the_table_of_points(folder: Path) -> None:
    rows = list(csv.DictReader((folder / "points.csv").read_text().splitlines()))
    assert len(rows) == 12
    assert {row["method"] for row in rows} == {"soft", "pez"}
    for row in rows:
        own = [name for name in row if name.startswith(f"{row['method']}.")]
        others = [name for name in row if "." in name and name not in own]
        assert any(row[name] for name in own)
        assert not any(row[name] for name in others)
    assert sum(row["best"] == "True" for row in rows) == 1


@pytest.mark.slow
def test_values_are_those_of_the_points(folder: Path) -> None:
    plan = searched(trials=12)
    with driver(folder, plan) as one:
        for outcome in one.study.outcomes():
            plan.open(outcome.point)
            found = outcome.values["validation/score"]
            assert found == pytest.approx(expected_score(plan, outcome.point.key))


@pytest.mark.slow
def test_the_course_of_the_search(folder: Path) -> None:
    found = load_points(folder)
    assert found is not None
    course = best_so_far(points_frame(found), "validation/score", "maximize")
    values = list(course["value"])
    assert list(course["best"]) == [max(values[: n + 1]) for n in range(len(values))]
    down = best_so_far(points_frame(found), "validation/score", "minimize")
    assert list(down["best"]) == [min(values[: n + 1]) for n in range(len(values))]


@pytest.mark.slow
def test_the_section_of_the_report(folder: Path, tmp_path: Path) -> None:
    section = html([search_section(folder)])
    assert section.count("<svg") == 0 and section.count("data:image/svg+xml;base64,") == 1
    assert "12 complete points, chosen by random" in section
    assert "PED-ANOVA" in section
    assert "More than noise" in section and "not compared with noise" not in section
    assert search_section(tmp_path / "nothing") is None


def test_importance_of_an_older_search_stands_without_noise() -> None:
    table = importance_frame({"a": 0.2, "b": 0.8}, {})
    assert list(table["setting"]) == ["b", "a"]
    assert table["bound"].isna().all()
    known = importance_frame({"a": 0.8, "b": 0.2}, {"a": {"mean": 0.3, "bound": 0.5}})
    assert beyond_noise(known).tolist() == [True, False]
