import time
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.planning.plan import Plan, make_plan, running_order
from sweep.planning.schedule import would_take
from sweep.planning.work import cost
from sweep.spec.spec import load_spec, parse_spec
from sweep.testing.tabulated import find_model, find_task
from tests.pace import slowness
from tests.sweep.samples import content, paper_shaped, plan_of, relaxed
from trainables.core.cells import Cell, ModelRef, Pack
from trainables.errors import InputError


@pytest.mark.slow
def test_counts_of_the_papers_sweep() -> None:
    counts = paper_shaped().counts()
    assert counts["kinds"]["transfer"] == 2625
    assert counts["rows"]["ours"] == 2100
    assert counts["rows"]["baseline"] == 350
    assert counts["rows"]["single"] == 175
    assert counts["tunings"] == {"independent": 175, "joint": 2100}
    assert counts["rows"]["independent"] == 175
    assert counts["rows"]["joint"] == 4200
    assert counts["rows"]["empty"] == 7 * 6
    assert counts["packs"] == 5 * 7 + 10 * 7 + 7
    assert counts["done"] == 0
    assert counts["to_run"] == counts["cells"] == 175 + 4200 + 2625 + 3 * 42


@pytest.mark.slow
def test_no_cell_is_planned_twice() -> None:
    plan = paper_shaped()
    assert len({cell.id for cell in plan.cells}) == len(plan.cells)
    assert len({pack.id for pack in plan.packs}) == len(plan.packs)


def test_inputs_are_the_prompts_of_the_sources_in_order() -> None:
    plan = plan_of(sources=["A", "B", "C"], pairs=[["C", "A"], ["A", "B", "C"]], seeds=2)
    rows = Counter(cell.row for cell in plan.cells)
    assert rows["ours"] == 4
    assert rows["joint"] == 2 * (2 + 3)
    for cell in plan.cells:
        if cell.kind != "transfer":
            assert cell.inputs == ()
            continue
        inputs = [plan.by_id[name] for name in cell.inputs]
        assert [item.target for item in inputs] == list(cell.sources)
        assert {item.seed for item in inputs} == {cell.seed}
        assert {(item.weight, item.schedule) for item in inputs} == {(cell.weight, cell.schedule)}
        assert {item.kind for item in inputs} == {"source"}
        expected = {"single": "independent", "baseline": "independent", "ours": "joint"}
        assert {item.row for item in inputs} == {expected[cell.row]}


@pytest.mark.slow
def test_packs_hold_what_they_need() -> None:
    for pack in paper_shaped().packs:
        here = {cell.id for cell in pack.cells}
        wanted = {name for cell in pack.cells for name in cell.inputs}
        assert wanted == (set(pack.needs) if pack.kind == "transfer" else wanted & here)
        assert {cell.target for cell in pack.cells} <= set(pack.models)
        assert {name for cell in pack.cells for name in cell.sources} <= set(pack.models)
        assert list(pack.models)[: len(pack.sources)] == list(pack.sources)


def test_a_prompt_is_read_in_the_layout_it_was_tuned_in() -> None:
    plan = plan_of(methods={"soft": {"position": "infix", "prompt_length": 3, "text_tokens": 20}})
    for cell in plan.cells:
        if cell.kind == "transfer":
            assert cell.settings["position"] == "infix"
            assert cell.settings["prompt_length"] == 3
        assert cell.settings["text_tokens"] == 20


def test_a_source_may_be_a_target_but_carries_nothing_to_itself() -> None:
    plan = plan_of(sources=["A", "B", "C"], targets=["A", "T"])
    transfers = [cell for cell in plan.cells if cell.kind == "transfer"]
    assert not any(cell.target in cell.sources for cell in transfers)
    assert {cell.sources for cell in transfers if cell.target == "A" and cell.row == "ours"} == {
        ("B", "C")
    }
    places = [(cell.row, cell.target) for cell in plan.cells if cell.kind == "reference"]
    assert len(places) == len(set(places)) == 3 * 4


