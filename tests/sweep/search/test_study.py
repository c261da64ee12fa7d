"""A study asks, tells, resumes, starts warm, and never runs a point twice."""

import json
import math
import textwrap
from pathlib import Path
from typing import Any

import optuna
import pytest

import sweep.search
from sweep.search.records import Counts, read_study
from sweep.search.study import JOURNAL
from sweep.spec.space.parsing import parse_space
from sweep.spec.space.section import Objective, StudySettings
from sweep.spec.space.space import Point, Space
from tests.sweep.search.spaces import (
    FINITE,
    PAIRS,
    conditional,
    finite,
    height,
    numeric,
    open_study,
    run,
)
from trainables.errors import InputError


def journal(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "search.journal").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_every_end_has_its_state(tmp_path: Path) -> None:
    with open_study(tmp_path, conditional()) as study:
        found = [study.ask() for _ in range(6)]
        numbers = [item.number for item in found if item]
        assert numbers == [0, 1, 2, 3, 4, 5]
        for step in range(3):
            study.report(1, step, step / 10)
        assert study.complete(0, 0.5) == "complete"
        assert study.prune(1) == "pruned"
        assert study.fail(2, "out of memory") == "failed"
        assert study.complete(3, math.nan) == "failed"
        assert study.complete(4, {"score": None}) == "failed"
        assert study.counts() == Counts(complete=1, pruned=1, failed=3, running=1)
        outcomes = study.outcomes()
    assert [item.state for item in outcomes] == [
        "complete",
        "pruned",
        "failed",
        "failed",
        "failed",
        "running",
    ]
    assert outcomes[0].values == {"score": 0.5}
    assert outcomes[1].steps == {0: 0.0, 1: 0.1, 2: 0.2} and outcomes[1].values == {}
    assert outcomes[2].reason == "out of memory"
    assert outcomes[3].reason == "score is nan, not a finite number"
    # Optuna itself agrees.
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / "search.journal"))
    )
    trials = optuna.load_study(study_name="search", storage=storage).trials
    assert [trial.state.name for trial in trials] == [
        "COMPLETE",
        "PRUNED",
        "FAIL",
        "FAIL",
        "FAIL",
        "RUNNING",
    ]
    assert trials[1].intermediate_values == {0: 0.0, 1: 0.1, 2: 0.2} and trials[1].value == 0.2


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "high", True, 10**400])
def test_what_is_no_finite_number_is_a_failure(tmp_path: Path, value: Any) -> None:
    with open_study(tmp_path) as study:
        found = study.ask()
        assert found is not None
        study.report(found.number, 0, value)
        assert study.complete(found.number, value) == "failed"
        assert study.counts() == Counts(failed=1)
        assert study.outcomes()[0].steps == {}


def test_told_twice_changes_nothing(tmp_path: Path) -> None:
    with open_study(tmp_path) as study:
        found = study.ask()
        assert found is not None
        assert study.complete(found.number, 0.5) == "complete"
        assert study.complete(found.number, 0.7) == "complete"
        assert study.fail(found.number, "late") == "complete"
        assert study.prune(found.number) == "complete"
        assert study.best()[0].values == {"score": 0.5}
        for tell in (study.prune, lambda number: study.complete(number, 1.0)):
            with pytest.raises(ValueError, match="trial 99 was never handed out"):
                tell(99)
        with pytest.raises(ValueError, match="trial 0 is not running"):
            study.report(0, 1, 0.5)


def test_what_a_killed_driver_had_is_handed_out_again_first(tmp_path: Path) -> None:
    with open_study(tmp_path) as study:
        first, second, third = (study.ask() for _ in range(3))
        assert first and second and third
        study.report(second.number, 0, 0.25)
        study.complete(third.number, 0.5)
    with open_study(tmp_path) as study:
        assert [item.number for item in study.running()] == [0, 1]
        assert study.counts() == Counts(complete=1, running=2)
        again = [study.ask(), study.ask()]
        assert [(item.number, item.point, item.adopted) for item in again if item] == [
            (0, first.point, True),
            (1, second.point, True),
        ]
        assert again[1] and again[1].steps == {0: 0.25}
        fresh = study.ask()
        assert fresh is not None and fresh.number == 3 and not fresh.adopted
        study.report(1, 0, 0.99)  # the step is known: the first report stays
        study.complete(0, 0.5)
        study.prune(1)
        assert study.outcomes()[1].steps == {0: 0.25}
        assert study.counts() == Counts(complete=2, pruned=1, running=1)


