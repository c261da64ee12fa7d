"""Ranks, best of n, stability, importance, and the section of the report made of them all."""

import itertools
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import load
from analysis.contrasts.selection import CRITERIA, at_choices, choose
from analysis.data.results import read
from analysis.dependence.dependence import dependence
from analysis.dependence.figures import (
    best_of_n_curve,
    critical_difference_diagram,
    interaction_plot,
    variance_bars,
)
from analysis.dependence.section import dependence_sections
from analysis.dependence.stability import ROWS, family_numbers, leave_one_out
from analysis.present.drawing import drawing, encoded
from analysis.present.grid import points
from analysis.report.page import render
from analysis.stats.best_of_n import best_of_n
from analysis.stats.importance import against_noise
from analysis.stats.ranks import ranking
from analysis.stats.variance import variance_shares
from tests.analysis.builder import Design, Hard, build
from tests.analysis.planted import ledger
from tests.analysis.shown import html
from tests.analysis.stats.test_ranks import blocks
from tests.pace import slowness


@pytest.fixture(scope="module")
def sweep() -> pd.DataFrame:
    return ledger(5, 4, 2, 3, np.random.default_rng(0))


@pytest.fixture(scope="module")
def few() -> pd.DataFrame:
    return ledger(4, 3, 1, 2, np.random.default_rng(0))


def test_best_of_n_as_all_subsets() -> None:
    scores = [(0.2, 0.5), (0.4, 0.3), (0.6, 0.9), (0.8, 0.1)]
    table = pd.DataFrame(scores, columns=["validation_score", "score"])
    table = table.assign(target="g", task="t", seed=0)
    found = best_of_n(table).set_index("n")
    for n in range(1, 5):
        subsets = list(itertools.combinations(scores, n))
        assert found.loc[n, "chosen"] == pytest.approx(np.mean([max(s)[1] for s in subsets]))
        oracle = np.mean([max(score for _, score in s) for s in subsets])
        assert found.loc[n, "oracle"] == pytest.approx(oracle)
    assert best_of_n(table[:0]).empty


def test_headline_and_dependence_give_one_interval(full_folder: Path, full_report: str) -> None:
    headline = full_report.split("<h2>What transfer depends on")[0]
    section = full_report.split("<h2>What transfer depends on")[1]
    sentence = re.compile(r"Ours − Baseline is [^:]*95 % interval \[[^]]*\][^:]*: [^.]*\.")
    assert sentence.search(headline)[0] == sentence.search(section)[0]  # type: ignore[index]
    del full_folder


@pytest.mark.slow
def test_the_choice_of_weights_reaches_every_part(tmp_path: Path) -> None:
    build(tmp_path, Design(("ant", "bee"), tasks=("mini/a", "mini/b"), weights=(0.0, 0.3, 0.9)))
    sweep = read(tmp_path)
    frame = sweep.frame.copy()
    ours = (frame["row"] == "ours") & (frame["task"] == "mini/a")
    frame.loc[ours & (frame["weight_label"] == "0.9"), "validation_score"] = 0.99
    for by in ("pair", "task"):
        wanted = at_choices(frame, choose(frame, by))
        (item,) = dependence(frame, by)
        assert sorted(item.pairs["cell"]) == sorted(wanted["cell"])
        told = item.stability.set_index("number")["all"].to_dict()
        assert told["Ours − Baseline"] == pytest.approx(item.pairs["difference"].mean())
        text = render(replace(sweep, frame=frame), by, lambda found=item: [found])
        assert text.count(f"is {points(item.pairs['difference'].mean(), signed=True)} points") == 2


@pytest.mark.slow
def test_leaving_one_out_is_a_plain_filter(sweep: pd.DataFrame) -> None:
    without = sweep[~sweep["sources"].str.split("+").map(lambda names: "m2" in names)]
    for by in CRITERIA:
        found = leave_one_out(sweep, by=by).set_index(["number", "name"])
        told = family_numbers(without, by=by)
        assert found.loc[(slice(None), "m2"), "value"].droplevel("name").to_dict() == told
        told = family_numbers(sweep[sweep["task"] != "t1"], by=by)
        assert found.loc[("Ours − Baseline", "t1"), "value"] == told["Ours − Baseline"]


