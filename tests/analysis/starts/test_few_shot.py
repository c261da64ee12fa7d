"""Starts by number of examples, against a slow reading of every line of the table."""

import math
from pathlib import Path
from statistics import mean, stdev

import pandas as pd
import pytest

from analysis.data.results import read
from analysis.present.exhibits import Figure, Table
from analysis.starts.few_shot import (
    WORDS,
    beside_words,
    few_shot_table,
    spreads,
    started_rows,
)
from analysis.starts.section import task_section
from analysis.stats.intervals import t_interval
from sweep.testing.simulated import simulate_sweep
from tests.sweep.samples import plan_of

SHOTS, ORIGINS, TASKS, SEEDS = (4, 8, None), ("p", "q"), ("x", "y"), 3
SECTION = {
    "source_tasks": list(ORIGINS), "sources_only": True, "restarts": False, "controls": ["mask"],
    "source_settings": {"steps": 9, "template": "none"},
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = {
        "lambda": [0], "steps": 4, "evaluations": 2, "shots": list(SHOTS),
        "template": ["none", "all"], "init": "vocabulary",
    }  # fmt: skip
    plan = plan_of(
        sources=["A", "B"], targets=["A"], pairs=[], tasks=[*ORIGINS, *TASKS], seeds=SEEDS,
        methods={"soft": settings}, task_transfer=SECTION,
    )  # fmt: skip
    place = tmp_path_factory.mktemp("few")
    assert not simulate_sweep(plan, place).failures
    return place


@pytest.fixture(scope="module")
def frame(folder: Path) -> pd.DataFrame:
    return read(folder).frame


def score(
    frame: pd.DataFrame,
    start: str,
    model: str,
    task: str,
    few: int | None,
    template: str,
    seed: int,
) -> float:
    """The score of the one cell that this is."""
    found = []
    for row in frame.to_dict("records"):
        same = (row["target"], row["task"], row["seed"]) == (model, task, seed)
        if not same or f'"template": "{template}"' not in row["settings"]:
            continue
        here = None if pd.isna(row["shots"]) else int(row["shots"])
        if start in ORIGINS:
            wanted = row["row"] == "continued" and row["origin"] == start
        else:
            init = "vocabulary" if start == WORDS else start
            wanted = row["row"] == "independent" and row["init"] == init
        if wanted and here == few:
            found.append(row["score"])
    (only,) = found
    return float(only)


def test_every_line_is_what_slow_loops_find(frame: pd.DataFrame) -> None:
    table = few_shot_table(beside_words(started_rows(frame)))
    assert len(table) == 2 * 4 * 4
    for template in ("none", "all"):
        for start in (*ORIGINS, "mask"):
            logs_of: dict[tuple[str, str], list[float]] = {}
            gains_of = []
            for few in SHOTS:
                scores, gains, spread, logs = [], [], [], []
                for model in "AB":
                    for task in TASKS:
                        at = (model, task, few, template)
                        mine = [score(frame, start, *at, seed) for seed in range(SEEDS)]
                        words = [score(frame, WORDS, *at, seed) for seed in range(SEEDS)]
                        scores += mine
                        gains += [100 * (a - b) for a, b in zip(mine, words, strict=True)]
                        spread.append(100 * stdev(mine))
                        logs.append(math.log(stdev(mine) / stdev(words)))
                        logs_of.setdefault((model, task), []).append(logs[-1])
                gains_of += gains
                number = math.inf if few is None else few
                here = table[(table["start"] == start) & (table["shots"] == number)]
                row = here[here["variant"] == f"template {template}"].iloc[0]
                assert row["n"] == len(scores) == 12
                assert row["score"] == pytest.approx(100 * mean(scores))
                assert row["gain"] == pytest.approx(mean(gains))
                assert row["gain_low"] < row["gain"] < row["gain_high"]
                assert row["spread"] == pytest.approx(mean(spread))
                assert row["ratio"] == pytest.approx(math.exp(mean(logs)))
                ends = t_interval(logs)
                assert math.log(row["ratio_low"]) == pytest.approx(ends.low)
                assert math.log(row["ratio_high"]) == pytest.approx(ends.high)
            here = table[(table["start"] == start) & table["shots"].isna()]
            row = here[here["variant"] == f"template {template}"].iloc[0]
            assert row["gain"] == pytest.approx(mean(gains_of))
            assert row["ratio"] == pytest.approx(math.exp(mean(map(mean, logs_of.values()))))
            assert row["units"] == 4


def test_seeds_that_do_not_differ_have_no_ratio() -> None:
    rows = [
        ("A", "x", seed, 0, "", 4.0, start, value)
        for start, values in ((WORDS, (0.5, 0.6)), ("p", (0.7, 0.7)))
        for seed, value in enumerate(values)
    ]
    names = ["target", "task", "seed", "draw", "variant", "shots", "start", "score"]
    both = beside_words(pd.DataFrame(rows, columns=names))
    found = spreads(both).set_index("start")
    assert found.loc["p", "spread"] == 0
    assert math.isnan(found.loc["p", "log_ratio"])
    assert few_shot_table(both).set_index("start").loc["p", "units"] == 0


def test_the_section(folder: Path, frame: pd.DataFrame) -> None:
    section = task_section(frame, folder)
    assert section is not None
    said = " ".join(text for part in section.parts for text in part.texts)
    assert "From p (template none):" in said and "From mask (template all):" in said
    assert "times that of words" in said
    exhibits = [item for part in section.parts for item in part.exhibits]
    (table,) = (item for item in exhibits if isinstance(item, Table) and item.name == "few_shot")
    assert [line.label for line in table.grid.lines][:4] == ["4", "8", "all", "any"]
    figures = [item for item in exhibits if isinstance(item, Figure) and "few_shot" in item.name]
    assert len(figures) == 2 * 2
    assert all(item.image() for item in figures)


def test_without_few_examples_nothing_is_said(tmp_path: Path) -> None:
    plan = plan_of(
        sources=["A"], targets=["A"], pairs=[], tasks=["p", "x"], seeds=2,
        methods={"soft": {"lambda": [0], "steps": 4, "evaluations": 2}},
        task_transfer={"source_tasks": ["p"], "sources_only": True},
    )  # fmt: skip
    simulate_sweep(plan, tmp_path)
    section = task_section(read(tmp_path).frame, tmp_path)
    assert section is not None
    assert "Few examples" not in [part.title for part in section.parts]
