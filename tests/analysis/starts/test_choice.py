"""Which source task to start from: the learnt order and its worth, against slow loops."""

import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.starts.choice import ORDERS, PAST, past_means, pooled, skill

TASKS = [f"t{number}" for number in range(5)]


def made(
    truth: float, likeness: float, seed: int = 0, models: Sequence[str] = ("M",)
) -> pd.DataFrame:
    """Gains of every ordered pair of tasks.

    ``truth``: how much of a gain belongs to the source task, ``likeness``: to the pair, which the
    per-token cosine sees.
    """
    draw = np.random.default_rng(seed)
    good = draw.normal(size=len(TASKS))
    rows = []
    for model, (a, task), (b, origin) in itertools.product(
        models, enumerate(TASKS), enumerate(TASKS)
    ):
        if a != b:
            seen, other, noise = draw.normal(size=3)
            gain = truth * good[b] + likeness * seen + 0.3 * noise
            rows.append((model, task, origin, 0.01 * gain, other, seen))
    columns = ["target_id", "task", "origin", "gain", "average_tokens", "per_token"]
    return pd.DataFrame(rows, columns=columns)


Rows = list[dict[str, Any]]


def rho(one: Sequence[float], other: Sequence[float]) -> float:
    def ranks(values: Sequence[float]) -> list[float]:
        return [sum(v < own for v in values) + sum(v == own for v in values) / 2 for own in values]

    a, b = (np.array(ranks(values)) - len(one) / 2 for values in (one, other))
    length = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / length if length else 0.0


def relative_past(blocks: Mapping[Any, Rows], origin: str, gone: set[str]) -> float:
    """Mean gain of a source task over the source tasks beside it, without some target tasks."""
    values = []
    for (_, task), part in blocks.items():
        own = [row["gain"] for row in part if row["origin"] == origin]
        if task not in gone and own:
            values.append(own[0] - fmean(row["gain"] for row in part))
    return fmean(values) if values else 0.0


def blocks_of(known: pd.DataFrame) -> dict[Any, Rows]:
    blocks: dict[Any, Rows] = {}
    for row in known.to_dict("records"):
        blocks.setdefault((row["target_id"], row["task"]), []).append(row)
    return blocks


def literally(known: pd.DataFrame) -> tuple[list[str], float, float]:
    """Rule chosen for each target task left out, mean ρ, and points of its first."""
    blocks = blocks_of(known)

    def by_rule(part: Rows, rule: str, gone: set[str]) -> list[float]:
        if rule != PAST:
            return [row[rule] for row in part]
        return [relative_past(blocks, row["origin"], gone) for row in part]

    chosen, rhos, first = [], [], []
    for left in TASKS:
        means = {
            rule: fmean(
                rho(by_rule(part, rule, {left, task}), [row["gain"] for row in part])
                for (_, task), part in blocks.items()
                if task != left
            )
            for rule in ORDERS
        }
        best = max(means, key=lambda rule: means[rule])
        chosen.append(best)
        for part in (part for (_, task), part in blocks.items() if task == left):
            order, gain = by_rule(part, best, {left}), [row["gain"] for row in part]
            rhos.append(rho(order, gain))
            first.append(100 * (gain[int(np.argmax(order))] - fmean(gain)))
    return chosen, fmean(rhos), fmean(first)


@pytest.mark.parametrize(
    ("truth", "likeness", "models"), [(1, 0.2, "M"), (0.2, 1, "MN"), (0, 0, "M"), (0.6, 0.6, "MN")]
)
def test_it_is_what_slow_loops_find(truth: float, likeness: float, models: str) -> None:
    known = made(truth, likeness, 3, tuple(models))
    found = skill(known, drawn=19)
    chosen, mean, first = literally(known)
    assert found.rules == {rule: chosen.count(rule) for rule in ORDERS if rule in chosen}
    assert found.rho == pytest.approx(mean)
    assert found.first == pytest.approx(first)
    assert (found.n, found.tasks, found.origins) == (20 * len(models), 5, 5)
    assert found.ways == math.factorial(4) ** 5


@pytest.mark.slow
def test_an_order_that_is_there_is_found_and_one_that_is_not_is_not() -> None:
    for truth, likeness, rule in ((1.0, 0.0, PAST), (0.0, 1.0, "per_token")):
        found = skill(made(truth, likeness), drawn=199)
        assert found.better
        assert found.rule == rule
        assert found.first > 0
        assert "is better than a random one" in found.sentence()
    better = [skill(made(0, 0, seed), drawn=59).better for seed in range(20)]
    assert sum(better) <= 4


def test_similarities_that_are_not_known_are_no_order() -> None:
    known = made(1, 0).assign(average_tokens=math.nan, per_token=math.nan)
    assert skill(known, drawn=19).rules == {PAST: 5}


def test_too_few_target_tasks_say_nothing() -> None:
    known = made(1, 1)
    for part in (known[known["task"] == "t0"], known.iloc[:0], known.assign(gain=0.1)):
        found = skill(part)
        assert math.isnan(found.rho)
        assert not found.better
        assert found.sentence().startswith("Nothing can be said")


def test_past_means_leave_the_asked_task_out() -> None:
    known = made(1, 0.5)
    asked = pd.DataFrame({"task": ["t0", "new", "new"], "origin": ["t1", "t1", "never"]})
    found = past_means(known, asked)
    assert found[0] == pytest.approx(relative_past(blocks_of(known), "t1", {"t0"}))
    assert found[1] == pytest.approx(relative_past(blocks_of(known), "t1", set()))
    assert math.isnan(found[2])


def test_what_two_sweeps_know_is_averaged() -> None:
    one = made(1, 0.5)
    both = pooled([one, one.assign(gain=one["gain"] + 0.02)])
    assert len(both) == len(one)
    assert both["gain"].mean() == pytest.approx(one["gain"].mean() + 0.01)
