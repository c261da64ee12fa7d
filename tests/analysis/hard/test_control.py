"""Searches against as many random prompts, by slow loops over the records."""

import statistics
from pathlib import Path

import pandas as pd
import pytest

from analysis import load
from analysis.hard.control import OWN, control_grid, control_pairs, control_table, control_text
from analysis.hard.rows import Block, blocks, hard_rows
from analysis.hard.section import hard_report
from analysis.hard.tables import method_table
from tests.analysis.builder import SCORED, Design, Hard, build

DESIGN = Design(sources=(), weights=(), targets=("elk", "fox"), tasks=("mini/a", "mini/b"),
                hard=Hard(methods=("pez", "rlprompt")))  # fmt: skip


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder: Path = tmp_path_factory.mktemp("control")
    build(folder, DESIGN)
    return load(folder)


@pytest.fixture(scope="module")
def block(frame: pd.DataFrame) -> Block:
    (found,) = (each for each in blocks(hard_rows(frame)) if each.method == "rlprompt")
    return found


def test_differences_are_those_of_the_records(frame: pd.DataFrame, block: Block) -> None:
    table = control_table(block)
    records = frame[frame["method"] == "rlprompt"].to_dict("records")
    assert len(table) == 2 * 2 * 3  # tasks, sources, places
    for line in table.to_dict("records"):
        gains = []
        for seed in DESIGN.seeds:
            score = {}
            for record in records:
                place = OWN if record["kind"] == "source" else record["target"]
                here = (record["task"], record["sources"], place, record["seed"])
                if here == (line["task"], line["sources"], line["place"], seed):
                    score[record["row"]] = 100 * record["score"]
            gains.append(score["all"] - score["drawn"])
        assert line["mean"] == pytest.approx(statistics.fmean(gains))
        assert line["n"] == len(DESIGN.seeds)
        assert line["low"] < line["mean"] < line["high"]
        if line["place"] == OWN:
            assert line["prompts_scored"] == pytest.approx(SCORED + 1)


def test_the_control_is_a_line_of_its_own(frame: pd.DataFrame, block: Block) -> None:
    table = method_table(block, frame, "mini/a", "ant")
    names = list(dict.fromkeys(table["name"]))
    assert names == ["Empty", "Constant", "Random", "Best of random", "RLPrompt"]


def test_the_sentence_counts_cases_and_tries(frame: pd.DataFrame, block: Block) -> None:
    text = control_text(block)
    assert text.startswith("RLPrompt against the best of as many random prompts (101 different")
    assert (
        "on the source above in 4 of 4 cases, by +" in text
        and "carried over above in 8 of 8" in text
    )
    report = hard_report(frame)
    assert report is not None
    assert [
        each for each in report.findings if each.title == "Against as many random prompts: RLPrompt"
    ]
    sections = {each.title: each for each in report.sections}
    assert "Against as many random prompts" in [
        p.title for p in sections["Hard prompts: RLPrompt"].parts
    ]
    grid = control_grid(control_table(block), block)
    assert [head for head, _ in grid.columns] == [OWN, "elk", "fox", "n"]


def test_other_methods_have_none(frame: pd.DataFrame) -> None:
    (pez,) = (each for each in blocks(hard_rows(frame)) if each.method == "pez")
    assert control_text(pez) == "" and control_pairs(pez).empty