def test_nothing_is_tuned_that_nothing_uses() -> None:
    plan = plan_of(sources=["A", "B"], targets=["A"])
    assert {cell.sources for cell in plan.cells if cell.kind == "source"} == {("B",)}


# Row Direct.


def test_direct_tunes_each_target_once_a_task_and_seed() -> None:
    without, plan = plan_of(seeds=2), plan_of(seeds=2, direct=True)
    added = [cell for cell in plan.cells if cell.id not in without.by_id]
    assert without.by_id.keys() < plan.by_id.keys()
    assert {(c.kind, c.row, c.target, c.sources, c.seed, c.weight) for c in added} == {
        ("source", "independent", "T", ("T",), seed, 0.0) for seed in (0, 1)
    }
    other = next(cell for cell in without.cells if cell.row == "independent")
    assert {str(cell.settings) for cell in added} == {str(other.settings)}
    counts, before = plan.counts(), without.counts()
    assert (counts["direct"], before["direct"]) == (2, 0)
    assert counts["kinds"] == before["kinds"] | {"source": before["kinds"]["source"] + 2}
    assert counts["tunings"]["independent"] == before["tunings"]["independent"] + 2
    assert counts["packs"] == before["packs"] + 1
    assert counts["cells"] == len(plan.cells)
    assert plan.direct == tuple(added)


def test_direct_stands_alone_so_that_its_failure_costs_nothing_else() -> None:
    plan = plan_of(direct=True)
    (pack,) = [pack for pack in plan.packs if pack.sources == ("T",)]
    assert {cell.kind for cell in pack.cells} == {"source"}
    assert list(pack.models) == ["T"]
    direct = {cell.id for cell in plan.direct}
    assert not any(direct & set(other.needs) for other in plan.packs)
    references = [cell for cell in plan.cells if cell.kind == "reference"]
    assert {(cell.target, cell.row) for cell in references} == {
        (model, row) for model in "ABT" for row in ("empty", "manual", "constant")
    }
    assert len(references) == 9


def test_a_target_that_is_also_a_source_is_tuned_once() -> None:
    shape = {"sources": ["A", "B", "C"], "targets": ["A", "T"], "seeds": 2}
    without, plan = plan_of(**shape), plan_of(**shape, direct=True)
    assert len({cell.id for cell in plan.cells}) == len(plan.cells)
    alone = [cell for cell in plan.cells if cell.row == "independent"]
    assert sorted((cell.target, cell.seed) for cell in alone) == [
        (name, seed) for name in "ABCT" for seed in (0, 1)
    ]
    # That of A is the very cell that is carried over to T.
    assert {cell.target for cell in alone if cell.id not in without.by_id} == {"T"}
    carried = {name for cell in plan.cells if cell.row == "single" for name in cell.inputs}
    assert {cell.id for cell in plan.direct if cell.target == "A"} <= carried
    # Without the switch it is there all the same, and counts as what it is.
    assert {cell.target for cell in without.direct} == {"A"}
    assert [pack.sources for pack in plan.packs].count(("A",)) == 1


def test_direct_tunes_a_source_that_is_carried_nowhere_else() -> None:
    plan = plan_of(sources=["A", "B"], targets=["A"], direct=True)
    assert {cell.sources for cell in plan.cells if cell.kind == "source"} == {("A",), ("B",)}


def test_a_lost_ceiling_is_tuned_again_alone() -> None:
    plan = plan_of(direct=True, seeds=2)
    lost = plan.direct[1]
    (pack,) = plan.remaining(set(plan.by_id) - {lost.id})
    assert [cell.id for cell in pack.cells] == [lost.id]
    assert (pack.kind, pack.sources) == ("tune", ("T",))


# Calibration.


