"""Prompts on tasks they were not tuned on, and starts from other models: what is planned."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from sweep.ledger.ledger import Ledger
from sweep.planning.plan import MOST_CELLS, Plan, _upper_bound
from sweep.testing.simulated import simulate_sweep
from tests.sweep.samples import plan_of
from trainables.core.cells import Cell
from trainables.errors import InputError

FEW = {"soft": {"lambda": [0], "steps": 4, "evaluations": 2, "shots": 4}}


def planned(section: dict[str, Any], **changes: Any) -> Plan:
    given = {
        **{"sources": ["A"], "targets": ["A"], "pairs": [], "tasks": ["x", "y", "z"], "seeds": 2},
        **{"methods": FEW, "task_transfer": section},
    }
    return plan_of(**{**given, **changes})


def rows(plan: Plan, row: str) -> list[Cell]:
    return [cell for cell in plan.cells if cell.row == row]


def test_every_source_prompt_is_evaluated_on_every_other_task() -> None:
    plan = planned({"zero_shot": True})
    assert len(plan.by_id) == len(plan.cells)
    crossed = [cell for cell in rows(plan, "cross_task") if cell.origin]
    wanted = {(a, b, seed) for a, b, seed in product("xyz", "xyz", (0, 1)) if a != b}
    assert {(cell.origin[0], cell.task, cell.seed) for cell in crossed} == wanted
    for cell in crossed:
        prompt, own = (plan.by_id[name] for name in cell.inputs)
        assert [prompt.task, own.task] == [cell.origin[0], cell.task]
        for each in (prompt, own):  # both as source tasks are tuned: with all their examples
            assert (each.row, each.seed, each.settings.get("shots")) == (
                "independent", cell.seed, None,
            )  # fmt: skip
        assert cell.kind == "crossed"
        assert "steps" not in cell.settings
    # Prompts of random numbers: one a task and seed.
    drawn = [cell for cell in rows(plan, "cross_task") if not cell.origin]
    assert {(cell.task, cell.seed) for cell in drawn} == set(product("xyz", (0, 1)))
    assert not any(cell.inputs for cell in drawn)


def test_on_other_models_every_way_that_ends_in_a_prompt_is_crossed() -> None:
    ways = [{"solver": "closed_form"}, {"solver": "tune", "steps": [2, 4]}, {"solver": "readout"}]
    plan = planned({"zero_shot": True}, targets=["A", "B"], transfer=ways)
    there = [cell for cell in rows(plan, "cross_task") if cell.target == "B" and cell.origin]
    assert len(there) == 3 * 2 * 2 * 3
    for cell in there:
        prompt, own = (plan.by_id[name] for name in cell.inputs)
        assert (prompt.row, prompt.target, prompt.task) == ("single", "B", cell.origin[0])
        assert own.task == cell.task
        assert prompt.settings == own.settings
        assert prompt.settings["solver"] != "readout"
        assert plan.by_id[prompt.inputs[0]].settings.get("shots") is None


def test_a_refined_prompt_starts_from_the_tasks_own_one_on_another_model() -> None:
    ways = [{"solver": "closed_form"}, {"solver": "ridge"}]
    plan = planned({"refine": True}, targets=["A", "B"], transfer=ways)
    refined = rows(plan, "refined")
    assert len(refined) == 3 * 2 * 2
    assert not rows(plan, "cross_task")
    for cell in refined:
        (carried,) = (plan.by_id[name] for name in cell.inputs)
        assert (cell.target, cell.sources, cell.origin) == ("B", ("B",), ())
        assert (carried.row, carried.target, carried.task) == ("single", "B", cell.task)
        assert cell.settings["shots"] == 4
    # The control is tuned there too, from words of the same seed.
    control = [cell for cell in rows(plan, "independent") if cell.target == "B"]
    assert {(cell.task, cell.seed) for cell in control} == set(product("xyz", (0, 1)))
    assert {cell.settings["init"] for cell in control} == {"vocabulary"}


def test_a_prompt_that_is_carried_anyway_is_carried_once() -> None:
    methods = {"soft": {"lambda": [0], "steps": 4, "evaluations": 2}}
    section = {"zero_shot": True, "refine": True}
    plan = planned(section, targets=["A", "B"], methods=methods)
    without = plan_of(sources=["A"], targets=["A", "B"], pairs=[], methods=methods, seeds=2,
                      tasks=["x", "y", "z"])  # fmt: skip
    single = {cell.id for cell in rows(plan, "single")}
    assert single == {cell.id for cell in rows(without, "single")}
    assert len(plan.by_id) == len(plan.cells)


def test_all_of_it_runs_and_a_second_run_finds_nothing_to_do(tmp_path: Path) -> None:
    section = {"zero_shot": True, "refine": True, "source_tasks": ["x", "y"]}
    plan = planned(section, targets=["A", "B"], tasks=["x", "y", "z"])
    assert len(plan.cells) <= _upper_bound(plan.resolved) <= MOST_CELLS
    assert not simulate_sweep(plan, tmp_path).failures
    assert Ledger(tmp_path, {}).done_ids() == set(plan.by_id)
    assert simulate_sweep(plan, tmp_path).done == 0


def test_without_further_draws_there_is_one_control() -> None:
    assert rows(planned({}), "restarted")
    assert not rows(planned({"restarts": False}), "restarted")
    assert planned({}).hash == planned({"restarts": True, "zero_shot": False}).hash
    assert planned({}).hash != planned({"restarts": False}).hash
    assert "restarts" not in str(planned({}).resolved.settings_json())


def test_a_mistake_is_answered_in_one_sentence() -> None:
    with pytest.raises(
        InputError, match=r"task_transfer.refine: found true beside targets A; allo"
    ):
        planned({"refine": True})
    with pytest.raises(InputError, match=r"task_transfer.zero_shot: found 'yes'; allowed: true \("):
        planned({"zero_shot": "yes"})