@pytest.mark.slow
def test_a_continued_study_goes_on_as_an_undisturbed_one(tmp_path: Path) -> None:
    """Suggestions depend on the seed and on what is in the journal, on nothing else."""
    for sampler in ("tpe", "nsga2", "random"):
        folder = tmp_path / sampler
        with open_study(folder / "whole", sampler=sampler) as study:
            whole = run(study, 40)
        parts = []
        for points in (1, 12, 7, 20):
            with open_study(folder / "parts", sampler=sampler) as study:
                parts += run(study, points)
        assert parts == whole
        assert len(set(whole)) == 40
        with open_study(folder / "other", sampler=sampler, seed=1) as study:
            assert run(study, 5) != whole[:5]


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "random", "nsga2", "grid"])
def test_no_point_runs_twice_and_all_are_found(tmp_path: Path, sampler: str) -> None:
    space = finite()
    done: list[Point] = []
    for _ in range(3):
        with open_study(tmp_path, space, sampler=sampler) as study:
            done += run(study, 6)
    with open_study(tmp_path, space, sampler=sampler) as study:
        assert study.ask() is None
        assert study.ask() is None
        counts = study.counts()
    assert len(done) == len(set(done)) == space.size == 18
    assert counts.complete == 18 and counts.running == counts.waiting == 0
    if sampler == "grid":
        assert done == [space.at(index) for index in range(18)]
        assert counts == Counts(complete=18)
    else:
        assert counts.duplicates > 0


@pytest.mark.slow
def test_duplicates_leave_no_trace_in_the_model(tmp_path: Path) -> None:
    """A known point is dropped as failed with the reason, never told as complete twice."""
    with open_study(tmp_path, finite()) as study:
        run(study, 18)
        counts = study.counts()
        outcomes = study.outcomes()
    assert len(outcomes) == 18 and counts.duplicates > 0
    created = [item for item in journal(tmp_path) if item["op_code"] == 4]
    dropped = [
        item for item in journal(tmp_path) if item.get("user_attr") == {"dropped": "duplicate"}
    ]
    assert len(created) == 18 + len(dropped) == 18 + counts.duplicates


def test_points_that_are_out_are_not_asked_for_again(tmp_path: Path) -> None:
    with open_study(tmp_path, finite()) as study:
        found = [study.ask() for _ in range(18)]
        assert len({item.point for item in found if item}) == 18
        assert study.ask() is None
        assert study.counts().running == 18


def test_a_failed_point_is_not_asked_for_again_until_wanted(tmp_path: Path) -> None:
    with open_study(tmp_path, finite(), sampler="grid") as study:
        for _ in range(18):
            found = study.ask()
            assert found is not None
            if found.number in (3, 5):
                study.fail(found.number, "no luck")
            else:
                study.complete(found.number, height(found.point))
        assert study.ask() is None
        assert study.counts() == Counts(complete=16, failed=2)
        failed = [item.point for item in study.outcomes() if item.state == "failed"]
        assert study.retry_failed() == 2
        assert study.counts() == Counts(complete=16, waiting=2)
    with open_study(tmp_path, finite(), sampler="grid") as study:
        assert study.retry_failed() == 0
        again = [study.ask(), study.ask()]
        assert [item.point for item in again if item] == failed
        assert study.ask() is None
        for item in again:
            assert item is not None
            study.complete(item.number, height(item.point))
        assert study.counts() == Counts(complete=18)


def test_invalid_combinations_are_passed_over(tmp_path: Path) -> None:
    section = {"steps": [10, 100], "evaluations": [5, 10, 100], "prompt_length": [1, 2, 3]}
    space = parse_space({"soft": section}, PAIRS[:1])
    for sampler in ("grid", "random"):
        with open_study(tmp_path / sampler, space, sampler=sampler) as study:
            points = [found.point for found in iter(study.ask, None)]
            assert len(set(points)) == len(points) == 5 * 3
            assert (study.counts().invalid > 0) == (sampler == "random")


