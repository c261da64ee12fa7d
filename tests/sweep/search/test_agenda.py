"""A search's agenda before a real study and ledger; a tabulated method stands in for packs."""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sweep.engine.outcomes import Outcomes
from sweep.ledger.ledger import Ledger
from sweep.search.agenda import Budget, SearchAgenda
from sweep.search.plan import SearchPlan, make_search_plan
from sweep.search.study import JOURNAL, Study
from sweep.spec.spec import parse_spec
from sweep.testing.tabulated import find_model, find_task, run_tabulated
from sweep.testing.tabulated import tabulated_result as result_of
from tests.sweep.samples import content
from trainables.core.cells import Cell, Pack
from trainables.errors import InputError

SPACE = {
    "soft": {"lambda": [0, 0.5, "annealing"], "steps": 4, "evaluations": [1, 2]},
    "pez": {"vocabulary": ["all", "agreement"], "s": [4, 8], "steps": 4, "evaluations": 2},
}


def searched(methods: Any = None, **search: Any) -> SearchPlan:
    spec = content(
        sources=["A", "B", "C"],
        tasks=["x", "y"],
        seeds=2,
        methods=methods or SPACE,
        direct=None,
        search={"trials": 8, "sampler": "random", **search},
    )
    return make_search_plan(parse_spec(spec), find_model, find_task)


@dataclass
class Driver:
    """One driver: as the runner, without Ray."""

    folder: Path
    plan: SearchPlan
    study: Study
    agenda: SearchAgenda
    outcomes: Outcomes
    ledger: Ledger
    begun: list[Pack] = field(default_factory=list)
    out: list[Pack] = field(default_factory=list)

    def start_all(self, most: int = 3) -> None:
        while len(self.out) < most and (pack := self.agenda.next_pack()) is not None:
            self.begun.append(pack)
            self.out.append(pack)

    def finish(self, pack: Pack, broken: Callable[[Pack], bool] = lambda pack: False) -> None:
        self.out.remove(pack)
        inputs = self.outcomes.payload(pack)
        outcome: dict[str, Any] | None = None
        if not broken(pack):
            outcome = vars(run_tabulated(Pack.from_json(inputs["pack"]), inputs["prompts"]))
        closed = self.outcomes.close(pack, outcome, "no luck")
        self.agenda.close(pack.id, closed.done, closed.failed)

    def run(
        self, order: random.Random, broken: Callable[[Pack], bool] = lambda pack: False
    ) -> None:
        while not self.agenda.finished:
            self.start_all()
            assert self.out, "packs wait for nothing"
            self.finish(order.choice(self.out), broken)


@contextmanager
def driver(
    folder: Path, plan: SearchPlan, parallel: int = 2, hours: Callable[[], float] = lambda: 0.0
) -> Iterator[Driver]:
    ledger = Ledger(folder, repair=True)
    outcomes = Outcomes(ledger)
    section = plan.section
    with Study(folder / JOURNAL, plan.space, plan.settings) as study:
        study.retry_failed()
        agenda = SearchAgenda(
            plan,
            study,
            Budget(section.trials, section.hours, section.cells, hours),
            ledger.done_ids(),
            ledger.record,
            outcomes.refuse,
            parallel,
        )
        yield Driver(folder, plan, study, agenda, outcomes, ledger)


def cells_of(plan: SearchPlan) -> dict[str, Cell]:
    return {cell.id: cell for points in plan.points.values() for cell in points.cells}


def expected_score(plan: SearchPlan, key: str) -> float:
    """The literal mean over seeds, then tasks, of the transfers' validation scores."""
    cells = [cell for cell in plan.points[key].cells if cell.kind == "transfer"]
    means = []
    for task in ("x", "y"):
        scores = [result_of(cell)["validation_score"] for cell in cells if cell.task == task]
        means.append(sum(scores) / len(scores))
    return sum(means) / len(means)


