"""Schedules on imaginary workers, and whole sweeps on them."""

from itertools import pairwise
from pathlib import Path

import pytest

from sweep.planning.plan import Plan, make_plan
from sweep.planning.schedule import Schedule, would_take
from sweep.planning.work import cost
from sweep.spec.spec import load_spec
from sweep.testing.simulated import simulate_sweep
from sweep.testing.tabulated import find_model, find_task
from tests.sweep.folders import check_complete
from tests.sweep.samples import plan_of
from trainables.core.cells import Pack


def _plan() -> Plan:
    return plan_of(sources=["A", "B", "C"], tasks=["x", "y"], seeds=2, direct=True)


def _schedule(plan: Plan, workers: int) -> Schedule:
    return would_take(plan.packs, (), workers, lambda pack: float(cost(pack)))


def test_one_worker_takes_the_sum_and_many_the_longest_chain() -> None:
    plan = _plan()
    total = float(sum(map(cost, plan.packs)))
    alone = _schedule(plan, 1)
    assert alone.makespan == alone.busy == total
    assert alone.utilisation == 1
    crowd = _schedule(plan, 100)
    by_name = {name: pack for pack in plan.packs for name in (cell.id for cell in pack.cells)}
    chains = [
        cost(pack) + max((cost(by_name[name]) for name in pack.needs), default=0)
        for pack in plan.packs
    ]
    assert crowd.makespan == max(chains)
    assert crowd.busy == total


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_a_worker_has_one_pack_at_a_time_and_no_pack_comes_before_its_inputs(workers: int) -> None:
    plan = _plan()
    schedule = _schedule(plan, workers)
    assert sorted(turn.pack for turn in schedule.turns) == sorted(pack.id for pack in plan.packs)
    ended: dict[str, float] = {}
    packs = {pack.id: pack for pack in plan.packs}
    for turn in schedule.turns:
        ended |= {cell.id: turn.ended for cell in packs[turn.pack].cells}
        assert 0 <= turn.worker < workers
    for turn in schedule.turns:
        assert all(ended[name] <= turn.began for name in packs[turn.pack].needs)
    for worker in range(workers):
        mine = sorted((t.began, t.ended) for t in schedule.turns if t.worker == worker)
        assert all(one[1] <= two[0] for one, two in pairwise(mine))


def test_nothing_to_do_takes_no_time() -> None:
    schedule = would_take((), (), 3, lambda pack: 1.0)
    assert (schedule.makespan, schedule.busy, schedule.utilisation) == (0.0, 0.0, 1.0)


@pytest.mark.slow
def test_a_simulated_sweep_is_like_a_real_one(tmp_path: Path) -> None:
    plan = _plan()
    one = simulate_sweep(plan, tmp_path / "one", 1)
    check_complete(tmp_path / "one", plan)
    two = simulate_sweep(plan, tmp_path / "two", 2)
    check_complete(tmp_path / "two", plan)
    assert two.schedule.makespan < one.schedule.makespan
    assert simulate_sweep(plan, tmp_path / "again", 2).schedule == two.schedule
    assert simulate_sweep(plan, tmp_path / "one").schedule.turns == ()


@pytest.mark.slow
def test_failed_packs_are_run_again_and_only_they(tmp_path: Path) -> None:
    plan = _plan()

    def no_luck(pack: Pack) -> str | None:
        return "no luck" if pack.sources == ("A",) and pack.task.name == "x" else None

    first = simulate_sweep(plan, tmp_path, 2, fails=no_luck)
    assert first.failures
    assert first.done + len(first.failures) == len(plan.cells)
    assert any("its input" in reason for reason in first.failures.values())
    second = simulate_sweep(plan, tmp_path, 2)
    assert second.done == len(first.failures)
    check_complete(tmp_path, plan)


@pytest.mark.slow
def test_all_of_paper_a_is_scheduled() -> None:
    plan = make_plan(load_spec("paper_a"), find_model, find_task)
    assert sum(cell.kind == "transfer" for cell in plan.cells) == 2625
    schedule = _schedule(plan, 8)
    assert len(schedule.turns) == len(plan.packs)
    assert schedule.utilisation > 0.9
