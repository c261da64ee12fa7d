import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.effects import (
    case_means,
    effect_table,
    hard_differences,
    holm,
    overall,
    paired,
    soft_differences,
    superiority,
    welch_counts,
    wilcoxon_p,
    win_tie_loss,
)
from analysis.results import load
from analysis.selection import choose
from analysis.tables import paired_differences
from tests.analysis.builder import Design, Hard, build
from tests.analysis.paper_a_values import dual_sources
from tests.analysis.planted import Planted, planted


def test_paper_a_counts() -> None:
    assert welch_counts(dual_sources()) == {
        "up": 25, "down": 21, "equal": 3, "significant_up": 1, "significant_down": 5,
    }  # fmt: skip


def test_holm_by_hand() -> None:
    found = holm(np.array([0.01, 0.04, math.nan, 0.03, 0.005]))
    assert found == pytest.approx([0.03, 0.06, math.nan, 0.06, 0.02], nan_ok=True)


def test_holm_as_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p = np.random.default_rng(0).uniform(size=30) ** 3
    assert holm(p) == pytest.approx(multitest.multipletests(p, method="holm")[1])


def test_wilcoxon_of_six_differences_by_counting_signs() -> None:
    differences = np.array([1.0, -2.0, 3.0, 4.0, 5.0, 6.0])
    ranks = np.abs(differences).argsort().argsort() + 1
    statistic = min(ranks[differences > 0].sum(), ranks[differences < 0].sum())
    sums = [sum(rank for rank, up in zip(ranks, signs, strict=True) if up)
            for signs in itertools.product([0, 1], repeat=6)]  # fmt: skip
    assert wilcoxon_p(differences) == pytest.approx(2 * np.mean(np.array(sums) <= statistic))


def test_wilcoxon_without_any_difference() -> None:
    assert wilcoxon_p(np.zeros(5)) == 1.0
    assert math.isnan(wilcoxon_p(np.zeros(0)))


def test_win_tie_loss_counts_the_ends_as_ties() -> None:
    found = win_tie_loss(np.array([0.6, 0.5, 0.0, -0.5, -0.51]), rope=0.5)
    assert found == {"win": 1, "tie": 3, "loss": 1}


def test_superiority_counts_ties_half() -> None:
    assert superiority(np.array([1.0, 0.0, -1.0, 2.0])) == 0.625


def test_differences_are_those_of_the_tables(tmp_path: Path) -> None:
    build(tmp_path, Design(targets=("elk", "fox")))
    frame = load(tmp_path)
    choices = choose(frame)
    found = soft_differences(frame, choices)
    for target in ("elk", "fox"):
        mine = found[found["target"] == target].set_index(["sources", "task", "seed"])["difference"]
        told = paired_differences(frame, target, choices).set_index(["sources", "task", "seed"])
        assert mine.sort_index().to_numpy() == pytest.approx(
            told["difference"].sort_index().to_numpy()
        )


def test_hard_differences_pair_agreement_with_all_words(tmp_path: Path) -> None:
    build(tmp_path, Design(hard=Hard(s=(16, 64), k=(2, 4))))
    frame = load(tmp_path)
    found = hard_differences(frame)
    moved = frame[frame["kind"] == "transfer"]
    assert len(found) == len(moved[moved["row"] == "agreement"])
    line = found.iloc[-1]
    base = moved[(moved["row"] == "all") & (moved["sources"] == line["sources"])
                 & (moved["task"] == line["task"]) & (moved["target"] == line["target"])
                 & (moved["seed"] == line["seed"])]  # fmt: skip
    assert line["baseline"] == pytest.approx(100 * base["score"].mean())


def test_a_planted_effect_of_one_task_is_found_there_alone() -> None:
    table = planted(Planted(seed=0.1), np.random.default_rng(1))
    table.loc[table["task"] == "t2", "difference"] += 3.0
    found = effect_table(table, ["task"]).set_index("task")
    assert found.loc["t2", "holm"] < 0.001
    assert found.loc["t2", "low"] > 0
    assert (found.drop("t2")["holm"] > 0.05).all()


def test_a_planted_effect_of_a_pair_on_a_task_is_found() -> None:
    table = planted(Planted(noise=0.5), np.random.default_rng(2))
    here = (table["task"] == "t1") & (table["sources"] == "m0+m3")
    table.loc[here, "difference"] += 5.0
    means = case_means(table)
    top = means.loc[means["difference"].idxmax()]
    assert (top["task"], top["sources"], top["n"]) == ("t1", "m0+m3", 5)
    assert top["difference"] == pytest.approx(5.0, abs=1.0)


@pytest.mark.slow
def test_wilcoxon_with_holm_keeps_its_rate_under_the_null() -> None:
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(200):
        table = planted(Planted(models=5, tasks=4, seeds=2), rng)
        means = case_means(table)
        p = [wilcoxon_p(part["difference"].to_numpy()) for _, part in means.groupby("task")]
        wrong += bool((holm(np.array(p)) < 0.05).any())
    assert wrong / 200 <= 0.05 + 0.04


def test_pairs_without_a_partner_are_left_out() -> None:
    ours = pd.DataFrame({"task": ["a", "b"], "score": [0.5, 0.6]})
    found = paired(ours, ours[:1], ["task"])
    assert list(found["task"]) == ["a"]
    assert paired(ours, ours[:0], ["task"]).empty


def test_nothing_to_compare_gives_a_sentence() -> None:
    table = planted(Planted(models=3), np.random.default_rng(0))[:0]
    assert "no result" in overall(table).note
    assert len(effect_table(table, ["task"])) == 1