@pytest.mark.slow
def test_points_run_to_the_budget_and_are_judged_by_validation(tmp_path: Path) -> None:
    plan = searched()
    with driver(tmp_path, plan) as one:
        one.run(random.Random(1))
        counts, outcomes = one.study.counts(), one.study.outcomes()
    assert (counts.complete, counts.running, counts.failed) == (8, 0, 0)
    for outcome in outcomes:
        found = outcome.values["validation/score"]
        assert math.isclose(found, expected_score(plan, outcome.point.key))
        assert [round(value, 9) for value in outcome.steps.values()] == [
            round(result_of(cell)["validation_score"], 9)
            for task in ("x", "y")
            for seed in (0, 1)
            for cell in plan.points[outcome.point.key].cells
            if (cell.kind, cell.task, cell.seed) == ("transfer", task, seed)
        ]
    assert set(cells_of(plan)) == one.ledger.done_ids()


@pytest.mark.slow
def test_no_cell_runs_twice(tmp_path: Path) -> None:
    """λ = 0 of a pair and of another one share prompts; all points share reference rows."""
    soft = {"soft": {"lambda": [0], "steps": 4, "evaluations": [1, 2]}}
    plan = searched(soft, trials=20)
    with driver(tmp_path, plan, parallel=4) as one:
        one.run(random.Random(2))
    ran = Counter(cell.id for pack in one.begun for cell in pack.cells)
    assert set(ran.values()) == {1}
    assert len(plan.points) == 6  # all there are: three pairs, two numbers of evaluations
    tunings = [name for name in ran if plan.by_id[name].row == "independent"]
    assert len(tunings) == 3 * 2 * 2 * 2  # models, numbers, tasks, seeds: not once for each pair


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_killed_at_any_moment_and_continued(tmp_path: Path, seed: int) -> None:
    """Packs that were under way are lost; what a driver had begun is what the next one ends."""
    order = random.Random(seed)
    done: set[str] = set()
    for _ in range(30):
        plan = searched(trials=6)
        with driver(tmp_path, plan) as one:
            for _ in range(order.randrange(1, 8)):
                one.start_all()
                if not one.out:
                    break
                one.finish(order.choice(one.out))
            again = {cell.id for pack in one.begun for cell in pack.cells} & done
            assert all(plan.by_id[name].kind == "source" for name in again)
            done = set(one.ledger.done_ids())
            finished, counts = one.agenda.finished, one.study.counts()
        if finished:
            break
    assert (counts.complete, counts.running) == (6, 0)
    for record in one.ledger.records():
        assert record["result"]["score"] == result_of(Cell.from_json(record["cell"]))["score"]
    with driver(tmp_path, searched(trials=6)) as last:
        last.start_all()
        assert not last.begun and last.agenda.finished
        for outcome in last.study.outcomes():
            last.plan.open(outcome.point)
        assert set(cells_of(last.plan)) == done


@pytest.mark.slow
def test_a_failing_point_is_told_as_failed_and_tried_again_by_the_next_driver(
    tmp_path: Path,
) -> None:
    def broken(pack: Pack) -> bool:
        return pack.method == "pez" and pack.kind == "tune"

    with driver(tmp_path, searched(trials=5)) as one:
        one.run(random.Random(3), broken)
        counts = one.study.counts()
        failed = [outcome for outcome in one.study.outcomes() if outcome.state == "failed"]
    assert counts.complete == 5
    assert failed and {outcome.point.method for outcome in failed} == {"pez"}
    assert all("no luck" in (outcome.reason or "") for outcome in failed)
    with driver(tmp_path, searched(trials=9)) as two:
        two.run(random.Random(4))
        again, outcomes = two.study.counts(), two.study.outcomes()
    assert (again.complete, again.failed, again.waiting) == (9, 0, 0)
    complete = {outcome.point.key for outcome in outcomes if outcome.state == "complete"}
    assert {outcome.point.key for outcome in failed} <= complete


