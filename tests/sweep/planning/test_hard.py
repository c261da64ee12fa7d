"""Cells and packs of hard prompts: what is searched once, what shares a stack, what ids cover."""

from typing import Any

import pytest

from sweep.planning.plan import Plan, make_plan
from sweep.spec.spec import parse_spec
from sweep.testing.tabulated import find_model, find_task
from trainables.core.cells import Cell, Pack
from trainables.errors import InputError

SPEC: dict[str, Any] = {
    "name": "hard",
    "sources": ["a", "b", "c"],
    "targets": ["t", "u"],
    "tasks": ["one", "two"],
    "seeds": 2,
    "methods": {"pez": {"vocabulary": ["all", "random", "common", "agreement"], "steps": 50}},
    "direct": False,
}


def _plan(**changes: Any) -> Plan:
    return make_plan(parse_spec({**SPEC, **changes}), find_model, find_task)


def _pez(**settings: Any) -> dict[str, Any]:
    return {"pez": {**SPEC["methods"]["pez"], **settings}}


def test_every_cell_is_there_once() -> None:
    plan = _plan()
    per_source = (1 + 1 + 2 + 2) * 2  # all, random, two counterparts each for common and agreement
    counts = plan.counts()
    assert counts["kinds"] == {
        "source": 2 * 3 * per_source,
        "transfer": 2 * 2 * 3 * per_source,
        "reference": 2 * 5 * 3,
    }
    assert counts["searches"] == 2 * 3 * per_source
    assert counts["tunings"] == {"independent": 0, "joint": 0}
    assert len(plan.by_id) == len(plan.cells)


def test_one_source_and_task_is_one_stack_and_one_target_one_transfer_pack() -> None:
    plan = _plan(methods=_pez(s=[10, 20], k=[4, 8]))
    tune = [pack for pack in plan.packs if pack.kind == "tune"]
    assert len(tune) == 3 * 2
    transfer = [pack for pack in plan.packs if pack.kind == "transfer"]
    assert sorted((pack.cells[0].target, pack.task.name) for pack in transfer) == [
        ("t", "one"),
        ("t", "two"),
        ("u", "one"),
        ("u", "two"),
    ]


def test_another_way_of_searching_is_another_pack() -> None:
    packs = _plan(methods=_pez(state=["continuous", "projected"])).packs
    assert len([pack for pack in packs if pack.kind == "tune"]) == 2 * 3 * 2


def test_what_a_vocabulary_does_not_read_multiplies_nothing() -> None:
    plan = _plan(methods=_pez(s=[10, 20], k=[4, 8]))
    per_source = {"all": 1, "pruned": 2, "common": 2 * 2, "agreement": 2 * 2 * 2}
    for row, number in per_source.items():
        cells = [cell for cell in plan.cells if cell.kind == "source" and cell.row == row]
        assert len(cells) == number * 2 * 2 * 3
    cell = next(cell for cell in plan.cells if cell.row == "pruned")
    assert "s" in cell.settings
    assert "k" not in cell.settings


def test_a_tune_pack_loads_counterparts_and_a_transfer_pack_its_target_alone() -> None:
    for pack in _plan().packs:
        if pack.kind == "tune":
            assert set(pack.models) == {"a", "b", "c"}
            assert next(iter(pack.models)) == pack.sources[0]
        else:
            assert set(pack.models) == {pack.cells[0].target}
            assert set(pack.needs) == {name for cell in pack.cells for name in cell.inputs}


def test_ids_cover_counterparts_and_their_content() -> None:
    cells = [cell for cell in _plan().cells if cell.row == "agreement" and cell.kind == "source"]
    cell = cells[0]
    assert set(cell.digests) == {*cell.sources, *cell.counterparts, cell.task}
    assert Cell.from_json(cell.to_json()) == cell
    changed = {**cell.to_json(), "counterparts": ["x"]}
    assert Cell.from_json(changed).id != cell.id


def test_a_cell_without_counterparts_says_nothing_of_them() -> None:
    cell = next(cell for cell in _plan().cells if cell.row == "all")
    assert "counterparts" not in cell.to_json()


def test_a_transferred_prompt_repeats_what_tells_it_apart() -> None:
    for cell in _plan(methods=_pez(s=[10, 20])).cells:
        if cell.kind == "transfer" and cell.row == "agreement":
            assert {"vocabulary", "s", "k", "state", "prompt_length"} <= set(cell.settings)
            assert "learning_rate" not in cell.settings


def test_direct_searches_on_targets_over_all_their_words() -> None:
    with_direct = _plan(direct=True)
    direct = with_direct.direct
    assert {(cell.target, cell.row) for cell in direct} == {("t", "all"), ("u", "all")}
    assert len(direct) == 2 * 2 * 2
    # A direct prompt stays where it was tuned.
    carried = {name for cell in with_direct.cells for name in cell.inputs}
    assert not carried & {cell.id for cell in direct}


def test_a_source_that_is_a_target_too_is_searched_once() -> None:
    plan = _plan(targets=["a", "t"], direct=True)
    searched = [cell for cell in plan.cells if cell.kind == "source" and cell.target == "a"]
    assert len({cell.id for cell in searched}) == len(searched)
    assert all(cell.sources != (cell.target,) for cell in plan.cells if cell.kind == "transfer")


