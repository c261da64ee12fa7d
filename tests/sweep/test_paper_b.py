"""The preset of paper B: its counts, its parameters, its pins; and the small example beside it."""

import re
from pathlib import Path

import pytest

from sweep.planning.plan import make_plan
from sweep.spec.spec import load_spec
from tests.sweep.samples import checked

ROOT = Path(__file__).parents[2]


def test_the_counts_of_its_tables() -> None:
    plan = make_plan(load_spec("paper_b"))
    counts = plan.counts()
    # PEZ, PEZ-pruned, and CommonVocab-pruned and Ours with each of two counterparts, in both
    # states; random prompts have no state.
    per_source = 5 * (2 * (1 + 1 + 2 + 2) + 1)
    assert counts["searches"] == 2 * 3 * per_source == 390
    assert counts["kinds"]["transfer"] == 4 * 390
    assert counts["kinds"]["reference"] == 2 * 7 * 3
    assert counts["rows"]["agreement"] == counts["rows"]["common"] == 2 * 3 * 2 * 2 * 5 * 5
    assert counts["tunings"] == {"independent": 0, "joint": 0}
    assert counts["direct"] == 0


def test_tables_6_and_7() -> None:
    cells = make_plan(load_spec("paper_b")).cells
    for cell in cells:
        if cell.kind == "source" and cell.method == "pez":
            asked = {key: cell.settings[key] for key in ("learning_rate", "steps", "batch_size")}
            assert asked == {"learning_rate": 0.3, "steps": 5000, "batch_size": 16}
            assert cell.settings["optimiser"] == "adafactor"
            assert cell.settings["prompt_length"] == 10
        if cell.row == "agreement" and cell.kind == "source":
            names = ("sample_size", "k", "samples", "s", "agreement")
            found = [cell.settings[name] for name in names]
            assert found == [8192, 64, 5, 8192, "sampled"]
        if cell.row in ("all", "pruned") and cell.kind == "source":
            assert cell.settings["word_start"] is False


def test_everything_is_pinned() -> None:
    resolved = make_plan(load_spec("paper_b")).resolved
    assert len(resolved.models) == 7
    for model in resolved.models.values():
        assert re.fullmatch(r"[0-9a-f]{40}", model.revision or ""), model


def test_each_source_has_the_other_two_as_counterparts() -> None:
    resolved = make_plan(load_spec("paper_b")).resolved
    for source, groups in resolved.counterparts["pez"].items():
        assert {name for group in groups for name in group} == set(resolved.sources) - {source}


@pytest.mark.real
def test_the_small_example(shared: Path) -> None:
    plan = make_plan(load_spec(str(ROOT / "examples" / "paper_b_small.yaml")))
    counts = plan.counts()
    per_source = 5 * (1 + 2 + 2 * 2 + 2 * 2 * 2 + 1)
    assert counts["kinds"]["transfer"] == 2 * 2 * 3 * per_source
    rows = ("random", "all", "pruned", "common", "agreement", "manual")
    assert all(counts["rows"][row] for row in rows)
    assert {task.name for task in plan.resolved.tasks} == {"paper_b/sst2", "paper_b/ag_news"}
    assert checked(plan) == []
