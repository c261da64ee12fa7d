"""Choices that are made on other seeds, against slow loops."""

import itertools

import numpy as np
import pandas as pd
import pytest

from analysis.contrasts.crossfit import ALL_SEEDS, best_candidates
from analysis.contrasts.selection import at_choices, choose
from analysis.present.words import PER_SEED


def rows_of(scores: np.ndarray) -> pd.DataFrame:
    """Candidates × tasks × seeds as rows of one group."""
    lines = [
        {"group": "g", "candidate": f"c{c}", "task": f"t{t}", "seed": s, "score": scores[c, t, s]}
        for c, t, s in itertools.product(*map(range, scores.shape))
    ]
    return pd.DataFrame(lines)


def chosen(rows: pd.DataFrame) -> dict[int, str]:
    best, _ = best_candidates(rows, ["group"], "candidate", ["task"], "score", str)
    return dict(zip(best["seed"], best["candidate"], strict=True))


@pytest.mark.parametrize("number", range(10))
def test_every_seed_gets_what_the_others_choose(number: int) -> None:
    scores = np.random.default_rng(number).random((4, 3, 5))
    found = chosen(rows_of(scores))
    assert found[ALL_SEEDS] == f"c{scores.mean((1, 2)).argmax()}"
    for seed in range(5):
        others = [each for each in range(5) if each != seed]
        assert found[seed] == f"c{scores[:, :, others].mean((1, 2)).argmax()}"


def test_what_a_seed_says_does_not_choose_for_it() -> None:
    scores = np.full((2, 3, 4), 0.5)
    scores[1, :, 0] = 0.9  # luck of one seed
    scores[0, :, 1:] = 0.55
    # Without it the other candidate is best; with it all others are misled, but not that seed.
    assert chosen(rows_of(scores)) == {ALL_SEEDS: "c1", 0: "c0", 1: "c1", 2: "c1", 3: "c1"}


def test_ties_and_missing_results() -> None:
    rows = rows_of(np.full((3, 2, 2), 0.5))
    assert set(chosen(rows).values()) == {"c0"}
    lacking = rows[~((rows["candidate"] == "c0") & (rows["task"] == "t1") & (rows["seed"] == 1))]
    best, left = best_candidates(lacking, ["group"], "candidate", ["task"], "score", str)
    assert set(best["candidate"]) == {"c1"}
    assert list(left["candidate"]) == ["c0"]
    assert set(best["compared"]) == {("c1", "c2")}


def test_one_seed_cannot_choose_for_another() -> None:
    assert chosen(rows_of(np.random.default_rng(0).random((3, 2, 1)))).keys() == {ALL_SEEDS}


@pytest.mark.slow
def test_ours_stands_at_the_weights_of_the_other_seeds(full_frame: pd.DataFrame) -> None:
    frame = full_frame.copy()
    lucky = (frame["row"] == "ours") & (frame["weight_label"] == "0.9") & (frame["seed"] == 2)
    frame.loc[lucky, "validation_score"] = 1.0
    choice = choose(frame)["elk", "ant+bee"]
    assert choice.weight_label == "0.9"
    assert choice.label == PER_SEED
    assert choice.left_out == {0: "0.9", 1: "0.9", 2: "0.3"}
    rows = at_choices(frame, choose(frame))
    cells = set(rows.loc[rows["seed"] == 2, "cell"])
    assert set(frame.loc[frame["cell"].isin(cells), "weight_label"]) == {"0.3"}
    assert set(rows["weight_label"]) == {PER_SEED}