def test_calibrations_are_in_every_pack_and_in_no_id() -> None:
    plain, more = plan_of(), plan_of(calibration=["batch", "content_free"])
    assert {pack.calibration for pack in plain.packs} == {("batch",)}
    assert {pack.calibration for pack in more.packs} == {("batch", "content_free")}
    assert plain.by_id.keys() == more.by_id.keys()
    assert plain.hash == more.hash
    left = more.remaining(set(list(more.by_id)[:5]))
    assert {pack.calibration for pack in left} == {("batch", "content_free")}
    assert all(Pack.from_json(pack.to_json()) == pack for pack in left)
    assert [pack.id for pack in plain.packs] == [pack.id for pack in more.packs]
    assert more.resolved.to_json()["calibration"] == ["batch", "content_free"]
    fewer = plan_of(predictions=["validation"])
    assert {pack.predictions for pack in plain.packs} == {("validation", "test")}
    assert {pack.predictions for pack in fewer.packs} == {("validation",)}
    assert all(Pack.from_json(pack.to_json()) == pack for pack in fewer.remaining(()))
    assert [pack.id for pack in plain.packs] == [pack.id for pack in fewer.packs]
    assert fewer.resolved.to_json()["predictions"] == ["validation"]


def test_one_source_alone() -> None:
    plan = plan_of(sources=["A"])
    assert plan.counts()["rows"]["single"] == 1
    assert "ours" not in plan.counts()["rows"]


def test_without_zero_there_is_no_baseline() -> None:
    rows = plan_of(methods={"soft": {"lambda": ["annealing"]}}).counts()["rows"]
    assert "baseline" not in rows
    assert rows["single"] == 2
    assert rows["ours"] == 1


def test_a_sweep_to_its_only_source_is_refused() -> None:
    with pytest.raises(InputError, match="targets: found A"):
        plan_of(sources=["A"], targets=["A"])


@pytest.mark.slow
def test_too_many_cells_are_refused_at_once() -> None:
    began = time.perf_counter()
    with pytest.raises(InputError, match="allowed: 1000000 at most"):
        plan_of(sources=[f"M{number}" for number in range(300)], seeds=1000)
    spent = time.perf_counter() - began
    assert spent < 2 * slowness()


@pytest.mark.slow
def test_ten_thousand_cells_in_two_seconds() -> None:
    def seconds() -> float:
        began = time.process_time()  # not the clock: the machine may do other things too
        plan = plan_of(
            sources=["A", "B", "C", "D", "E", "F"],
            tasks=[f"task{number}" for number in range(8)],
            seeds=5,
            methods={"soft": {"lambda": [0, 0.1, 0.3, 0.5, 0.7, 0.9, "annealing"]}},
        )
        plan.counts()
        packs = plan.remaining(set())
        assert sum(len(pack.cells) for pack in packs) == len(plan.cells) >= 10_000
        return time.process_time() - began

    assert min(seconds() for _ in range(3)) < 2


# What may and may not change the hashes.


def test_the_spec_hash_stays_where_results_stay() -> None:
    plain = plan_of()
    for same in (
        {"description": "other words"},
        {"resources": {"cpu": 4, "gpu": 1, "accelerator": "A100", "replicas": 3}},
        {"mlflow": {"tracking_uri": "http://127.0.0.1:1"}},
        {"tracking": ["tensorboard", "wandb"]},
        {"pairs": [["A", "B"]]},
        {"seeds": [0]},
        {"transfer": {"norm": "match"}},
        {"calibration": []},
        {"predictions": ["validation"]},
    ):
        assert plan_of(**same).hash == plain.hash
        assert plan_of(**same).by_id.keys() == plain.by_id.keys()


def test_the_spec_hash_changes_with_the_results() -> None:
    hashes = [
        plan_of(**change).hash
        for change in (
            {},
            {"name": "other"},
            {"seeds": 2},
            {"tasks": ["x/two"]},
            {"targets": ["U"]},
            {"direct": True},
            {"transfer": {"norm": "mean"}},
            {"methods": {"soft": {"lambda": [0, 0.5], "steps": 5, "evaluations": 2}}},
            {"methods": {"soft": {"lambda": [0, 0.5, "annealing"], "steps": 4, "evaluations": 2}}},
        )
    ]
    assert len(set(hashes)) == len(hashes)


