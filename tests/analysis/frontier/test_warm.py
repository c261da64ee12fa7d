"""What a start saves: planted truths, a slow loop beside each number, and no part without a start.

Of every curve the scores at 15, 30, 60 and 120 steps are shares of the gap between Empty (0.4) and
Direct (0.7).
"""

import json
import math
import statistics
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pytest

from analysis.frontier.lines import UNIT, Field, Line, Price, field
from analysis.frontier.runs import runs
from analysis.frontier.section import cost_section, costs_and_gains
from analysis.frontier.shares import gain, mean_gain
from analysis.frontier.warm import warm_grid, warm_table, warm_text
from analysis.present.exhibits import Table, exhibits
from tests.analysis.planted_ways import CLOSED, SELF, TUNE, Sweep, Way, cost, table
from tests.analysis.shown import html

STEPS = (15, 30, 60, 120)
COLD = (0.4, 0.7, 0.9, 1.0)
TWICE = (0.7, 0.9, 1.0, 1.0)
WORSE = (0.2, 0.5, 0.7, 0.8)


def made(
    rng: np.random.Generator,
    starts: Mapping[str, Sequence[float]],
    noise: float = 0.003,
    shots: int | None = None,
    shape: tuple[int, int, int] = (4, 3, 5),
    settings: Mapping[str, object] | None = None,
) -> Field:
    """Sources × tasks × seeds on one target, a line for every start and number of steps."""
    sources, tasks, seeds = shape
    units = pd.DataFrame(
        [(f"s{a}", f"t{b}", "g", c) for a in range(sources) for b in range(tasks)
         for c in range(seeds)], columns=UNIT,
    )  # fmt: skip
    units["unit"] = np.arange(len(units))
    place = np.indices(shape).reshape(3, -1)
    lines = []
    for start, curve in starts.items():
        own = start == "vocabulary"
        # What a run's seed adds stands at all its steps; a control's is the same for all sources.
        drawn = noise * rng.normal(size=(len(STEPS) + 1, *(shape[1:] if own else shape)))
        for number, (steps, share) in enumerate(zip(STEPS, curve, strict=True)):
            luck = (drawn[-1] + drawn[number])[tuple(place[1:] if own else place)]
            rows = units.assign(
                cell="c", score=0.4 + 0.3 * share + luck, validation=0.5, solver="tune",
                start=start, steps=steps, shots=pd.array([shots] * len(units), "Int64"),
                target_work=24.0 * steps, target_labels=8 * steps,
                settings=json.dumps({"transfer.start": start, **(settings or {})}),
            )  # fmt: skip
            kind, row = ("own", "own") if own else ("way", "single")
            price = Price(24.0 * steps, 8 * steps, shots is not None, access="gradients")
            lines.append(Line(f"{start} {steps}", kind, row, False, rows, price))
    levels = pd.DataFrame({"empty": 0.4, "empty_cell": "e", "direct": 0.7, "direct_seed": 0.7,
                           "direct_cell": "d"}, index=units["unit"])  # fmt: skip
    return Field(tuple(lines), units.assign(worth=True), levels, "single")


def numbers_of(lines: Field) -> pd.DataFrame:
    return warm_table(lines, lines.units).set_index(["start", "steps"])


def test_a_start_that_saves_half_of_the_steps_is_said_to_save_half():
    lines = made(np.random.default_rng(0), {"carried": TWICE, "vocabulary": COLD}, 0.001)
    found = numbers_of(lines)
    assert found["direct"].tolist() == [0, 0, 1, 1, 0, 0, 0, 1]
    last = {start: found.loc[(start, 120)] for start in ("carried", "vocabulary")}
    assert [last[name]["direct_steps"] for name in last] == [60, 120]
    assert [last[name]["direct_work"] for name in last] == [24 * 60, 24 * 120]
    assert [last[name]["direct_labels"] for name in last] == [8 * 60, 8 * 120]
    assert found.loc[("carried", 15), "over"] == pytest.approx(9, abs=0.5)
    assert found.loc["vocabulary"]["over"].isna().all()
    text = warm_text(lines, lines.units)
    assert text.startswith("With all labels, start carried has +4.5 points [")
    assert "60 steps (480 labels) from it do as well as 120 steps (960 labels)" in text


@pytest.mark.slow
def test_a_start_that_changes_nothing_saves_nothing():
    """In 100 sweeps no more than 5 % claim anything, and next to none claims steps."""
    rng = np.random.default_rng(1)
    texts = []
    for _ in range(100):
        lines = made(rng, {"carried": COLD, "vocabulary": COLD}, 0.01, shape=(3, 3, 3))
        texts.append(warm_text(lines, lines.units))
    none = sum("saves nothing that these results can show" in text for text in texts)
    assert none >= 90  # 95 less two standard errors
    assert sum("do as well as" in text for text in texts) <= 1


def test_a_plateau_is_nothing_that_a_start_saves():
    flat = (0.2, 1.0, 1.0, 1.0)
    lines = made(np.random.default_rng(2), {"carried": flat, "vocabulary": flat}, 0.001)
    assert "do as well as" not in warm_text(lines, lines.units)
    # Ahead at 15 steps alone: what the control has at 30 is not counted as 120.
    lines = made(np.random.default_rng(2), {"carried": (1.0,) * 4, "vocabulary": flat}, 0.001)
    assert "15 steps (120 labels) from it do as well as 30 steps" in warm_text(lines, lines.units)


def test_a_start_that_harms_is_said_to_harm():
    lines = made(np.random.default_rng(3), {"carried": WORSE, "vocabulary": COLD}, 0.001, 16)
    text = warm_text(lines, lines.units)
    assert text.startswith("With 16 labels a class, start carried does harm: −5.9 points [")
    assert numbers_of(lines).loc[("carried", 120), "direct"] == 0
    assert math.isnan(numbers_of(lines).loc[("carried", 120), "direct_steps"])


