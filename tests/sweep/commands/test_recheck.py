"""A new model is out: a sweep's prompts on it, without tuning anything again."""

from pathlib import Path
from typing import Any

import pytest

from sweep import cli
from sweep.commands.recheck import adopt_prompts, recheck_folder, recheck_plan, verdicts
from sweep.ledger.ledger import Ledger
from sweep.planning.plan import Plan, make_plan
from sweep.spec.spec import parse_spec
from tests.sweep.computed import compute
from tests.sweep.samples import content
from trainables.errors import InputError
from trainables.packs.pack import run_pack

NEW = ["pocket-roberta"]


def finished(folder: Path, **changes: Any) -> Path:
    few = {"steps": 3, "evaluations": 1, "text_tokens": 12}
    base: dict[str, Any] = {
        "sources": ["pocket-bert", "pocket-gpt2"],
        "targets": ["pocket-llama"],
        "tasks": ["mini/topics"],
        "methods": {"soft": {"lambda": [0, 0.5], **few}},
    }
    return compute(make_plan(parse_spec(content(**{**base, **changes}))), folder)


def computed(plan: Plan, folder: Path, ledger: Ledger) -> dict[str, Any]:
    """What is missing of a plan, computed here; the cost of all packs."""
    costs: dict[str, Any] = {"train_seconds": 0.0}
    for pack in plan.remaining(ledger.done_ids()):
        outcome = run_pack(pack, {name: ledger.prompt(name) for name in pack.needs})
        assert not outcome.failures
        costs["train_seconds"] += outcome.cost.get("train_seconds", 0.0)
        for cell in pack.cells:
            result, prompt = outcome.results[cell.id], outcome.prompts.get(cell.id)
            kept = outcome.predictions.get(cell.id)
            ledger.write(cell, result, pack.id, outcome.cost, prompt, kept)
    return costs


@pytest.mark.slow
def test_stored_prompts_go_to_a_new_model_and_nothing_is_tuned_on_sources(tmp_path: Path) -> None:
    folder = finished(tmp_path / "old")
    plan, out = recheck_plan(folder, NEW, budget=60), recheck_folder(folder, NEW)
    assert out == folder / "recheck" / "pocket-roberta"
    adopt_prompts(folder, out, plan)
    adopt_prompts(folder, out, plan)  # as the same command, again
    ledger = Ledger(out)
    sources = {cell.id for cell in plan.cells if cell.kind == "source"}
    assert ledger.done_ids() == sources
    assert computed(plan, out, ledger)["train_seconds"] == 0.0
    assert Ledger(out).done_ids() == {cell.id for cell in plan.cells}
    for record in ledger.records():
        result = record["result"]
        work = result["target_forward_rows"] + 2 * result["target_backward_rows"]
        assert record["cell"]["kind"] == "source" or work <= 60
    rows = {(cell.row, cell.settings.get("solver")) for cell in plan.cells if cell.sources}
    assert {("single", "distil"), ("single", "readout"), ("ours", "closed_form")} <= rows
    (verdict,) = verdicts(out)
    assert verdict["title"] == "What to do on pocket-roberta"
    assert "Without labels of it: " in verdict["text"]


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main(["recheck", *arguments])
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.mark.slow
def test_mistakes_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = finished(tmp_path / "old", methods={"soft": {"steps": 1, "evaluations": 1}})
    known = told(capsys, str(folder), "--target", "pocket-llama")
    assert known.startswith("error: --target: 'pocket-llama' is a model of the sweep itself;")
    assert "--budget: found 5; allowed: at least 24," in told(
        capsys, str(folder), "--target", *NEW, "--budget", "5"
    )
    assert "model 'nope': not found" in told(capsys, str(folder), "--target", "nope")
    with pytest.raises(InputError, match="not there") as caught:
        for record in (folder / "ledger").glob("??/*.json"):
            record.unlink()
        recheck_plan(folder, NEW)
    assert "2 of the 2 prompts that go to pocket-roberta are not there" in str(caught.value)
    assert "no sweep's folder" in told(capsys, str(tmp_path), "--target", *NEW)


@pytest.mark.slow
def test_hard_prompts_have_nothing_to_recheck(tmp_path: Path) -> None:
    hard = {"random": {"prompt_length": 2, "text_tokens": 12}}
    folder = finished(tmp_path / "old", methods=hard)
    with pytest.raises(InputError, match=r"holds no soft prompts \(methods random\)"):
        recheck_plan(folder, NEW)
