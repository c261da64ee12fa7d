"""The order of packs and the fate of cells whose inputs failed, without Ray."""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.engine.outcomes import Outcomes
from sweep.ledger.ledger import Ledger
from sweep.planning.agenda import Agenda
from sweep.planning.plan import Plan
from sweep.testing.tabulated import run_tabulated
from tests.sweep.samples import paper_shaped, plan_of, relaxed
from trainables.core.cells import Cell, Pack


class Refused(dict[str, str]):
    """Takes the cells that cannot be had."""

    def __call__(self, cell: Cell, reason: str, pack: str) -> None:
        assert cell.id not in self
        self[cell.id] = reason


def _plan() -> Plan:
    return plan_of(
        sources=["A", "B", "C"],
        targets=["T", "U"],
        tasks=["x", "y"],
        seeds=2,
        methods={"soft": {"lambda": [0, 0.5, "annealing"]}},
        direct=True,
    )


def _ids(pack: Pack) -> list[str]:
    return [cell.id for cell in pack.cells]


def test_a_pack_waits_for_its_inputs() -> None:
    agenda = Agenda(plan_of().packs, set(), Refused())
    first, second = agenda.next_pack(), agenda.next_pack()
    assert first is not None
    assert second is not None
    assert (first.sources, second.sources) == (("A",), ("B",))
    joint = agenda.next_pack()
    assert joint is not None
    assert joint.sources == ("A", "B")
    assert agenda.next_pack() is None
    assert not agenda.finished
    agenda.close(first.id, _ids(first), [])
    assert agenda.next_pack() is None
    agenda.close(second.id, _ids(second), [])
    last = agenda.next_pack()
    assert last is not None
    assert last.kind == "transfer"
    agenda.close(joint.id, _ids(joint), [])
    agenda.close(last.id, _ids(last), [])
    assert agenda.next_pack() is None
    assert agenda.finished


def test_transfers_go_before_joint_tunings_once_they_are_ready() -> None:
    """In a sweep of so many packs that none is a good part of all work."""
    agenda = Agenda(paper_shaped().packs, set(), Refused())
    kinds = []
    while (pack := agenda.next_pack()) is not None:
        kinds.append((pack.kind, len(pack.sources)))
        agenda.close(pack.id, _ids(pack), [])
    order = [("tune", 1), ("transfer", 0), ("tune", 2)]
    assert set(kinds) == set(order)
    assert kinds == sorted(kinds, key=order.index)


def test_cells_of_failed_inputs_are_refused_and_the_others_run() -> None:
    refused = Refused()
    plan = plan_of()
    agenda = Agenda(plan.packs, set(), refused)
    first, second = agenda.next_pack(), agenda.next_pack()
    assert first is not None
    assert second is not None
    agenda.close(first.id, [], [(name, "no luck") for name in _ids(first)])
    agenda.close(second.id, _ids(second), [])
    joint, transfer = agenda.next_pack(), agenda.next_pack()
    assert joint is not None
    assert transfer is not None
    assert {plan.by_id[name].sources for name in refused} == {("A",), ("A", "B")}
    assert all("no luck" in reason for reason in refused.values())
    assert {cell.sources for cell in transfer.cells if cell.kind == "transfer"} == {("B",)}
    assert set(transfer.needs) <= set(_ids(second))


def test_inputs_that_nobody_computes_do_not_block() -> None:
    plan = plan_of()
    transfer = [pack for pack in plan.packs if pack.kind == "transfer"]
    refused = Refused()
    agenda = Agenda(transfer, set(), refused)
    pack = agenda.next_pack()
    assert pack is not None
    assert {cell.kind for cell in pack.cells} == {"reference"}
    assert all("no pack of this run computes it" in reason for reason in refused.values())
    agenda.close(pack.id, _ids(pack), [])
    assert agenda.finished


@pytest.mark.slow
@relaxed
@given(seed=st.integers(0, 10**6))
def test_every_cell_ends_exactly_once(seed: int) -> None:
    """Random ledgers, parallelism and failures: each missing cell is done, failed or refused."""
    rng = Random(seed)
    plan = _plan()
    before = {cell.id for cell in plan.cells if rng.random() < rng.choice([0, 0.5, 0.95])}
    refused = Refused()
    agenda = Agenda(plan.remaining(before), before, refused)
    done, failed = set(before), dict[str, str]()
    running: list[Pack] = []
    for _ in range(10_000):
        if agenda.finished:
            break
        pack = agenda.next_pack() if len(running) < 3 else None
        if pack is not None:
            assert set(pack.needs) <= done
            running.append(pack)
        elif running:
            over = running.pop(rng.randrange(len(running)))
            good = [cell.id for cell in over.cells if rng.random() < 0.8]
            bad = [(cell.id, "no") for cell in over.cells if cell.id not in good]
            done |= set(good)
            failed |= dict(bad)
            agenda.close(over.id, good, bad)
    assert agenda.finished
    assert not failed.keys() & refused.keys()
    assert done | failed.keys() | refused.keys() == set(plan.by_id)
    for name in refused:
        assert any(key in failed or key in refused for key in plan.by_id[name].inputs)


# Outcomes.


def _outcome(pack: Pack, ledger: Ledger) -> dict[str, Any]:
    prompts = {name: ledger.prompt(name) for name in pack.needs}
    return vars(run_tabulated(pack, prompts))


