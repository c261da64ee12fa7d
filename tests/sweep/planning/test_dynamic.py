"""Dynamic prompts in a plan: controls, ways that carry them, and what is refused."""

from typing import Any

import pytest

from sweep.planning.plan import Plan
from tests.sweep.samples import plan_of
from trainables.core.cells import Cell
from trainables.errors import InputError

SECTION = {
    "prompt_length": 4,
    "steps": 4,
    "evaluations": 2,
    "adapt": ["position", "unified"],
    "level": ["task", "instance", "fixed", "parameters"],
    "behind": [0, 2, 4],
    "temperature": [1.0, 2.0],
}


def planned(section: dict[str, Any] | None = None, **changes: Any) -> Plan:
    given = {
        **{"sources": ["A", "B"], "targets": ["A", "B"], "pairs": [], "tasks": ["x"], "seeds": 2},
        **{"methods": {"dynamic": section or SECTION}, "transfer": [], "direct": True},
    }
    return plan_of(**{**given, **changes})


def settings_of(cells: list[Cell], level: str) -> set[str]:
    return {str(dict(cell.settings)) for cell in cells if cell.settings.get("level") == level}


def test_controls_and_variants_are_planned_once_and_nothing_is_carried() -> None:
    plan = planned()
    tuned = [cell for cell in plan.cells if cell.kind == "source"]
    assert {cell.kind for cell in plan.cells} == {"source", "reference"}
    assert {cell.method for cell in tuned} == {"dynamic"}
    assert len(settings_of(tuned, "fixed")) == 3  # positions
    assert len(settings_of(tuned, "parameters")) == 2 * 3  # for what is decided, and positions
    for level in ("task", "instance"):
        assert len(settings_of(tuned, level)) == 2 * 2  # what is decided, and temperatures
    assert len(tuned) == (3 + 6 + 4 + 4) * 2 * 2
    assert len(plan.by_id) == len(plan.cells)


def test_vectors_go_by_maps_and_decisions_by_a_way_of_their_own() -> None:
    ways = [{"solver": "closed_form"}, {"solver": "decisions", "texts": 64}]
    plan = planned(transfer=ways)
    moved = [cell for cell in plan.cells if cell.kind == "transfer"]
    by_way = {
        solver: {cell.settings["level"] for cell in moved if cell.settings["solver"] == solver}
        for solver in ("closed_form", "decisions")
    }
    # A control that decides nothing has no decisions to carry, one of as many parameters no
    # counterpart.
    assert by_way == {
        "closed_form": {"task", "instance", "fixed"},
        "decisions": {"task", "instance"},
    }
    for cell in moved:
        assert cell.sources != (cell.target,)
        if cell.settings["solver"] == "decisions":
            assert cell.settings["texts"] == 64


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"transfer": {"solver": "distil"}},
            "transfer.solver: found distil beside methods.dynamic",
        ),
        (
            {"transfer": {"solver": "ridge", "selection": "target_validation"}},
            "transfer.selection: found target_validation beside methods.dynamic",
        ),
        ({"pairs": "all"}, r"pairs: found 'all' beside methods.dynamic.* allowed: \[\]"),
        ({"section": {"lambda": [0, 0.5]}}, r"methods.dynamic.lambda: found 0.5; allowed: \[0\]"),
        (
            {"task_transfer": {"zero_shot": True}, "tasks": ["x", "y"]},
            "task_transfer.zero_shot: found true beside methods.dynamic",
        ),
        (
            {
                "methods": {"soft": {"steps": 4, "evaluations": 2}},
                "transfer": {"solver": "decisions"},
            },
            "transfer.solver: found decisions beside soft; allowed: with a method whose prompts",
        ),
        ({"direct": False}, r"transfer: found \[\] beside direct: false, so that nothing is tuned"),
        (
            {"section": {"level": "fixed"}, "transfer": {"solver": "decisions"}},
            "transfer.solver: found decisions beside dynamic; allowed: with a method whose prompts",
        ),
    ],
)
def test_what_cannot_take_heads_is_refused_in_a_sentence(
    changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        planned(**changes)


def test_mixtures_of_tasks_and_few_shots_are_planned() -> None:
    section = {
        "embedding_steps": 2,
        "retrieval": ["average_tokens"],
        "weighted": [],
        "mixture": [1],
    }
    plan = planned(
        {"shots": 4, "steps": 4, "evaluations": 2},
        sources=["A"],
        targets=["A"],
        tasks=["x", "y"],
        task_transfer=section,
    )
    rows = {cell.row for cell in plan.cells if cell.kind == "source"}
    assert "mixture" in rows
    assert {cell.settings["level"] for cell in plan.cells if cell.row == "mixture"} == {"instance"}
