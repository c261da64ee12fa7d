"""Anchors in a plan: which models decide over them, what hashes them, what the preflight counts."""

import json
from typing import Any

import pytest

from sweep.planning.plan import Plan, make_plan
from sweep.planning.preflight import _question
from sweep.spec.spec import parse_spec
from tests.sweep.samples import checked, content, plan_of
from trainables.core.cells import Pack

SOFT = {"lambda": [0, 0.5], "steps": 4, "evaluations": 2}


def sweep_of(targets: tuple[str, ...] = ("T", "B", "U"), **soft: Any) -> Plan:
    return plan_of(
        sources=["A", "B", "C"],
        targets=list(targets),
        methods={"soft": {**SOFT, **soft}},
        direct=True,
    )


def ids(plan: Plan, *rows: str) -> set[str]:
    return {cell.id for cell in plan.cells if cell.row in rows}


def test_targets_decide_over_the_words_of_joint_tunings_only() -> None:
    plain, wide = sweep_of(), sweep_of(anchors="with_targets")
    assert plain.hash != wide.hash
    for row in ("independent", "single", "baseline", "empty", "manual", "constant"):
        assert ids(plain, row) == ids(wide, row)
    for row in ("joint", "ours"):
        assert not ids(plain, row) & ids(wide, row)
    assert all(not cell.counterparts for cell in plain.cells)
    for cell in wide.cells:
        beside = {"T", "B", "U"} - set(cell.sources) if cell.row == "joint" else set()
        assert cell.counterparts == tuple(sorted(beside))
        assert beside <= cell.digests.keys()
        assert cell.digests.keys() >= {*cell.sources, cell.target}


def test_another_target_is_another_joint_tuning() -> None:
    two, three = (
        sweep_of(targets, anchors="with_targets") for targets in (("T", "U"), ("T", "U", "V"))
    )
    assert not ids(two, "joint") & ids(three, "joint")
    assert ids(two, "independent") < ids(three, "independent")
    turned = sweep_of(("U", "T"), anchors="with_targets")
    assert ids(two, "joint", "ours") == ids(turned, "joint", "ours")
    # By default what is tuned does not depend on where it is carried.
    assert ids(sweep_of(("T", "U")), "joint") == ids(sweep_of(("T", "U", "V")), "joint")


def test_a_pack_brings_the_models_it_reads_also_where_little_is_missing() -> None:
    plan = sweep_of(anchors="with_targets")
    missing = next(cell for cell in plan.cells if cell.row == "ours" and cell.target == "T")
    lost = {missing.id, missing.inputs[0]}
    (left,) = plan.remaining(plan.by_id.keys() - lost)
    assert set(left.models) == {*missing.sources, "T", "B", "U"}
    assert {cell.row for cell in left.cells} == {"joint", "ours"}
    assert Pack.from_json(json.loads(json.dumps(left.to_json()))) == left
    for pack in plan.packs:
        if len(pack.sources) > 1:
            assert set(pack.models) == {*pack.sources, "T", "B", "U"}


def test_a_sample_is_in_joint_tunings_and_its_seed_too() -> None:
    plain = sweep_of()
    plans = [sweep_of(anchor_sample=100), sweep_of(anchor_sample=100, anchor_seed=1)]
    for plan in plans:
        assert ids(plan, "independent", "single") == ids(plain, "independent", "single")
        assert not ids(plan, "joint") & ids(plain, "joint")
    assert not ids(plans[0], "joint") & ids(plans[1], "joint")


def test_a_sample_of_the_transfer_is_in_transfers_only() -> None:
    plain, drawn = plan_of(), plan_of(transfer={"anchor_sample": 100})
    assert ids(plain, "independent", "joint") == ids(drawn, "independent", "joint")
    assert not ids(plain, "single", "ours") & ids(drawn, "single", "ours")


def test_the_preflight_counts_the_words_that_are_compared_on() -> None:
    question = _question(sweep_of(anchors="with_targets"))
    assert ("A", "B", "T", "U") in question["together"]
    assert ("B", "C", "T", "U") in question["together"]
    assert ("B", "C") not in question["together"]
    assert question["samples"] == []
    question = _question(sweep_of(anchor_sample=9))
    assert ("B", "C") in question["together"]
    assert question["samples"] == [(("A", "B"), 9), (("A", "C"), 9), (("B", "C"), 9)]
    question = _question(plan_of(transfer={"anchor_sample": 9}))
    assert question["samples"] == [(("A", "B", "T"), 9), (("A", "T"), 9), (("B", "T"), 9)]


@pytest.mark.slow
@pytest.mark.parametrize(("size", "warned"), [(500, False), (10**6, True)])
def test_the_preflight_warns_of_samples_that_are_all_words(size: int, warned: bool) -> None:
    spec = parse_spec(
        content(
            sources=["pocket-bert", "pocket-gpt2"],
            targets=["pocket-llama"],
            tasks=["mini/reviews"],
            methods={"soft": {**SOFT, "anchors": "with_targets", "anchor_sample": size}},
        )
    )
    found = checked(make_plan(spec))
    assert bool(found) == warned
    if warned:
        (line,) = found
        assert "models pocket-bert, pocket-gpt2, pocket-llama share only" in line
        assert line.endswith("anchor_sample 1000000 takes all of them")