@pytest.mark.slow
def test_hardly_any_valid_combination_is_a_sentence(tmp_path: Path) -> None:
    """One draw in thirty is allowed: now and then twenty in a row are not."""
    section = {
        "steps": {"low": 1, "high": 10**12, "log": True},
        "evaluations": {"low": 1, "high": 10**12},
        "learning_rate": {"low": 0.1, "high": 0.2},
    }
    space = parse_space({"soft": section}, PAIRS[:1])
    sentences = []
    for seed in range(12):
        with open_study(tmp_path / str(seed), space, sampler="random", seed=seed) as study:
            try:
                found = study.ask()
                assert found is not None
                assert found.point.settings["evaluations"] <= found.point.settings["steps"]
            except InputError as error:
                sentences.append(str(error))
                assert study.counts() == Counts(invalid=20)
    assert 0 < len(sentences) < 12
    assert sentences[0].startswith("search: 10 random points in a row were none that the methods")


def test_a_journal_may_hold_several_studies(tmp_path: Path) -> None:
    with open_study(tmp_path, name="first") as study:
        run(study, 3)
    with open_study(tmp_path, finite(), name="second") as study:
        run(study, 2)
        found = study.warm_start(tmp_path / "search.journal", "first")
        assert found.taken == 0 and found.skipped == 3
    assert len(read_study(tmp_path / "search.journal", "first").outcomes) == 3
    with pytest.raises(InputError, match="found no name; allowed: first, second"):
        read_study(tmp_path / "search.journal")


def test_a_study_is_read_while_it_is_written(tmp_path: Path) -> None:
    with open_study(tmp_path) as study:
        done = run(study, 3)
        found = read_study(tmp_path / "search.journal")
        assert [item.point for item in found.outcomes] == done
        with (tmp_path / "search.journal").open("ab") as file:
            file.write(b'{"op_code":')
        assert len(read_study(tmp_path / "search.journal").outcomes) == 3


def test_a_study_is_continued_as_it_was_begun(tmp_path: Path) -> None:
    with open_study(tmp_path) as study:
        run(study, 2)
    cases: list[tuple[Space, dict[str, Any], str]] = [
        (finite(), {}, "was begun with another space; allowed: the same one; a new study can be"),
        (conditional(), {"objectives": (Objective("score", "minimize"),)}, "has other objectives"),
        (
            conditional(),
            {"sampler": "nsga2"},
            "another kind than nsga2; allowed: tpe, random, grid; a new",
        ),
    ]
    for space, settings, sentence in cases:
        with pytest.raises(InputError, match=sentence):
            open_study(tmp_path, space, **settings)
    with open_study(tmp_path, sampler="random", seed=3, pruner="median") as study:
        run(study, 2)


SENTENCES: list[tuple[dict[str, Any], str]] = [
    (
        {"sampler": "tpee"},
        r"search.sampler: found 'tpee' \(did you mean tpe\?\); allowed: tpe, nsga2",
    ),
    ({"sampler": ["tpe"]}, r"search.sampler: found \['tpe'\]"),
    ({"pruner": "ash"}, r"search.pruner: found 'ash' \(did you mean asha\?\); allowed: none"),
    ({"seed": -1}, "search.seed: found -1; allowed: a whole number of at least 0"),
    ({"startup": True}, "search.startup: found True; allowed"),
    ({"population": 1}, "search.population: found 1; allowed: a whole number of at least 2"),
    ({"objectives": ()}, "search.objectives: found none; allowed: at least one"),
    ({"constraints": ("score",)}, "search: 'score' stands there twice; allowed: each once"),
    (
        {"objectives": (Objective("a"), Objective("b")), "sampler": "cmaes"},
        "search.sampler: found cmaes with 2 objectives; allowed: tpe, nsga2, nsga3, gp, random",
    ),
    (
        {"constraints": ("size",), "sampler": "cmaes"},
        "search.sampler: found cmaes with constraints; allowed: tpe",
    ),
    (
        {"objectives": (Objective("a"), Objective("b")), "pruner": "wilcoxon"},
        "search.pruner: found wilcoxon with 2 objectives; allowed: none",
    ),
]


