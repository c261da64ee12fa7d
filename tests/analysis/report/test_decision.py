"""The verdict beside planted truths, and that no other sentence of a report says otherwise."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.report.decision import Decision, decisions, still_tasks
from tests.analysis.planted_ways import CLOSED, READOUT, Sweep, Way, cost
from tests.analysis.planted_ways import table as made

GOOD = Way(CLOSED.settings, 0.8, cost())
BAD = Way(CLOSED.settings, -0.2, cost())
WORST = Way(CLOSED.settings, 2.0, cost())  # of a gap below 0
FAR = replace(READOUT, share=0.9)


def decided(sweep: Sweep, seed: int = 0) -> Decision:
    (found,) = decisions(made(sweep, np.random.default_rng(seed)))
    return found


def test_a_prompt_that_beats_every_untuned_row_is_to_be_used():
    found = decided(Sweep((GOOD,), calibrated=0.02, manual=0.05))
    assert found.use is True
    assert found.head.startswith("Use it: Single from ")
    assert [level.what for level in found.levels] == [
        "best carried-over prompt", "strongest untuned row", "no prompt", "on its own source",
        "tuned on the target",
    ]  # fmt: skip
    best, bar, empty, _, direct = found.levels
    assert bar.name == "Manual" and empty.name == "Empty"
    assert bar.lead.mean == pytest.approx(best.score - bar.score)
    assert bar.lead.low > 0 and empty.lead.low > bar.lead.mean
    assert direct.lead.high < 0
    assert "Tuning on the target with its labels is better than the prompt" in " ".join(found.texts)


@pytest.mark.parametrize(
    ("change", "head"),
    [
        ({"calibrated": 0.1}, "calibrate and use no prompt (Empty + calibration)"),
        ({"calibrated": -0.1, "manual": 0.2}, "use the written template (Manual)"),
        ({"calibrated": -0.1, "manual": -0.1}, "use the target without a prompt (Empty)"),
    ],
)
def test_else_the_strongest_untuned_row_is_named(change, head):
    found = decided(Sweep((WORST,), gap=-0.05, **change))
    assert found.use is False
    assert found.head == f"Do this instead: {head}"
    text = " ".join(found.texts)
    assert "Use it" not in text
    assert "The best carried-over prompt" in text and "is worse than that" in text


def test_what_beats_the_untuned_rows_where_no_prompt_does_is_said():
    found = decided(Sweep((BAD, FAR)))
    assert found.head == (
        "Do this instead: tune on the target with its labels or read the target out (no prompt)"
    )
    text = " ".join(found.texts)
    assert "Reading the target out is better than Empty + calibration" in text
    assert found.levels[1].name == "Empty + calibration"


def test_the_calibrated_template_is_among_the_untuned_rows():
    frame = made(Sweep((GOOD,)), np.random.default_rng(0))
    manual = frame["row"] == "manual"
    frame.loc[manual, ["score_batch", "validation_score_batch"]] = 0.95
    (found,) = decisions(frame)
    assert found.head == "Do this instead: calibrate the written template (Manual + calibration)"


def test_the_bar_is_what_validation_takes_and_what_is_higher_on_test_is_named():
    frame = made(Sweep((GOOD,), calibrated=0.02, manual=0.03), np.random.default_rng(0))
    hidden = ["validation_score", "validation_score_batch"]
    frame.loc[frame["row"] == "manual", hidden] = 0.1
    (found,) = decisions(frame)
    assert found.levels[1].name.startswith("Empty")
    assert "Validation takes Empty" in found.texts[-1]
    assert "of 5 rows without tuning; on test Manual is higher" in found.texts[-1]


def test_of_equal_prompts_test_chooses_none():
    """What validation takes is reported as it is, though another one has more on test."""
    frame = made(Sweep((GOOD,)), np.random.default_rng(0))
    lucky = (frame["row"] == "single") & (frame["sources"] == "ant")
    frame.loc[lucky, "validation_score"] -= 0.3
    frame.loc[lucky, ["score", "score_batch"]] = 1.0
    (found,) = decisions(frame)
    assert "from ant" not in found.levels[0].name and found.levels[0].score < 95


def test_without_a_whole_prompt_or_an_untuned_row_nothing_is_decided():
    frame = made(Sweep((GOOD,)), np.random.default_rng(0))
    part = frame[~((frame["row"] == "single") & (frame["seed"] == 0) & (frame["task"] == "mini/a"))]
    extra = frame[(frame["row"] == "single") & (frame["seed"] == 0)].head(1)
    (found,) = decisions(pd.concat([part, extra]))
    assert found.use is not None or "every task and seed" in found.texts[0]
    (none,) = decisions(frame[frame["kind"] != "reference"])
    assert none.use is None and none.head == "Not known yet"
    assert "no row without tuning" in none.texts[0]
    assert decisions(frame[frame["kind"] != "transfer"]) == []


def test_one_seed_without_predictions_shows_nothing():
    found = decided(Sweep((GOOD,), seeds=(0,), calibrated=0.0))
    assert found.use is None and found.head == "Not shown"
    assert "no interval" in found.texts[0]


def test_tasks_where_nothing_moves_are_named():
    frame = made(Sweep((GOOD,)), np.random.default_rng(0))
    assert still_tasks(frame) == []
    quiet = (frame["task"] == "mini/b") & (frame["kind"] == "transfer")
    frame.loc[quiet, "gain_over_empty"] = 0.004
    assert still_tasks(frame) == ["mini/b"]
