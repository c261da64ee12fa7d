"""Verdicts against planted truth; ``python -m benchmarks.planted`` does it 200 times a design."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.contrasts.effects import soft_pairs
from analysis.contrasts.verdict import explanations, verdict, verdict_text
from benchmarks.planted import DESIGNS, Planted, run, sweep

SMALL = {"sources": 4, "tasks": 4, "seeds": 3, "test": 80}


def small(name: str) -> Planted:
    return replace(DESIGNS[name], **SMALL)


def said(design: Planted, number: int = 0) -> str:
    frame, examples = sweep(design, np.random.default_rng(number))
    item = verdict("soft", soft_pairs(frame), examples, draws=0)
    assert item is not None
    return " ".join([verdict_text(item), *explanations(item)])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["λ does nothing, much noise", "30 % of cells missing"])
def test_more_tries_are_no_effect(name: str) -> None:
    found = run(small(name), 25)
    assert found.helped + found.hurt <= 0.12
    assert found.covered >= 0.88
    assert abs(found.bias) < 0.6


@pytest.mark.slow
def test_a_planted_effect_is_covered() -> None:
    found = run(replace(small("joint tuning adds 2"), effect=8.0), 15)
    assert found.helped >= 0.8
    assert found.hurt == 0.0
    assert found.covered >= 0.8


@pytest.mark.parametrize("alone", ["task", "source"])
def test_what_rests_on_one_task_or_model_is_warned_of(alone: str) -> None:
    design = Planted(effect=6.0, alone=alone, by_task=0.0, by_source=0.0)
    text = said(design)
    name = {"task": "task t0", "source": "source model m0"}[alone]
    assert "Read with care: less than half of the difference is left without" in text
    assert name in text


def test_where_nothing_varies_nothing_is_said() -> None:
    text = said(small("everything degenerate"))
    assert "no interval can be given, as nothing varies" in text
    assert "helped" not in text
    assert "hurt" not in text


def test_examples_are_in_the_interval_of_one_task() -> None:
    design = Planted(tasks=1, test=60, seeds=4)
    frame, examples = sweep(design, np.random.default_rng(0))
    found = soft_pairs(frame)
    with_examples = verdict("soft", found, examples, draws=0)
    without = verdict("soft", found, None, draws=0)
    assert with_examples is not None
    assert without is not None
    widths = [item.answer.high - item.answer.low for item in (with_examples, without)]
    assert widths[0] > widths[1]
    assert "over new models, seeds and test examples" in verdict_text(with_examples)
    assert "as not all cells keep their predictions" in " ".join(explanations(without))