@pytest.mark.parametrize(
    ("budget", "least", "most"), [({"cells": 30}, 30, 70), ({"hours": 1.0}, 10, 100)]
)
def test_other_budgets(tmp_path: Path, budget: dict[str, Any], least: int, most: int) -> None:
    packs = 0

    def count(pack: Pack) -> bool:
        nonlocal packs
        packs += 1
        return False

    plan = searched(trials=None, **budget)
    with driver(tmp_path, plan, hours=lambda: packs / 10) as one:
        one.run(random.Random(5), count)
    assert least <= len(one.ledger.done_ids()) <= most
    assert one.study.counts().running == 0


@pytest.mark.slow
def test_with_a_pruner_tasks_follow_one_another_and_a_point_may_end_early(tmp_path: Path) -> None:
    spec = content(
        sources=["A", "B", "C", "D"],
        tasks=[f"t{number}" for number in range(8)],
        seeds=3,
        methods={"soft": {"lambda": {"low": 0.1, "high": 1}, "steps": 4, "evaluations": 2}},
        direct=None,
        search={"trials": 20, "sampler": "random", "pruner": "wilcoxon"},
    )
    plan = make_search_plan(parse_spec(spec), find_model, find_task)
    with driver(tmp_path, plan, parallel=2) as one:
        one.run(random.Random(6))
        counts, outcomes = one.study.counts(), one.study.outcomes()
    assert counts.finished == 20
    assert counts.pruned > 0
    for outcome in outcomes:
        if outcome.state == "pruned":
            assert 0 < len(outcome.steps) < 24
            assert len(outcome.steps) % 3 == 0
    cells = sum(len(points.cells) for points in plan.points.values())
    assert len(one.ledger.done_ids()) < cells


def test_objectives_and_constraints(tmp_path: Path) -> None:
    plan = searched(
        sampler="nsga2",
        population=4,
        objective=[
            {"measure": "validation/gain_over_empty", "tasks": ["x"]},
            {"measure": "validation/source_score"},
        ],
        constraints=[{"measure": "prompt/tokens", "at_most": 4}],
        trials=6,
    )
    with driver(tmp_path, plan) as one:
        one.run(random.Random(7))
        outcomes = one.study.outcomes()
    for outcome in outcomes:
        cells = plan.points[outcome.point.key].cells
        empty = [
            result_of(c)["validation_score"]
            for c in cells
            if (c.row, c.task, c.target) == ("empty", "x", "T")
        ]
        on_x = [
            result_of(c)["validation_score"] for c in cells if (c.kind, c.task) == ("transfer", "x")
        ]
        gain = sum(on_x) / len(on_x) - empty[0]
        assert math.isclose(outcome.values["validation/gain_over_empty"], gain)
        tokens = 3 if outcome.point.method == "pez" else outcome.point.settings["prompt_length"]
        assert outcome.constraints == {"prompt/tokens <= 4": tokens - 4}


def test_hard_points_without_counterparts_are_one_whatever_the_pair() -> None:
    plan = searched({"pez": {"vocabulary": ["all"], "steps": 4, "evaluations": 2}})
    keys = {plan.space.at(index).key for index in range(plan.space.size or 0)}
    assert plan.space.size == 6
    assert len(keys) == 3
    for index in range(6):
        point = plan.space.at(index)
        assert plan.space.choose.__self__ is plan.space
        assert len(point.sources) == 1
        again = plan.space.place(point)
        assert set(again) == {"sources"}


