"""The check before training runs in a process of its own and speaks through one line."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweep import cli
from sweep.planning.plan import make_plan
from sweep.planning.preflight import answer, check_local, check_plan
from sweep.spec.spec import load_spec, parse_spec
from sweep.testing.tabulated import find_task
from tests.sweep.samples import checked, content
from trainables.errors import InputError
from trainables.pocket.zoo import pocket_path


def test_a_sweep_of_embedded_models_passes() -> None:
    assert checked(make_plan(load_spec("smoke"))) == []


@pytest.mark.slow
def test_a_mistake_is_one_sentence() -> None:
    spec = parse_spec(content(sources=["pocket-bert"], targets=["pocket-gpt2"]))
    plan = make_plan(spec, find_task=find_task)
    with pytest.raises(InputError, match=r"x/one\.yaml") as caught:
        check_plan(plan)
    assert "\n" not in str(caught.value)


def ways_of(*ways: dict[str, Any]) -> list[str]:
    models = {"sources": ["pocket-bert"], "targets": ["pocket-gpt2"], "pairs": None}
    spec = parse_spec(content(**models, tasks=["mini/topics"], transfer=list(ways)))
    return checked(make_plan(spec))


def test_more_texts_than_there_are_is_a_warning() -> None:
    (warning,) = ways_of({"solver": "readout", "texts": 5000, "features": ["states", "words"]})
    assert "found 5000, but task 'mini/topics' has only 240" in warning
    assert ways_of({"solver": "readout", "texts": 240}) == []


@pytest.mark.parametrize(
    ("way", "sentence"),
    [
        ({"solver": "tune", "shots": 61}, "shots: found 61; allowed: at most 60, .*'mini/topics'"),
        ({"solver": "search", "budget": 10}, "budget: found 10; allowed: at least [0-9]+, "),
        (
            {"solver": "distil", "texts_from": "mrpc_pair"},
            r"transfer\.texts_from: found 'mrpc_pair', a task of pairs; allowed beside task",
        ),
    ],
)
def test_ways_are_held_against_the_task(way: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        ways_of(way)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_crash_is_told_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.planning.preflight._question", lambda plan: {})
    with pytest.raises(RuntimeError, match=r"broke off[\s\S]*KeyError"):
        check_plan(make_plan(load_spec("smoke")))


def planned(
    folder: Path, capsys: pytest.CaptureFixture[str], words: str = "bad, good", **config: Any
) -> tuple[int, str]:
    """Exit code and errors of ``sweep plan`` with a model folder and a task of one's own."""
    model = folder / "team@home"
    shutil.copytree(pocket_path("pocket-bert"), model)
    path = model / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    task = f"extends: mini/reviews\nname: own\nlabel_words: [{words}]\n"
    (folder / "own.yaml").write_text(task)
    changes = {"sources": ["pocket-roberta"], "pairs": None, "targets": ["./team@home"]}
    spec = content(**changes, tasks=["own.yaml"])
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    with pytest.raises(SystemExit) as ended:
        cli.main(["plan", str(folder / "spec.yaml")])
    return int(ended.value.code or 0), capsys.readouterr().err


@pytest.fixture
def no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all is well, no process is started that takes seconds."""

    def start(*_: Any, **__: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("sweep.planning.preflight.subprocess.run", start)


@pytest.mark.usefixtures("no_child")
@pytest.mark.parametrize("preset", ["smoke", "quickstart", "paper_a", "paper_b"])
def test_presets_are_planned_without_another_process(preset: str) -> None:
    check_local(make_plan(load_spec(preset)).resolved)


@pytest.mark.usefixtures("no_child")
def test_plan_takes_a_sound_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert planned(tmp_path, capsys) == (0, "")


@pytest.mark.usefixtures("no_child")
def test_plan_refuses_weights_that_are_cut_short(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = planned(tmp_path, capsys, quantization_config={"quant_method": "awq"})
    assert (code, "found quantization_config ('awq')" in told) == (2, True)
    weights = tmp_path / "team@home" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5])
    (tmp_path / "team@home" / "config.json").write_bytes(
        (Path(pocket_path("pocket-bert")) / "config.json").read_bytes()
    )
    with pytest.raises(SystemExit, match="2"):
        cli.main(["plan", str(tmp_path / "spec.yaml")])
    assert "model.safetensors: cut short, " in capsys.readouterr().err


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of the other process is answered here, which has torch already."""
    monkeypatch.setattr("sweep.planning.preflight._ask", lambda question: answer(dict(question)))


@pytest.mark.usefixtures("in_process")
def test_plan_refuses_label_words_of_several_tokens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = planned(tmp_path, capsys, words="bad, extraordinarily")
    assert code == 2
    assert "label word 'extraordinarily' is not a single token" in told
    assert len(told.splitlines()) == 1


@pytest.mark.usefixtures("in_process")
def test_plan_refuses_an_architecture_that_is_not_supported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = planned(tmp_path, capsys, model_type="vit")
    assert code == 2
    assert told.startswith("error: model 'team@home': architecture 'vit' is not supported; allowed")


def test_a_helper_that_is_no_causal_model_is_refused_before_anything_is_trained() -> None:
    for method in ("rlprompt", "proposals"):
        models = {"sources": ["pocket-gpt2"], "targets": ["pocket-bert"], "pairs": None}
        methods = {method: {"helper": "pocket-bert"}}
        spec = parse_spec(content(**models, tasks=["mini/topics"], methods=methods))
        with pytest.raises(
            InputError, match="helper: found 'pocket-bert', which fills in"
        ) as caught:
            checked(make_plan(spec))
        assert "\n" not in str(caught.value)