def test_what_is_missing_runs_and_nothing_beside_it() -> None:
    plan = _plan()
    missing = next(cell for cell in plan.cells if cell.kind == "source" and cell.row == "common")
    (pack,) = plan.remaining(set(plan.by_id) - {missing.id})
    assert isinstance(pack, Pack)
    assert [cell.id for cell in pack.cells] == [missing.id]
    assert set(pack.models) == {*missing.sources, *missing.counterparts}


def test_soft_and_hard_methods_are_one_plan() -> None:
    plan = _plan(methods={"soft": {"lambda": [0, 0.5]}, **_pez()})
    counts = plan.counts()
    assert counts["searches"]
    assert counts["tunings"]["joint"]
    references = [cell for cell in plan.cells if cell.kind == "reference"]
    assert len(references) == 3 * 5 * 2


def test_methods_that_cut_texts_differently_have_references_of_their_own() -> None:
    plan = _plan(methods={"soft": {"text_tokens": 10}, **_pez(text_tokens=20)})
    references = [cell for cell in plan.cells if cell.kind == "reference"]
    assert len({cell.id for cell in references}) == len(references) == 2 * 3 * 5 * 2
    assert {cell.settings["text_tokens"] for cell in references} == {10, 20}


def test_lambda_is_no_setting_of_a_hard_method() -> None:
    with pytest.raises(InputError, match=r"methods\.pez: unknown key 'lambda'"):
        _plan(methods=_pez(**{"lambda": [0.5]}))


def test_counterparts_are_no_setting_of_a_soft_method() -> None:
    with pytest.raises(InputError, match=r"methods\.soft: unknown key 'counterparts'"):
        _plan(methods={"soft": {"counterparts": "others"}})


def test_a_counterpart_may_be_no_source() -> None:
    plan = _plan(methods=_pez(counterparts=["x"]))
    assert {cell.counterparts for cell in plan.cells if cell.row == "common"} == {("x",)}
    assert "x" in plan.resolved.models
    assert not [cell for cell in plan.cells if cell.target == "x"]


def test_without_need_counterparts_are_not_looked_at() -> None:
    plan = _plan(sources=["a"], methods={"pez": {"vocabulary": "all"}})
    assert plan.counts()["searches"] == 4


HELPED: dict[str, Any] = {"rlprompt": {"steps": 4, "evaluations": 2, "helper": "h"}}


def test_a_search_with_a_control_has_it_in_its_stack_and_carries_it_too() -> None:
    plan = _plan(methods=HELPED)
    rows = plan.counts()["rows"]
    assert rows["all"] == rows["drawn"] == 2 * 3 * 2 * (1 + 2)
    for pack in plan.packs:
        searched = [cell for cell in pack.cells if cell.kind == "source"]
        assert sum(cell.row == "drawn" for cell in searched) == len(searched) / 2
    assert all(cell.row != "drawn" for cell in _plan().cells)


def test_a_helper_is_loaded_where_it_helps_and_is_in_the_ids() -> None:
    plan = _plan(methods=HELPED)
    for pack in plan.packs:
        assert ("h" in pack.models) == (pack.kind == "tune")
    cell = next(cell for cell in plan.cells if cell.kind == "source")
    assert set(cell.digests) == {*cell.sources, "helper h", cell.task}
    other = _plan(methods={"rlprompt": {**HELPED["rlprompt"], "helper": "other"}})
    assert not {cell.id for cell in other.cells if cell.kind == "source"} & plan.by_id.keys()
    assert other.hash != plan.hash


def test_a_control_that_is_missing_runs_alone() -> None:
    plan = _plan(methods=HELPED)
    missing = next(cell for cell in plan.cells if cell.kind == "source" and cell.row == "drawn")
    (pack,) = plan.remaining(set(plan.by_id) - {missing.id})
    assert [cell.id for cell in pack.cells] == [missing.id]
    assert set(pack.models) == {*missing.sources, "h"}


def test_all_counterparts_reward_where_the_mean_is_asked_for() -> None:
    plan = _plan(methods={"rlprompt": {**HELPED["rlprompt"], "reward": ["source", "mean"],
                                       "counterparts": "together"}})  # fmt: skip
    searched = [cell for cell in plan.cells if cell.kind == "source" and cell.target == "a"]
    assert {cell.counterparts for cell in searched} == {(), ("b", "c")}
    assert all(
        set(pack.models) == {"a", "b", "c", "h"}
        for pack in plan.packs
        if pack.kind == "tune" and pack.cells[0].counterparts and pack.sources == ("a",)
    )


def test_a_search_over_settings_plans_no_controls_and_finds_its_helpers() -> None:
    from sweep.search.plan import make_search_plan

    spec = {**SPEC, "search": {"trials": 2}, "methods": {"proposals": {"helper": ["h", "b"]}}}
    plan = make_search_plan(parse_spec(spec), find_model, find_task)
    assert {name: model.alias for name, model in plan.resolved.helpers.items()} == {
        "h": "h",
        "b": "b",
    }
    cells = plan.sample().cells
    assert {cell.settings["helper"] for cell in cells if cell.kind == "source"} == {"h", "b"}
    assert all(cell.row != "drawn" for cell in cells)
