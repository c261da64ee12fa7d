"""What is paired with what, and effects by group."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import load
from analysis.contrasts.effects import (
    case_means,
    effect_table,
    hard_pairs,
    overall,
    paired,
    soft_pairs,
    superiority,
    win_tie_loss,
)
from analysis.contrasts.selection import choose
from analysis.hard.rows import block_parts
from analysis.soft.tables import paired_differences
from tests.analysis.builder import Design, Hard, build
from tests.analysis.planted import Planted, planted


def test_win_tie_loss_counts_the_ends_as_ties() -> None:
    found = win_tie_loss(np.array([0.6, 0.5, 0.0, -0.5, -0.51]))
    assert found == {"win": 1, "tie": 3, "loss": 1}


def test_superiority_counts_ties_half() -> None:
    assert superiority(np.array([1.0, 0.0, -1.0, 2.0])) == 0.625


@pytest.mark.slow
def test_differences_are_those_of_the_tables(tmp_path: Path) -> None:
    build(tmp_path, Design(targets=("elk", "fox")))
    frame = load(tmp_path)
    choices = choose(frame)
    found = soft_pairs(frame).chosen
    for target in ("elk", "fox"):
        mine = found[found["target"] == target].set_index(["sources", "task", "seed"])["difference"]
        told = paired_differences(frame, target, choices).set_index(["sources", "task", "seed"])
        assert mine.sort_index().to_numpy() == pytest.approx(
            told["difference"].sort_index().to_numpy()
        )


def test_three_ways_to_pair_one_candidate_with_many(full_frame: pd.DataFrame) -> None:
    frame = full_frame.copy()
    found = soft_pairs(frame)
    assert found.tries == 6
    ours, base = (frame[frame["row"] == row] for row in ("ours", "baseline"))
    assert len(found.every) == len(ours) == 6 * len(base)
    assert found.every["difference"].mean() == pytest.approx(
        100 * (ours["score"].mean() - base["score"].mean())
    )
    assert set(found.chosen["weight_label"]) == {"0.3"}
    assert set(found.among["weight_label"]) == {"0.3"}
    # Where validation prefers Baseline, the choice that has it among its candidates takes it.
    frame.loc[frame["row"] == "baseline", "validation_score"] = 1.0
    assert set(soft_pairs(frame).among["difference"]) == {0.0}
    assert soft_pairs(frame, "source").among.empty
    base_cells = dict(zip(base["cell"], base["score"], strict=True))
    line = found.chosen.iloc[0]
    assert line["baseline"] == pytest.approx(100 * base_cells[line["partner"]])


def test_one_seed_or_holes_leave_the_mean_over_all_weights(full_frame: pd.DataFrame) -> None:
    alone = soft_pairs(full_frame[full_frame["seed"] == 0])
    assert alone.chosen.empty
    assert alone.asked is alone.every
    rng = np.random.default_rng(0)
    holes = soft_pairs(full_frame[rng.random(len(full_frame)) > 0.5])
    assert holes.asked is holes.every


@pytest.mark.slow
def test_hard_pairs_stand_agreement_beside_all_words(tmp_path: Path) -> None:
    def alter(cell, record):  # type: ignore[no-untyped-def]
        size = cell.settings.get("s"), cell.settings.get("k")
        if cell.row == "agreement" and cell.kind == "source" and size == (64, 4):
            record["result"]["validation_score"] = 0.95 if cell.seed else 0.1

    build(tmp_path, Design(hard=Hard(s=(16, 64), k=(2, 4))), alter=alter)
    frame = load(tmp_path)
    ((_, part),) = block_parts(frame)
    found = hard_pairs(part)
    moved = frame[frame["kind"] == "transfer"]
    assert len(found.every) == len(moved[moved["row"] == "agreement"])
    assert found.tries == 4
    line = found.every.iloc[-1]
    base = moved[(moved["row"] == "all") & (moved["sources"] == line["sources"])
                 & (moved["task"] == line["task"]) & (moved["target"] == line["target"])
                 & (moved["seed"] == line["seed"])]  # fmt: skip
    assert line["baseline"] == pytest.approx(100 * base["score"].mean())
    # Seed 0 is no friend of (64, 4), but the other seeds choose for it.
    sizes = found.chosen.groupby("seed")[["s", "k"]].agg(set)
    assert sizes.loc[0].tolist() == [{64}, {4}]


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


def test_pairs_without_a_partner_are_left_out() -> None:
    ours = pd.DataFrame({"task": ["a", "b"], "score": [0.5, 0.6]})
    found = paired(ours, ours[:1], ["task"])
    assert list(found["task"]) == ["a"]
    assert paired(ours, ours[:0], ["task"]).empty


def test_nothing_to_compare_gives_a_sentence() -> None:
    table = planted(Planted(models=3), np.random.default_rng(0))[:0]
    assert "no result" in overall(table).note
    assert effect_table(table, ["task"]).empty
