"""A new study starts from an old one's finished points."""

from pathlib import Path
from typing import Any

import pytest

from sweep.search.records import Counts
from sweep.search.study import Study
from sweep.spec.space.parsing import parse_space
from sweep.spec.space.section import Objective, StudySettings
from sweep.spec.space.space import Space
from tests.sweep.search.spaces import SOFT, WORDS, conditional, height, numeric, open_study, run
from trainables.errors import InputError


def translated(folder: Path, space: Space, **settings: Any) -> tuple[Study, Any]:
    study = open_study(folder, space, **settings)
    return study, study.warm_start(folder.parent / "old" / "search.journal")


@pytest.mark.slow
def test_warm_start_after_a_model_was_added(tmp_path: Path) -> None:
    with open_study(tmp_path / "old", conditional()) as old:
        run(old, 25)
        for found in (old.ask(), old.ask(), old.ask()):
            assert found is not None
            old.report(found.number, 0, 0.1)
            old.report(found.number, 1, 0.2)
        old.prune(25)
        old.fail(26, "no luck")
        outcomes = {item.point: item for item in old.outcomes()}
        assert sum(item.state == "pruned" for item in outcomes.values()) == 1
    # One model more, one pair less, a range that is narrower, λ that may be more.
    soft = {**SOFT, "learning_rate": {"low": 0.01, "high": 0.2, "log": True}}
    soft["lambda"] = ["annealing", {"low": 0, "high": 1}]
    space = parse_space({"soft": soft, "words": WORDS}, [["A", "B"], ["A", "C"], ["A", "D"]])
    fits = {
        point
        for point, item in outcomes.items()
        if item.state in ("complete", "pruned")
        and point.sources != ("B", "C")
        and point.settings.get("learning_rate", 1) >= 0.01
    }
    assert 3 < len(fits) < 26
    study, first = translated(tmp_path / "new", space)
    with study:
        assert (first.taken, first.known, first.skipped) == (len(fits), 0, 26 - len(fits))
        again = study.warm_start(tmp_path / "old" / "search.journal")
        assert (again.taken, again.known, again.skipped) == (0, len(fits), 26 - len(fits))
        assert study.counts() == Counts(warm=len(fits))
        for item in study.outcomes():
            assert item.warm
            old_one = outcomes[item.point]
            assert (item.values, item.steps, item.state) == (
                old_one.values,
                old_one.steps,
                old_one.state,
            )
        fresh = run(study, 15)
        assert not set(fresh) & fits
        assert study.counts().complete == 15 and study.counts().warm == len(fits)
    with Study(tmp_path / "new" / "search.journal", space, StudySettings()) as study:
        assert study.counts().warm == len(fits)
        run(study, 3)


@pytest.mark.slow
def test_a_warm_start_helps(tmp_path: Path) -> None:
    """The first suggestions of a warm study come from its model, not from the start-up draws."""
    with open_study(tmp_path / "old", numeric()) as old:
        run(old, 60)
        reached = old.best()[0].values["score"]
    warm, _ = translated(tmp_path / "warm", numeric(), seed=5)
    with warm, open_study(tmp_path / "cold", numeric(), seed=5) as cold:
        mean = [sum(map(height, run(study, 8))) / 8 for study in (warm, cold)]
    assert mean[0] > mean[1] + 0.05
    assert mean[0] > reached - 0.25


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["nsga2", "gp", "cmaes"])
def test_samplers_that_need_every_parameter_start_warm_too(tmp_path: Path, sampler: str) -> None:
    with open_study(tmp_path / "old", conditional()) as old:
        run(old, 12)
    study, found = translated(tmp_path / sampler, conditional(), sampler=sampler)
    with study:
        assert found.taken == 12
        run(study, 1)
        counts = study.counts()
        assert (counts.complete, counts.warm, counts.running) == (1, 12, 0)


def test_warm_starts_that_cannot_be(tmp_path: Path) -> None:
    with open_study(tmp_path / "old") as old:
        run(old, 2)
        with open_study(tmp_path / "new", objectives=(Objective("loss", "minimize"),)) as study:
            with pytest.raises(InputError, match=r"found a study of score \(maximize\); allowed"):
                study.warm_start(tmp_path / "old" / "search.journal")
            with pytest.raises(InputError, match="no such file"):
                study.warm_start(tmp_path / "none")
            with pytest.raises(InputError, match="found 'x'; allowed: search"):
                study.warm_start(tmp_path / "old" / "search.journal", "x")