def test_hashes_follow_the_content_of_models() -> None:
    def retrained(name: str, aliases: Any = None, base: Any = None) -> ModelRef:
        found = find_model(name)
        return ModelRef(name, found.location, None, "new") if name == "A" else found

    spec = parse_spec(content())
    before, after = make_plan(spec, find_model, find_task), make_plan(spec, retrained, find_task)
    assert before.hash != after.hash
    kept = {before.by_id[name].target for name in before.by_id.keys() & after.by_id.keys()}
    assert "A" not in kept
    assert kept == {"B", "T"}


def test_a_larger_spec_keeps_the_cells_of_the_smaller() -> None:
    small = plan_of()
    large = plan_of(sources=["A", "B", "C"], tasks=["x/one", "x/two"], seeds=3)
    assert small.by_id.keys() < large.by_id.keys()


# What is left to do.

subsets = st.integers(0, 2**30)


def _some(plan: Plan, seed: int) -> set[str]:
    from random import Random

    rng = Random(seed)
    share = rng.random()
    return {cell.id for cell in plan.cells if rng.random() < share}


@pytest.mark.slow
@relaxed
@given(seed=subsets)
def test_what_remains_is_what_is_missing_and_what_that_takes(seed: int) -> None:
    plan = plan_of(
        sources=["A", "B", "C"],
        targets=["C", "T"],
        tasks=["x", "y"],
        seeds=2,
        methods={"soft": {"lambda": [0, 0.5, "annealing"]}},
        direct=True,
    )
    done = _some(plan, seed)
    packs = plan.remaining(done)
    left = [cell for pack in packs for cell in pack.cells]
    assert len({cell.id for cell in left}) == len(left)
    missing = {cell.id for cell in plan.cells} - done
    assert missing <= {cell.id for cell in left}
    for pack in packs:
        assert any(cell.id not in done for cell in pack.cells)
        here = {cell.id for cell in pack.cells}
        tunings = {cell.tuning for cell in pack.cells if cell.id not in done and cell.sources}
        for cell in pack.cells:
            if cell.id in done:
                assert (pack.kind, cell.kind) == ("tune", "source")
                assert cell.tuning in tunings
            assert set(cell.inputs) <= (here if pack.kind == "tune" else set(pack.needs))
        assert set(pack.needs) <= done | missing
        if pack.kind == "transfer":
            assert {name for cell in pack.cells for name in cell.inputs} == set(pack.needs)
            assert not any(cell.kind == "source" for cell in pack.cells)
        else:
            assert any(cell.kind == "source" and cell.id not in done for cell in pack.cells)


def test_nothing_remains_of_a_finished_sweep() -> None:
    plan = plan_of()
    assert plan.remaining(set(plan.by_id)) == ()
    assert plan.counts(set(plan.by_id))["to_run"] == 0


def test_a_lost_transfer_trains_nothing() -> None:
    plan = plan_of(seeds=2)
    lost = next(cell for cell in plan.cells if cell.row == "ours" and cell.seed == 1)
    (pack,) = plan.remaining(set(plan.by_id) - {lost.id})
    assert (pack.kind, pack.sources, pack.needs) == ("transfer", (), lost.inputs)
    assert [cell.id for cell in pack.cells] == [lost.id]


def test_a_lost_prompt_brings_its_tuning_along_and_other_transfers_do_without() -> None:
    plan = plan_of(seeds=2)
    joint = [cell for cell in plan.cells if cell.row == "joint" and cell.seed == 1]
    other = next(cell for cell in plan.cells if cell.row == "ours" and cell.seed == 0)
    tuned, carried = plan.remaining(set(plan.by_id) - {joint[0].id, other.id})
    assert {cell.id for cell in tuned.cells} == {cell.id for cell in joint}
    assert (tuned.kind, tuned.needs) == ("tune", ())
    assert [cell.id for cell in carried.cells] == [other.id]
    assert (carried.kind, carried.needs) == ("transfer", other.inputs)