def test_outcomes_become_records(tmp_path: Any) -> None:
    plan = plan_of()
    ledger = Ledger(tmp_path)
    seen: list[str] = []
    outcomes = Outcomes(ledger, lambda record: seen.append(record["id"]))
    agenda = Agenda(plan.packs, set(), outcomes.refuse)
    while (pack := agenda.next_pack()) is not None:
        sent = outcomes.payload(pack)
        assert Pack.from_json(sent["pack"]) == pack
        assert set(sent["prompts"]) == set(pack.needs)
        closed = outcomes.close(pack, _outcome(pack, ledger))
        assert closed.failed == []
        agenda.close(pack.id, closed.done, closed.failed)
    assert ledger.done_ids() == set(plan.by_id) == set(seen)
    assert outcomes.failures == {}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"error": "RuntimeError: no luck", "traceback": "Traceback"}, "no luck"),
        ({"results": {}, "failures": {}}, "gave no result"),
        ({"prompts": {}, "results": None}, "score"),
    ],
)
def test_failures_are_recorded(tmp_path: Any, change: dict[str, Any], reason: str) -> None:
    plan = plan_of()
    pack = plan.packs[0]
    ledger = Ledger(tmp_path)
    outcomes = Outcomes(ledger)
    outcome = {**_outcome(pack, ledger), **change}
    if outcome["results"] is None:
        outcome["results"] = {cell.id: {"score": float("nan")} for cell in pack.cells}
    closed = outcomes.close(pack, outcome)
    assert closed.done == []
    assert {name for name, _ in closed.failed} == set(_ids(pack)) == set(outcomes.failures)
    for failure in ledger.failures():
        assert reason in failure["reason"]
    assert ledger.done_ids() == set()


def test_a_dead_worker_fails_its_cells_but_not_those_that_are_there(tmp_path: Any) -> None:
    pack = plan_of().packs[0]
    ledger = Ledger(tmp_path)
    outcomes = Outcomes(ledger)
    half = _outcome(pack, ledger)
    half["results"].pop(pack.cells[0].id)
    half["failures"] = {pack.cells[0].id: "the loss was no number"}
    closed = outcomes.close(pack, half)
    assert closed.failed == [(pack.cells[0].id, "the loss was no number")]
    outcomes.close(pack, None, "its worker process died")
    assert outcomes.failures == {pack.cells[0].id: "its worker process died"}
    assert ledger.done_ids() == {cell.id for cell in pack.cells[1:]}


def test_a_cell_is_tried_again_as_often_as_asked() -> None:
    plan, refused = plan_of(), Refused()
    agenda = Agenda(plan.packs, set(), refused, retries=2)
    tries: dict[str, int] = {}
    order = []
    while (pack := agenda.next_pack()) is not None:
        order.append(pack)
        failed = [(name, "no luck") for name in _ids(pack) if pack.sources == ("A",)]
        for name, _ in failed:
            tries[name] = tries.get(name, 0) + 1
        agenda.close(pack.id, set(_ids(pack)) - {name for name, _ in failed}, failed)
    assert agenda.finished
    assert set(tries.values()) == {3}
    # The others went first.
    assert [pack.sources for pack in order[:5]] == [("A",), ("B",), ("A", "B"), ("A",), ("A",)]
    assert {plan.by_id[name].row for name in refused} == {"single", "baseline"}


@pytest.mark.slow
@relaxed
@given(seed=st.integers(0, 2**32), retries=st.integers(0, 3), running=st.integers(1, 4))
def test_retries_come_to_an_end_in_any_order(seed: int, retries: int, running: int) -> None:
    """Every cell is done, failed as often as allowed, or refused; none is lost."""
    plan, refused, random = _plan(), Refused(), Random(seed)
    agenda = Agenda(plan.packs, set(), refused, retries)
    done: set[str] = set()
    fails: dict[str, int] = {}
    out: list[Pack] = []
    while not agenda.finished:
        while len(out) < running and (pack := agenda.next_pack()) is not None:
            assert done.issuperset(pack.needs)
            out.append(pack)
        pack = out.pop(random.randrange(len(out)))
        lost = [name for name in _ids(pack) if name not in done and random.random() < 0.2]
        for name in lost:
            fails[name] = fails.get(name, 0) + 1
        done |= set(_ids(pack)) - set(lost)
        agenda.close(pack.id, set(_ids(pack)) - set(lost), [(name, "no") for name in lost])
    given_up = {name for name, number in fails.items() if name not in done}
    assert all(fails[name] == retries + 1 for name in given_up)
    assert done | given_up | set(refused) == set(plan.by_id)
    assert not done & set(refused)


def test_what_is_there_cannot_fail_any_more() -> None:
    plan = plan_of()
    alone = [pack for pack in plan.packs if len(pack.sources) == 1]
    done = {name for pack in alone for name in _ids(pack)}
    agenda = Agenda(plan.packs, done, Refused())
    first = agenda.next_pack()
    assert first is not None
    agenda.close(first.id, [], [(name, "no luck") for name in _ids(first)])
    while (pack := agenda.next_pack()) is not None:
        assert pack.cells
        agenda.close(pack.id, _ids(pack), [])
