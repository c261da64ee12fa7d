"""``sweep recommend`` on a spec with task transfer: source tasks for a task that is new."""

import json
from pathlib import Path

import pandas as pd
import pytest

from sweep.planning.plan import Plan, make_plan
from sweep.planning.preflight import answer
from sweep.planning.tasks import looked_at
from sweep.spec.spec import load_spec
from tests.sweep.commands.test_recommend import drawn, sweep
from trainables.core.registries import SIMILARITIES
from trainables.files.cache import VARIABLE

SPEC = """
name: little
sources: [pocket-bert]
pairs: []
targets: [pocket-bert]
tasks: [mini/topics, mini/reviews, mini/questions]
seeds: 2
methods:
  soft: {lambda: [0], steps: 2, evaluations: 1, batch_size: 2, text_tokens: 12, prompt_length: 3,
         shots: 4}
task_transfer: {embedding_steps: 1, weighted: [1]}
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recommend_tasks") / "spec.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="module")
def plan(spec: Path) -> Plan:
    return make_plan(load_spec(str(spec)))


@pytest.fixture(scope="module")
def finished(plan: Plan, spec: Path) -> Path:
    return drawn(plan, spec.parent / "finished")


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    monkeypatch.setattr("sweep.planning.preflight._ask", lambda asked: answer(dict(asked)))


def test_what_is_looked_at_is_planned(plan: Plan) -> None:
    looked = list(looked_at(plan.resolved))
    assert {(item.task, item.model) for item in looked} == {
        (name, "pocket-bert") for name in ("mini/topics", "mini/reviews", "mini/questions")
    }
    for item in looked:
        assert set(item.early) == {task.name for task in plan.resolved.tasks} - {item.task}
        for cell in (*item.early.values(), item.own):
            assert plan.by_id[cell.id].row == "embedding"
        assert item.own.settings["shots"] == 4
        assert all("shots" not in cell.settings for cell in item.early.values())


@pytest.mark.slow
def test_from_a_finished_sweep_the_order_comes_with_its_worth(
    spec: Path, finished: Path, plan: Plan, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("trainables.packs.pack.run_pack", None)  # all prompts are there
    assert sweep("recommend", str(spec), "--from", str(finished), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["skill"]["tasks"] == 3
    assert found["skill"]["n"] == 6
    assert found["verdict"].startswith("With one target task left out at a time")
    rows = pd.DataFrame(found["recommendations"])
    assert len(rows) == 6
    for _, part in rows.groupby("task"):
        assert part[found["order"]].is_monotonic_decreasing
        assert list(part["rank"]) == [1, 2]
    from sweep.ledger.ledger import Ledger

    ledger = Ledger(finished)
    for row in rows.to_dict("records"):
        pairs = [(item.early[row["origin"]], item.own) for item in looked_at(plan.resolved)
                 if item.task == row["task"]]  # fmt: skip
        for name, measure in SIMILARITIES.items():
            values = [measure(ledger.prompt(one.id), ledger.prompt(own.id)) for one, own in pairs]
            assert row[name] == pytest.approx(sum(values) / len(values))
    assert sweep("recommend", str(spec), "--from", str(finished)) == 0
    assert "pocket-bert, mini/topics: source tasks by" in capsys.readouterr().out


@pytest.mark.slow
def test_without_one_early_prompts_are_tuned_and_nothing_is_validated(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep("recommend", str(spec)) == 0
    text = capsys.readouterr().out
    assert "nothing is validated" in text
    assert "source tasks by per-token mean cosine" in text
    assert text.count("  1  mini/") == 3


def test_mistakes_are_one_sentence(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "none.yaml"
    own.write_text(SPEC.replace("{embedding_steps: 1, weighted: [1]}", "{}"))
    for arguments, text in (
        ([str(own)], "task_transfer.embedding_steps: found null; allowed: a whole number from 1"),
        ([str(spec), "--target", "other"], "--target: found 'other'"),
    ):
        assert sweep("recommend", *arguments) == 2
        assert text in capsys.readouterr().err