def test_a_lost_baseline_takes_its_inputs_from_the_ledger() -> None:
    plan = plan_of()
    lost = next(cell for cell in plan.cells if cell.row == "baseline")
    (pack,) = plan.remaining(set(plan.by_id) - {lost.id})
    assert pack.kind == "transfer"
    assert [cell.id for cell in pack.cells] == [lost.id]
    assert pack.needs == lost.inputs


def test_lost_reference_rows_train_nothing() -> None:
    plan = plan_of()
    lost = {cell.id for cell in plan.cells if cell.row == "manual"}
    for pack in plan.remaining(set(plan.by_id) - lost):
        assert (pack.kind, pack.sources, pack.needs) == ("transfer", (), ())
        assert set(pack.models) == {cell.target for cell in pack.cells}


def test_the_order_starts_with_what_others_wait_for() -> None:
    packs = running_order(paper_shaped().packs)
    stages = [(len(pack.sources) or 1.5) for pack in packs]
    assert stages == sorted(stages)
    joint = [pack for pack in packs if len(pack.sources) > 1]
    assert [cost(pack) for pack in joint] == sorted(map(cost, joint), reverse=True)
    changes = sum(a.sources != b.sources for a, b in pairwise(joint))
    assert changes == 9


def test_large_packs_are_not_begun_last() -> None:
    """Two large joint tunings beside many small packs: two workers end together."""
    weights = [0, 0.1, 0.3, 0.5, 0.9]
    plan = plan_of(tasks=["mini/reviews", "mini/topics"], methods={"soft": {"lambda": weights}})
    packs = running_order(plan.packs)
    whole = sum(map(cost, packs))
    large = [pack for pack in packs if cost(pack) * 8 >= whole and pack.kind != "transfer"]
    assert packs[: len(large)] == large
    assert {len(pack.sources) for pack in large} == {2}
    assert len(large) < len(packs) / 2
    schedule = would_take(packs, (), 2, lambda pack: float(cost(pack)))
    assert schedule.utilisation > 0.9


# Names.


def test_unknown_models_and_tasks_are_refused_before_anything_runs() -> None:
    spec = load_spec("smoke")
    bad = parse_spec({**_as_content(spec.text), "sources": ["pocket-brt", "pocket-gpt2"]})
    with pytest.raises(InputError, match="pocket-bert"):
        make_plan(bad, find_task=find_task)
    bad = parse_spec({**_as_content(spec.text), "tasks": ["mini/topcs"]})
    with pytest.raises(InputError, match="mini/topics"):
        make_plan(bad, find_model=find_model)


def _as_content(text: str) -> dict[str, Any]:
    import yaml

    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def test_two_models_may_not_share_a_short_name() -> None:
    def short(name: str, aliases: Any = None, base: Any = None) -> ModelRef:
        return ModelRef(name.rpartition("/")[2], name, None, name)

    spec = parse_spec(content(sources=["x/bert", "y/bert"]))
    with pytest.raises(InputError, match="share the short name 'bert'"):
        make_plan(spec, short, find_task)
    spec = parse_spec(content(sources=["x/a+b", "y"]))
    with pytest.raises(InputError, match=r"has a \+ in it"):
        make_plan(spec, short, find_task)


def test_one_model_may_not_come_twice_under_two_names() -> None:
    def same(name: str, aliases: Any = None, base: Any = None) -> ModelRef:
        return ModelRef("bert", "/m", None, "d")

    with pytest.raises(InputError, match="are the same model"):
        make_plan(parse_spec(content(sources=["bert", "./bert"])), same, find_task)


def test_a_task_may_not_be_called_like_a_model() -> None:
    with pytest.raises(InputError, match="is a model's name too"):
        plan_of(tasks=["A"])


def test_cells_know_their_ingredients() -> None:
    cell = next(cell for cell in plan_of().cells if cell.row == "ours")
    assert isinstance(cell, Cell)
    assert set(cell.digests) == {"A", "B", "T", "x/one"}
