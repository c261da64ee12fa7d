"""A sweep against one process per cell: what is counted, run and estimated."""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks import engine_cells, whole_sweep
from benchmarks.finding import Finding
from benchmarks.peers import naive_cell
from benchmarks.whole_sweep import Kind, Load, estimate, kinds, measured
from sweep.planning.plan import make_plan
from sweep.spec.spec import parse_spec
from trainables.models.names import resolve_model
from trainables.tasks import resolve_task

SMALL = Load(tasks=("mini/reviews", "mini/topics"), weights=(0, 0.5), seeds=2, steps=2)
JOINT = Kind("mini/reviews", ("A", "B"), "T", True)


def planned(load: Load) -> Any:
    return make_plan(parse_spec(load.spec()), resolve_model, resolve_task)


def test_the_sweep_has_more_than_200_cells() -> None:
    assert len(planned(Load()).cells) > 200


def test_one_naive_process_for_each_prompt_carried_over_or_direct() -> None:
    asked = kinds(planned(SMALL).cells, (SMALL.target,))
    pair = ("pocket-bert", "pocket-gpt2")
    for task in SMALL.tasks:
        assert asked[Kind(task, pair, SMALL.target, True)] == 2
        assert asked[Kind(task, pair, SMALL.target, False)] == 2
        assert asked[Kind(task, pair[:1], SMALL.target, False)] == 2
        assert asked[Kind(task, (SMALL.target,), None, False)] == 2
    assert sum(asked.values()) == 2 * 5 * 2


def test_the_estimate_is_count_times_median_over_two_cores() -> None:
    other = Kind("mini/topics", ("A", "B"), "T", True)
    asked = Counter({JOINT: 10, other: 5})
    assert estimate(asked, {JOINT: [1.0, 3.0]}) == pytest.approx(15 * 2.0 / 2)
    with pytest.raises(KeyError):
        estimate(Counter({Kind("t", ("C",), "T", False): 1}), {JOINT: [1.0]})


def test_both_sides_together(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = len(planned(SMALL).cells)
    monkeypatch.setattr(whole_sweep, "sweep_seconds", lambda load, folder: (2.0, cells))
    ran: list[Kind] = []

    def naive(kind: Kind, seed: int, load: Load) -> dict[str, Any]:
        ran.append(kind)
        return {"wall": 4.0, "parts": {}}

    monkeypatch.setattr(whole_sweep, "naive_seconds", naive)
    (one,) = whole_sweep.measure(SMALL)
    assert isinstance(one, Finding)
    assert set(ran) == set(measured(kinds(planned(SMALL).cells, (SMALL.target,)))) and len(
        ran
    ) == 2 * len(set(ran))
    assert one.theirs == pytest.approx(20 * 4.0 / 2)
    assert one.met and "20 processes" in one.estimated
    monkeypatch.setattr(whole_sweep, "sweep_seconds", lambda load, folder: (2.0, cells - 1))
    with pytest.raises(AssertionError, match="cells have a result"):
        whole_sweep.measure(SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["pocket-llama", None])
def test_a_naive_cell_does_all_its_parts(
    target: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = naive_cell.adam_search
    monkeypatch.setattr(
        naive_cell, "adam_search", lambda *given, seed: short(*given, steps=3, seed=seed)
    )
    sources = ["pocket-bert", "pocket-gpt2"] if target else ["pocket-bert"]
    options = argparse.Namespace(
        task="mini/reviews",
        sources=sources,
        target=target,
        seed=0,
        weight=0.5,
        annealing=False,
        steps=1,
        batch_size=8,
        text_tokens=10,
    )
    found = naive_cell.run(options)
    parts = {"start", "load", "tune"} | ({"transfer", "evaluate"} if target else set())
    assert set(found["parts"]) == parts
    assert 0.0 <= found["score"] <= 1.0


def test_trials_that_mlflow_lacks_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(module: str, *given: str, cells: int = 0) -> dict[str, Any]:
        if module == "benchmarks.engine":
            return {"value": 20.0, "cells": cells}
        return {"seconds": 3.0, "trials": 30, "logged": logged}

    monkeypatch.setattr(engine_cells, "_last_line", answer)
    logged = 30
    (one,) = engine_cells.measure(1000, 30)
    assert isinstance(one, Finding)
    assert one.ratio == pytest.approx(100.0 / 20.0)
    logged = 29
    with pytest.raises(AssertionError, match="29 of 30"):
        engine_cells.measure(1000, 30)


@pytest.mark.slow
@pytest.mark.cluster
def test_ray_tune_with_optuna_and_mlflow(tmp_path: Path) -> None:
    found = engine_cells._last_line("benchmarks.peers.ray_tune", "--trials", "2", str(tmp_path))
    assert found["trials"] == found["logged"] == 2
    assert found["seconds"] > 0