@pytest.mark.parametrize(("settings", "sentence"), SENTENCES)
def test_settings_that_do_not_go(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        StudySettings(**settings)


def test_samplers_that_do_not_fit_the_space(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"direction: found .up.; allowed: max"):
        Objective("a", "up")
    with pytest.raises(InputError, match=r"found grid with soft.lambda.value, a range without a"):
        open_study(tmp_path, conditional(), sampler="grid")
    with pytest.raises(InputError, match="found cmaes with 0 numeric ranges; allowed: at least 2"):
        open_study(tmp_path, finite(), sampler="cmaes")
    assert not (tmp_path / "search.journal").exists()


@pytest.mark.parametrize(("sampler", "package"), [("cmaes", "cmaes"), ("gp", "torch")])
def test_a_missing_package_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str, package: str
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else find(name)
    )
    with pytest.raises(InputError, match=f"{sampler} needs the package {package}, which is not"):
        open_study(tmp_path, numeric(), sampler=sampler)


def test_one_driver_at_a_time(tmp_path: Path) -> None:
    with open_study(tmp_path) as study:
        with pytest.raises(InputError, match="another process writes this search's journal"):
            open_study(tmp_path)
        run(study, 1)
    open_study(tmp_path).close()


def test_a_damaged_journal(tmp_path: Path) -> None:
    with open_study(tmp_path) as study:
        run(study, 3)
    path = tmp_path / "search.journal"
    whole = path.read_bytes()
    path.write_bytes(whole + b'\0\0\0\0\n{"op')  # what a power cut leaves
    with open_study(tmp_path) as study:
        assert study.counts() == Counts(complete=3)
    assert path.read_bytes() == whole
    middle = whole.index(b"\n", len(whole) // 2)
    path.write_bytes(whole[: middle - 1] + b"?" + whole[middle:])
    with pytest.raises(InputError, match="the journal of the search is damaged"):
        open_study(tmp_path)
    path.write_bytes(b'{"op_code": 99}\n{"op_code": 4}\n')
    with pytest.raises(InputError, match="the journal of the search is damaged"):
        open_study(tmp_path)


def test_a_journal_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "search.journal").mkdir()
    with pytest.raises(InputError, match="journal: cannot be written"):
        open_study(tmp_path)


def test_a_full_disk_leaves_the_journal_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        """Takes a few more bytes, then none."""

        def __init__(self, file: Any) -> None:
            self.file, self.room = file, 150

        def write(self, content: bytes) -> int:
            if not self.room:
                raise OSError(28, "No space left on device")
            taken, self.room = content[: self.room], max(0, self.room - len(content))
            return int(self.file.write(taken))

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    study = open_study(tmp_path)
    run(study, 4)
    monkeypatch.setattr(study._journal, "_file", Full(study._journal._file))
    with pytest.raises(OSError, match="No space left"):
        run(study, 1)
    study.close()
    with open_study(tmp_path) as study:
        run(study, 3)
        counts = study.counts()
    assert counts.complete == 7 and counts.running == 0 and counts.interrupted <= 1


def test_optuna_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with open_study(tmp_path, pruner="wilcoxon") as study:
        run(study, 12)
        study.importance()
    assert capfd.readouterr() == ("", "")


def test_forked_children_do_not_hold_the_journal(tmp_path: Path) -> None:
    """A worker that a driver started must not keep the next driver out."""
    import subprocess
    import sys

    study = open_study(tmp_path)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    try:
        study.close()
        open_study(tmp_path).close()
    finally:
        child.kill()
        child.wait()


def test_finite_spaces_of_one_point(tmp_path: Path) -> None:
    space = parse_space({"soft": {**FINITE, "lambda": 0.5, "prompt_length": 5}}, PAIRS[:1])
    assert space.size == 1 and not space.parameters
    with open_study(tmp_path, space) as study:
        run(study, 1)
        assert study.ask() is None


def test_the_example_of_the_package_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = str(sweep.search.__doc__)
    block = text[text.index("    from sweep") : text.index("Several points may")]
    example = textwrap.dedent(block).replace("< 60", "< 6")
    names: dict[str, Any] = {
        "folder": tmp_path,
        "run": lambda point, task: height(point) + 0.01 * task,
    }
    for _ in range(2):
        exec(compile(example, "example", "exec"), names)
        assert "Counts(complete=" in capsys.readouterr().out
    with names["Study"](tmp_path / JOURNAL, names["space"], names["settings"]) as study:
        assert study.counts().finished == 6
