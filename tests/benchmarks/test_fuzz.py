"""Broken input never ends in a traceback; more runs with PROMPTSWEEP_FUZZ=500."""

import os

import pytest

from benchmarks.fuzz import KINDS, fuzz

RUNS = {"models": 60, "specs": 200, "tasks": 100}


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_broken_input_is_refused_in_a_sentence(kind: str) -> None:
    runs = int(os.environ.get("PROMPTSWEEP_FUZZ", RUNS[kind]))
    told: list[str] = []
    counts = fuzz(kind, range(runs), told.append)
    assert counts["tracebacks"] == 0, [line for line in told if " tracebacks: " in line]
    assert counts["refused"] > runs / 2
    assert counts["accepted"] > 0
