"""The preset paper_a: planned from names alone, refused early where nothing can be reached."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from sweep.commands.plan import format_plan
from sweep.planning.plan import make_plan
from sweep.spec.spec import load_spec, parse_spec
from tests.sweep.inline import inline as inline
from tests.sweep.samples import checked
from trainables.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_plan_has_the_papers_counts() -> None:
    counts = make_plan(load_spec("paper_a")).counts()
    assert counts["kinds"] == {"source": 175 + 4200, "transfer": 2625, "reference": 3 * 7 * 6}
    assert {row: counts["rows"][row] for row in ("ours", "baseline", "single")} == {
        "ours": 2100,
        "baseline": 350,
        "single": 175,
    }
    assert counts["tunings"] == {"independent": 175, "joint": 2100}
    assert counts["packs"] == 5 * 7 + 10 * 7 + 7
    text = format_plan(counts)
    for wanted in (
        "2625 transfer",
        "175 independent and 2100 joint tunings in 112 packs",
        "ours         2100",
        "baseline     350",
        "single       175",
    ):
        assert wanted in text


def test_each_independent_tuning_serves_all_its_pairs() -> None:
    plan = make_plan(load_spec("paper_a"))
    used = Counter(
        name for cell in plan.cells if cell.row in ("single", "baseline") for name in cell.inputs
    )
    assert set(used.values()) == {1 + 4}
    assert len(used) == 175


@pytest.mark.slow
def test_planning_imports_no_library_that_could_ask_the_hub() -> None:
    code = (
        "import sys\n"
        "from sweep.planning.plan import make_plan; from sweep.spec.spec import load_spec\n"
        "make_plan(load_spec('paper_a'))\n"
        "print(sorted(set(sys.modules) & {'datasets', 'huggingface_hub', 'transformers', 'torch'}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"


def test_models_are_pinned_and_a_cell_holds_the_pin() -> None:
    plan = make_plan(load_spec("paper_a"))
    assert list(plan.resolved.models) == [
        "BERT-base",
        "GPT-2",
        "MPNet-base",
        "OPT-125M",
        "RoBERTa-base",
        "RoBERTa-large",
    ]
    for model in plan.resolved.models.values():
        assert re.fullmatch(r"[0-9a-f]{40}|refs/pr/\d+", model.revision or ""), model
        assert model.digest == f"{model.location}@{model.revision}"
    cell = next(cell for cell in plan.cells if cell.row == "single")
    assert cell.digests[cell.target] == plan.resolved.models[cell.target].digest


def test_a_model_may_be_a_folder_instead(tmp_path: Path) -> None:
    from trainables.pocket.zoo import pocket_path

    spec = load_spec("paper_a")
    text = spec.text.replace(
        "path: FacebookAI/roberta-large", f"path: {pocket_path('pocket-bert')}"
    )
    own = tmp_path / "own.yaml"
    own.write_text(text)
    model = make_plan(load_spec(str(own))).resolved.models["RoBERTa-large"]
    assert model.location == str(pocket_path("pocket-bert"))


def test_where_nothing_can_be_reached_the_preflight_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"model 'BERT-base': Hub model 'google-bert/") as caught:
        checked(make_plan(load_spec("paper_a")))
    assert "\n" not in str(caught.value)
    assert "or a folder that holds one" in str(caught.value)


def test_a_task_whose_data_cannot_be_reached_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    content = {
        "name": "small",
        "sources": ["pocket-bert"],
        "targets": ["pocket-gpt2"],
        "tasks": ["rotten_tomatoes"],
        "methods": {"soft": {"steps": 4, "evaluations": 2}},
    }
    with pytest.raises(InputError, match="of the data set cornell-movie-review-data/") as caught:
        checked(make_plan(parse_spec(content)))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_running_it_offline_ends_with_exit_code_2(
    inline: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from sweep import cli

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    own = tmp_path / "own.yaml"  # the preset asks for a GPU, which this machine may lack
    own.write_text(load_spec("paper_a").text.replace("{cpu: 2, gpu: 1}", "{cpu: 1}"))
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", str(own), "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "google-bert/bert-base-cased" in errors[0]
    assert not list((tmp_path / "out").glob("ledger/*"))


@pytest.mark.real
def test_the_small_example(shared: Path) -> None:
    plan = make_plan(load_spec(str(ROOT / "examples" / "paper_a_small.yaml")))
    counts = plan.counts()
    per_target = 4 + 6 + 6 * 4
    assert counts["kinds"]["transfer"] == 2 * 5 * 5 * per_target
    assert counts["tunings"] == {"independent": 150, "joint": 600}
    assert {task.name for task in plan.resolved.tasks} == {
        "hate",
        "offensive",
        "rotten_tomatoes",
        "sentiment",
        "sst2",
    }
    assert json.dumps(plan.resolved.to_json())
    assert checked(plan) == []