@pytest.mark.slow
def test_a_number_that_rests_on_one_task_is_told(sweep: pd.DataFrame) -> None:
    table = sweep.copy()
    shift = np.where(table["task"] == "t0", 0.3, -0.05)
    table["score"] += np.where(table["row"] == "ours", shift, 0)
    found = leave_one_out(table)
    flips = found[(found["number"] == "Ours − Baseline") & found["flips"]]
    assert list(flips["name"]) == ["t0"]


@pytest.mark.slow
def test_leaving_out_the_only_task_leaves_nothing(sweep: pd.DataFrame) -> None:
    found = leave_one_out(sweep[sweep["task"] == "t0"])
    assert found.loc[found["left_out"] == "task", "value"].isna().all()
    assert leave_one_out(sweep[:0]).empty


def test_importance_without_anything_to_tell(sweep: pd.DataFrame) -> None:
    assert against_noise(sweep[:0]).empty
    assert against_noise(sweep.assign(validation_score=0.5)).empty


@pytest.mark.slow
def test_figures_are_drawn(sweep: pd.DataFrame) -> None:
    shares = variance_shares(sweep, "score", replicates=20)
    ranks = ranking(blocks({"a": 0, "b": 1, "c": 1.1, "d": 2}, 9, 0.5), "row", ["task"])
    with drawing() as new:
        figures = [
            variance_bars(new, shares.table),
            interaction_plot(new, sweep, "score", "task", "sources", "score"),
            critical_difference_diagram(new, ranks),
            best_of_n_curve(new, best_of_n(sweep[sweep["row"] == "ours"])),
        ]
        files = [encoded(figure, "svg") for figure in figures]
    assert all(file.startswith(b"<?xml") for file in files)
    bars = figures[0].axes[0]
    assert len(bars.patches) == len(shares.table)
    assert [bar.get_width() for bar in bars.patches] == pytest.approx(100 * shares.table["share"])
    # Two rows a tenth apart are joined, the best and the worst are not.
    assert sum(line.get_linewidth()[0] == 3 for line in figures[2].axes[0].collections) >= 1


@pytest.mark.slow
def test_the_section_says_what_was_planted(sweep: pd.DataFrame) -> None:
    text = html(dependence_sections(dependence(sweep)))
    assert 'id="dependence-soft"' in text
    plain = re.sub(r"<[^>]+>", " ", text)
    effect = re.search(r"Ours − Baseline is ([+−][\d.]+) points over (\d+) cases", plain)
    assert effect is not None
    assert float(effect[1].replace("−", "-")) == pytest.approx(2.0, abs=0.5)
    assert int(effect[2]) == 10 * 4 * 2
    assert "joint tuning helped." in plain
    assert "Conditional on the settings" in plain
    assert text.count("<figure>") >= 4


@pytest.mark.slow
def test_hard_prompts_have_their_own_section(tmp_path: Path) -> None:
    build(tmp_path, Design(("ant", "bee"), tasks=("mini/a", "mini/b"), weights=(0.0, 0.3),
                           seeds=(0, 1), hard=Hard(s=(16, 64))))  # fmt: skip
    text = html(dependence_sections(dependence(load(tmp_path))))
    assert text.count("<section") == 2
    assert "agreement − all words is" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame[frame["seed"] == 0],
        lambda frame: frame[frame["task"] == "t0"],
        lambda frame: frame[frame["sources"] == "m0+m1"],
        lambda frame: frame[frame["row"] == "ours"],
        lambda frame: frame.sample(frac=0.3, random_state=0),
        lambda frame: frame[:1],
        lambda frame: frame[:0],
        lambda frame: frame.assign(score=0.5, validation_score=0.5, gain_over_empty=0.0),
        lambda frame: frame.assign(gain_over_empty=float("nan")),
    ],
    ids=["seed", "task", "pair", "no baseline", "holes", "one", "none", "equal", "no empty"],
)
def test_degenerate_designs_give_a_section_not_a_crash(few: pd.DataFrame, change: object) -> None:
    frame = change(few)  # type: ignore[operator]
    text = html(dependence_sections(dependence(frame)))
    assert bool(text) == bool(len(frame))
    assert "nan" not in re.sub(r"<[^>]+>", " ", text)
    for family in ROWS:
        leave_one_out(frame, family)


@pytest.mark.slow
def test_many_rows_take_seconds() -> None:
    frame = ledger(20, 7, 1, 5, np.random.default_rng(0))
    start = time.process_time()
    html(dependence_sections(dependence(frame)))
    assert len(frame) > 33_000
    spent = time.process_time() - start
    assert spent < 14 * slowness()
