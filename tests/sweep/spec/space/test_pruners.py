"""Pruners over instances (tasks, seeds) and over steps."""

from pathlib import Path

import pytest

from sweep.search.records import Counts
from sweep.search.study import Study
from tests.sweep.search.landscape import Landscape, simulate
from tests.sweep.search.spaces import finite, height, open_study

TASKS = 12


def course(study: Study, values: list[float]) -> int:
    """Report until the pruner says stop; how many steps were reported."""
    found = study.ask()
    assert found is not None
    for step, value in enumerate(values):
        study.report(found.number, step, value)
        if step + 1 < len(values) and study.should_prune(found.number):
            study.prune(found.number)
            return step + 1
    study.complete(found.number, sum(values) / len(values))
    return len(values)


@pytest.mark.slow
def test_wilcoxon_compares_instance_by_instance(tmp_path: Path) -> None:
    """Tasks differ more than points do: only the paired test tells a bad point early."""
    tasks = [0.5 + 0.4 * (-1) ** task for task in range(TASKS)]
    with open_study(tmp_path, pruner="wilcoxon") as study:
        assert course(study, tasks) == TASKS  # nothing to compare with
        stopped = course(study, [value - 0.05 - 0.001 * task for task, value in enumerate(tasks)])
        assert 2 <= stopped <= 6
        assert course(study, [value + 0.05 for value in tasks]) == TASKS
        outcomes = study.outcomes()
        assert [item.state for item in outcomes] == ["complete", "pruned", "complete"]
        assert outcomes[1].steps == {
            task: tasks[task] - 0.05 - 0.001 * task for task in range(stopped)
        }
        assert study.counts() == Counts(complete=2, pruned=1)


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["median", "asha", "hyperband"])
def test_pruners_over_steps_stop_what_lags_behind(tmp_path: Path, pruner: str) -> None:
    steps = 30
    with open_study(tmp_path, pruner=pruner) as study:
        good = [course(study, [step / steps for step in range(steps)]) for _ in range(12)]
        bad = [course(study, [step / steps - 0.5 for step in range(steps)]) for _ in range(6)]
        counts = study.counts()
    assert max(good) == steps and min(bad) < steps
    assert sum(bad) / len(bad) < sum(good) / len(good)
    assert counts.pruned > 0 and counts.complete + counts.pruned == 18


def test_no_pruner_stops_nothing(tmp_path: Path) -> None:
    with open_study(tmp_path) as study:
        course(study, [1.0] * 5)
        assert course(study, [-1.0] * 5) == 5


@pytest.mark.slow
def test_pruning_saves_work_and_finds_the_same(tmp_path: Path) -> None:
    landscape = Landscape(height, instances=TASKS, spread=0.3, noise=0.02)
    busy, best = [], []
    for pruner in ("none", "wilcoxon"):
        with open_study(tmp_path / pruner, finite(), sampler="grid", pruner=pruner) as study:
            found = simulate(study, landscape, 18, workers=2)
            busy.append(found.busy)
            best.append(study.best()[0].point)
            assert study.counts().finished == 18
    assert busy[0] == 18 * TASKS
    assert busy[1] < 0.7 * busy[0]
    assert best[0] == best[1]


def test_the_values_of_a_pruned_point_survive_a_kill(tmp_path: Path) -> None:
    with open_study(tmp_path, pruner="wilcoxon") as study:
        course(study, [0.5] * 6)
        found = study.ask()
        assert found is not None
        for task in range(3):
            study.report(found.number, task, 0.1)
    with open_study(tmp_path, pruner="wilcoxon") as study:
        again = study.ask()
        assert again is not None and again.steps == {0: 0.1, 1: 0.1, 2: 0.1}
        for task in range(3, 6):
            study.report(again.number, task, 0.1 + task / 100)
        assert study.should_prune(again.number)
        study.prune(again.number)
        assert len(study.outcomes()[1].steps) == 6