def test_without_an_interval_nothing_is_claimed():
    one = made(np.random.default_rng(4), {"carried": TWICE, "vocabulary": COLD}, shape=(1, 1, 1))
    assert warm_text(one, one.units).endswith("without an interval that tells nothing.")


def test_numbers_are_those_of_slow_loops_and_a_missing_result_moves_no_mean():
    lines = made(np.random.default_rng(5), {"carried": TWICE, "vocabulary": COLD}, 0.02)
    first, *others = lines.lines
    # The best seed of one case is lost at 15 steps.
    best = first.rows[:5]["score"].idxmax()
    short = Line(*(getattr(first, name) for name in ("name", "kind", "row", "calibrated")),
                 first.rows.drop(index=best).reset_index(drop=True), first.price)  # fmt: skip
    lines = Field((short, *others), lines.units, lines.levels, lines.row)
    found = numbers_of(lines)
    assert found.loc[("carried", 15), "n"] == 59 and found.loc[("carried", 30), "n"] == 60
    by = {line.name: {tuple(key): score for *key, score in
                      line.rows[[*UNIT, "score"]].itertuples(index=False)}
          for line in lines.lines}  # fmt: skip
    for steps in STEPS:
        mine, control = by[f"carried {steps}"], by[f"vocabulary {steps}"]
        wanted = statistics.mean(100 * (mine[key] - control[key]) for key in mine)
        assert found.loc[("carried", steps), "over"] == pytest.approx(wanted)
    kept = set(by["carried 15"])
    least = {}
    for case in {key[:3] for key in kept}:
        for steps in reversed(STEPS):
            seeds = [by[f"carried {steps}"][key] for key in kept if key[:3] == case]
            if statistics.mean(seeds) >= 0.695:
                least[case] = steps
    for steps in STEPS:
        near = [fewest for fewest in least.values() if fewest <= steps]
        row = found.loc[("carried", steps)]
        assert row["direct"] == pytest.approx(len(near) / 12)
        wanted = statistics.median(near) if near else math.nan
        assert row["direct_steps"] == pytest.approx(wanted, nan_ok=True)


def test_the_mean_over_pairs_is_that_of_each():
    lines = made(np.random.default_rng(6), {"carried": TWICE, "vocabulary": COLD})
    mine, control = lines.lines[:4], lines.lines[4:]
    pairs = list(zip(mine, control, strict=True))
    each = [gain(*pair, lines.units).mean for pair in pairs]
    assert mean_gain(pairs, lines.units).mean == pytest.approx(statistics.mean(each))
    assert mean_gain(pairs[:1], lines.units) == gain(*pairs[0], lines.units)


def test_a_control_has_the_same_labels_and_settings():
    rng = np.random.default_rng(7)
    starts = {"carried": TWICE, "vocabulary": COLD}
    slow = made(rng, starts, settings={"transfer.learning_rate": 0.1, "transfer.norm": "mean"})
    fast = made(rng, {"carried": TWICE}, settings={"transfer.learning_rate": 0.2})
    few = made(rng, {"carried": TWICE}, shots=4)
    lines = Field((*slow.lines, *fast.lines, *few.lines), slow.units, slow.levels, "single")
    found = warm_table(lines, lines.units)
    over = found.dropna(subset=["over"])
    # Of another rate or other labels nothing is a control; where it begins need not be the same.
    assert set(over["start"]) == {"carried (learning_rate 0.1, norm mean)"} and len(over) == 4
    assert len(runs(lines)) == 4
    text = warm_text(lines, lines.units)
    assert text.startswith("What start carried saves with 4 labels a class is not known")
    assert "With all labels, start carried (" in text


def ways(**curves: Sequence[float]) -> tuple[Way, ...]:
    return tuple(
        Way({"solver": "tune", "norm": "match", "start": start, "steps": steps, "shots": None},
            share, cost(8 * steps, 8 * steps, target_labels=8 * steps, access="gradients"),
            own=start == "vocabulary")
        for start, curve in curves.items()
        for steps, share in zip(STEPS[1:], curve[1:], strict=True)
    )  # fmt: skip


@pytest.mark.slow
def test_the_report_has_the_table_where_there_is_a_start():
    sweep = Sweep((CLOSED, *ways(carried=TWICE, vocabulary=COLD)), tuning=0.002, reading=0.002)
    frame = table(sweep, np.random.default_rng(0))
    section = cost_section(costs_and_gains(frame))
    assert section is not None
    named = {item.name: item for item in exhibits([section], Table)}
    found = named["warm_elk"].numbers
    assert list(found["steps"]) == 2 * list(STEPS[1:])
    assert list(found["labels"]) == [8 * steps for steps in found["steps"]]
    assert len(warm_grid(found).lines) == 6
    page = html([section])
    assert "60 steps (480 labels) from it do as well as 120 steps (960 labels)" in page


@pytest.mark.slow
@pytest.mark.parametrize("others", [(), (SELF,), ways(vocabulary=COLD)])
def test_without_a_start_of_a_source_there_is_no_part(others):
    lines = field(table(Sweep((CLOSED, *others)), np.random.default_rng(0))).at("elk")
    assert warm_table(lines, lines.worthy).empty and not warm_text(lines, lines.worthy)


@pytest.mark.slow
def test_without_a_control_nothing_is_said_of_savings():
    lines = field(table(Sweep((CLOSED, TUNE)), np.random.default_rng(0))).at("elk")
    assert len(warm_table(lines, lines.worthy)) == 1
    assert "is not known: no run from start vocabulary" in warm_text(lines, lines.worthy)