def test_a_growing_space_is_another_study_of_the_same_folder() -> None:
    small, large = searched(), searched({**SPACE, "random": {"s": 4}})
    assert small.hash == large.hash
    assert small.study != large.study
    assert searched(trials=99, sampler="tpe").study == small.study


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"search": {}}, "search: found no end of it"),
        ({"search": {"trials": 5, "objective": "test/score"}}, r"search.objective\[0\].measure"),
        (
            {"search": {"trials": 5, "objective": {"measure": "validation/score", "tasks": ["z"]}}},
            r"search.objective\[0\].tasks: found 'z'",
        ),
        ({"search": {"trials": 5, "smapler": "tpe"}}, "search: unknown key 'smapler'"),
        ({"search": {"trials": 5, "pruner": "axe"}}, "search.pruner: found 'axe'"),
        (
            {
                "search": {"trials": 5, "sampler": "grid"},
                "methods": {"soft": {"lambda": {"low": 0, "high": 1}}},
            },
            "search.sampler",
        ),
        ({"search": {"trials": 5, "constraints": [{"measure": "prompt/tokens"}]}}, "neither"),
        ({"search": {"trials": 5}, "direct": True}, "direct: found true"),
        ({"search": {"trials": 5}, "methods": {"pez": {"counterparts": "others"}}}, "pairs say"),
        ({"search": {"trials": 5}, "methods": {"pez": {"lambda": 0}}}, "unknown key 'lambda'"),
        ({"search": 3}, "search: found 3"),
        ({"methods": {"soft": {"lambda": {"low": 0, "high": 1}}}}, "a section search"),
    ],
    ids=str,
)
def test_mistakes_are_one_sentence(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named) as caught:
        make_search_plan(
            parse_spec(content(direct=changes.pop("direct", None), **changes)),
            find_model,
            find_task,
        )
    assert "allowed: " in str(caught.value)
    assert "\n" not in str(caught.value)


def train(one: Driver, pack: Pack) -> None:
    """A pack that reports at four steps, and whose cells stop where they are asked to."""
    tuned = [cell for cell in pack.cells if cell.kind == "source"]
    gone: dict[str, int] = {}
    for step in (1, 2, 3, 4) if tuned else ():
        scores = {
            cell.id: result_of(cell)["validation_score"] * (0.5 + step / 8)
            for cell in tuned
            if cell.id not in gone
        }
        asked = one.agenda.report(pack.id, step, scores) if scores else ()
        gone |= {name: step for name in asked if name not in gone}
    one.out.remove(pack)
    inputs = one.outcomes.payload(pack)
    outcome = vars(run_tabulated(Pack.from_json(inputs["pack"]), inputs["prompts"]))
    if gone:
        lost = {c.id for c in pack.cells if c.id in gone or set(c.inputs) & gone.keys()}
        outcome["stopped"] = dict.fromkeys(lost, 4)
        for name in lost:
            outcome["results"].pop(name)
    closed = one.outcomes.close(pack, outcome)
    one.agenda.close(pack.id, closed.done, closed.failed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_with_step_rungs_points_are_given_up_while_they_train(tmp_path: Path, seed: int) -> None:
    """λ = 0 has two tunings a point, whose prompts other points share; none of it is lost."""
    methods = {"soft": {"lambda": [0, {"low": 0.1, "high": 1}], "steps": 4, "evaluations": 2}}
    plan = searched(methods, trials=24, pruner="median", rungs="steps", startup=3)
    order = random.Random(seed)
    with driver(tmp_path, plan, parallel=3) as one:
        while not one.agenda.finished:
            one.start_all()
            assert one.out, "packs wait for nothing"
            train(one, order.choice(one.out))
        counts, outcomes = one.study.counts(), one.study.outcomes()
        failures = list(one.ledger.failures())
    assert counts.finished == 24
    assert counts.pruned > 0
    assert not failures
    for outcome in outcomes:
        if outcome.state == "complete":
            assert math.isclose(
                outcome.values["validation/score"], expected_score(plan, outcome.point.key)
            )
            joint = outcome.point.weight != 0
            assert set(outcome.steps) <= set(range(1, 9))
            assert not joint or len(outcome.steps) == 8
        if outcome.state == "pruned":
            assert max(outcome.steps) < 9
