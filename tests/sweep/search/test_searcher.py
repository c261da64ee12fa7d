"""The study behind Ray Tune's searcher interface, called as Tune calls it; no cluster."""

import math
import pickle
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from sweep.search.records import Counts
from sweep.search.searcher import StudySearcher
from sweep.spec.space.point import Point
from tests.sweep.search.spaces import finite, open_study


def test_results_are_told_as_what_they_are(tmp_path: Path) -> None:
    with open_study(tmp_path, constraints=("size",)) as study:
        searcher = StudySearcher(study, config={"executor": "x"})
        configs = {}
        for name in "abcdefg":
            config = searcher.suggest(name)
            assert isinstance(config, dict) and config["executor"] == "x"
            configs[name] = config
        assert [config["number"] for config in configs.values()] == list(range(7))
        for step in (1, 2):
            for name in "abc":
                result = {"score": step / 10, "training_iteration": step}
                searcher.on_trial_result(name, result)
        searcher.on_trial_result("b", {"training_iteration": 3})  # no score: no error
        searcher.on_trial_result("b", {"score": "high", "training_iteration": 3})
        searcher.on_trial_result("nobody", {"score": 0.5, "training_iteration": 1})
        end = {"score": 0.9, "size": -1.0, "training_iteration": 3}
        searcher.on_trial_complete("a", {**end, "complete": True})
        searcher.on_trial_complete("b", {**end, "score": 0.25})
        searcher.on_trial_complete("c", {**end, "complete": True, "score": math.nan})
        searcher.on_trial_complete("d", error=True)
        searcher.on_trial_complete("e", None)
        searcher.on_trial_complete("f", {"complete": True, "score": 0.5})
        searcher.on_trial_complete("g", {"loss": 1.0})
        searcher.on_trial_complete("g", {**end, "complete": True})
        searcher.on_trial_complete("nobody", {"score": 0.5})
        assert searcher.error is None
        outcomes = study.outcomes()
        assert study.counts() == Counts(complete=1, pruned=2, failed=4)
    states = ["complete", "pruned", "failed", "failed", "failed", "failed", "pruned"]
    assert [item.state for item in outcomes] == states
    assert outcomes[0].values == {"score": 0.9} and outcomes[0].constraints == {"size": -1.0}
    # The scheduler's last step counts, which Tune does not report on its own.
    assert outcomes[1].steps == {1: 0.1, 2: 0.2, 3: 0.25}
    assert outcomes[2].reason == "score is nan, not a finite number"
    assert outcomes[3].reason == "the trial ended with an error"
    assert outcomes[5].reason == "size is None, not a finite number"
    assert Point.from_json(configs["a"]["point"]) == outcomes[0].point


def test_the_budget_and_the_space_end_it(tmp_path: Path) -> None:
    def more(counts: Counts) -> bool:
        return counts.finished + counts.running < 5

    with open_study(tmp_path, finite()) as study:
        searcher = StudySearcher(study, more)
        for name in "abcde":
            assert isinstance(searcher.suggest(name), dict)
        assert searcher.suggest("f") == Searcher.FINISHED
        searcher.on_trial_complete("a", error=True)
        assert isinstance(searcher.suggest("g"), dict)
        out = [item.number for item in study.outcomes() if item.state == "running"]
    with open_study(tmp_path, finite()) as study:
        # What a killed driver had is handed out again, though the budget is spent.
        searcher = StudySearcher(study, more)
        numbers = [searcher.suggest(name) for name in "abcde"]
        assert [item["number"] for item in numbers if isinstance(item, dict)] == out
        assert len(out) == 5
        assert searcher.suggest("f") == Searcher.FINISHED
    with open_study(tmp_path / "all", finite()) as study:
        searcher = StudySearcher(study)
        for name in range(18):
            assert isinstance(searcher.suggest(str(name)), dict)
        assert searcher.suggest("end") == Searcher.FINISHED


def test_an_error_is_kept_and_ends_the_search(tmp_path: Path, monkeypatch: Any) -> None:
    with open_study(tmp_path) as study:
        searcher = StudySearcher(study)
        assert isinstance(searcher.suggest("a"), dict)

        def full(*arguments: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(study, "complete", full)
        searcher.on_trial_complete("a", {"score": 0.5, "complete": True})
        assert isinstance(searcher.error, OSError)
        assert searcher.suggest("b") == Searcher.FINISHED
        assert pickle.loads(pickle.dumps(searcher)) is not None


def test_snapshots_are_empty(tmp_path: Path) -> None:
    with open_study(tmp_path) as study:
        searcher = StudySearcher(study)
        searcher.save(str(tmp_path / "state"))
        searcher.restore(str(tmp_path / "state"))
        assert not (tmp_path / "state").exists()
