"""Label words tried out: the numbers are the sweep's own, the paper's rows its table 2."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweep import cli
from sweep.commands.label_words import compare_words, format_words, further_words, published
from sweep.planning.plan import make_plan
from sweep.spec.spec import SweepSpec, load_spec, parse_spec
from tests.sweep.samples import content
from tests.trainables.backbones.chat_templates import TEMPLATES
from trainables.backbones import load_reader
from trainables.errors import InputError
from trainables.models.chats import TEMPLATE_FILE
from trainables.models.names import resolve_model
from trainables.packs.pack import run_pack
from trainables.pocket.zoo import pocket_path
from trainables.tasks import load_task

MODEL = "pocket-bert"


def spec_of(**changes: Any) -> SweepSpec:
    base = {"sources": ["pocket-gpt2"], "targets": [MODEL], "tasks": ["mini/reviews"]}
    return parse_spec(content(**{**base, **changes}))


@pytest.mark.slow
@pytest.mark.parametrize("text_tokens", [None, 6])
def test_the_numbers_are_those_of_the_reference_rows(text_tokens: int | None) -> None:
    methods = {"soft": {"steps": 4, "evaluations": 2, "text_tokens": text_tokens}}
    spec = spec_of(methods=methods)
    packs = (pack for pack in make_plan(spec).packs for cell in pack.cells if cell.row == "manual")
    pack = next(pack for pack in packs if any(cell.target == MODEL for cell in pack.cells))
    cells = {cell.row: cell for cell in pack.cells if cell.kind == "reference"}
    only = replace(pack, kind="transfer", sources=(), cells=tuple(cells.values()), needs=())
    results = run_pack(only, {}).results
    entry = compare_words(spec)[0]
    default = entry["candidates"][0]
    assert default["words"] == list(load_task("mini/reviews").label_words)
    for row in ("empty", "manual"):
        assert default[row]["score"] == results[cells[row].id]["validation_score"]
    assert entry["rows"] == results[cells["empty"].id]["n_validation"]


@pytest.mark.slow
def test_words_are_read_as_the_sweep_reads_them(tmp_path: Path) -> None:
    """In chat templates, in none, or both; a word may be one token in one way alone."""
    folder = tmp_path / "chatty"
    shutil.copytree(pocket_path("pocket-llama"), folder)
    (folder / TEMPLATE_FILE).write_text(TEMPLATES["mistral"])
    methods = {"soft": {"steps": 4, "evaluations": 2, "template": ["all", "chat"]}}
    spec = spec_of(targets=[str(folder)], methods=methods)
    found = {entry["frame"]: entry for entry in compare_words(spec, ["chatty"], proposed=True)}
    assert set(found) == {"plain", "chat"}
    assert "chatty in its chat template, mini/reviews" in format_words([found["chat"]])
    cells = {
        ("chat" if "template" in cell.settings else "plain", cell.row): (pack, cell)
        for pack in make_plan(spec).packs
        for cell in pack.cells
        if cell.kind == "reference" and cell.target == "chatty"
    }
    for (frame, row), (pack, cell) in cells.items():
        if row == "constant":
            continue
        only = replace(pack, kind="transfer", sources=(), cells=(cell,), needs=())
        score = run_pack(only, {}).results[cell.id]["validation_score"]
        assert found[frame]["candidates"][0][row]["score"] == score
    proposed = found["chat"]["candidates"][-1]["words"]
    reader = load_reader(resolve_model(str(folder)))
    assert all(
        len(reader.answer_tokens(word, way)) == 1 for word in proposed for way in (False, True)
    )
    asked = spec_of(targets=[str(folder)], methods={"soft": {"steps": 4, "template": "chat"}})
    assert [entry["frame"] for entry in compare_words(asked)] == ["chat"]
    assert [entry["frame"] for entry in compare_words(asked, ["pocket-gpt2"])] == ["plain"]


@pytest.mark.slow
def test_every_choice_is_scored_as_if_it_were_the_tasks_own(tmp_path: Path) -> None:
    """Candidates share a forward pass, which must not change what each one scores."""
    found = compare_words(spec_of(), words=[["awful", "great"]])[0]["candidates"]
    tried = [tuple(item["words"]) for item in found]
    packaged = load_task("mini/reviews")
    assert tried == [
        packaged.label_words,
        *packaged.label_words_alternatives,
        ("awful", "great"),
    ]
    for number, item in enumerate(found):
        if item["problem"]:
            continue
        file = tmp_path / f"{number}.yaml"
        file.write_text(yaml.safe_dump({"extends": "mini/reviews", "label_words": item["words"]}))
        alone = compare_words(spec_of(tasks=[str(file)]))[0]["candidates"][0]
        assert alone["words"] == item["words"]
        assert (alone["empty"], alone["manual"]) == (item["empty"], item["manual"])


def test_words_a_model_does_not_have_are_told_not_scored() -> None:
    found = compare_words(spec_of(), words=[["unbearable", "good"]])
    last = found[0]["candidates"][-1]
    assert (last["empty"], last["manual"], last["off"]) == (None, None, None)
    assert "'unbearable' is not a single token" in last["problem"]
    line = next(line for line in format_words(found).splitlines() if "unbearable/good" in line)
    assert re.search(r"unbearable/good\s+label word 'unbearable' is not a single token", line)


def test_the_nearest_choice_is_the_one_with_the_least_distance(tmp_path: Path) -> None:
    """A task of the paper's over other rows: ``extends`` keeps its name."""
    reviews = load_task("mini/reviews")
    folder = reviews.file.parent / "reviews"
    files = {"train": str(folder / "train.jsonl"), "validation": str(folder / "test.jsonl")}
    file = tmp_path / "sst2.yaml"
    file.write_text(yaml.safe_dump({"extends": "sst2", "data": {"files": files}, "text": "{text}"}))
    said: list[str] = []
    entry = compare_words(spec_of(tasks=[str(file)]), words=[["awful", "great"]], say=said.append)[
        0
    ]
    assert said == [f"1 of 1: {MODEL}, sst2, 4 choices, {entry['rows']} rows"]
    assert entry["published"] == {"empty": 0.710, "manual": 0.767}
    usable = [item for item in entry["candidates"] if not item["problem"]]
    assert len(usable) > 1
    for item in usable:
        assert item["off"]["empty"] == pytest.approx(item["empty"]["score"] - 0.710)
        assert item["off"]["manual"] == pytest.approx(item["manual"]["score"] - 0.767)
    least = min(abs(item["off"]["empty"]) for item in usable)
    nearest = [item for item in usable if item["nearest"]]
    assert len(nearest) == 1
    assert abs(nearest[0]["off"]["empty"]) == least
    text = format_words([entry])
    assert "paper A: Empty 71.0, Manual 76.7" in text
    assert text.count("nearest") == 1


def test_the_published_rows_are_the_papers_words_text() -> None:
    tasks = load_spec("paper_a").tasks
    empty = [published(task) for task in tasks]
    assert [round(100 * row["empty"], 1) for row in empty if row] == [
        32.3,
        65.9,
        74.8,
        40.5,
        67.8,
        44.3,
        71.0,
    ]
    assert published("mini/reviews") is None


def sweep(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(spec_of(tasks=["mini/reviews", "mini/topics"]).text)
    asked = ["label-words", str(spec), "--task", "mini/reviews", "--model", "pocket-gpt2"]
    assert sweep(*asked, "--words", "awful, great", "--json") == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert [(entry["model"], entry["task"]) for entry in found] == [("pocket-gpt2", "mini/reviews")]
    assert found[0]["candidates"][-1]["words"] == ["awful", "great"]
    assert "1 of 1: pocket-gpt2, mini/reviews, 4 choices" in err
    assert sweep(*asked) == 0
    assert "bad/good" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": ["mini/review"]}, r"--task: found 'mini/review' \(did you mean mini/reviews"),
        ({"words": [["a", "b", "c"]]}, r"--words: found 'a,b,c'; .* \(mini/reviews 2\)"),
        ({"words": [["good", "good"]]}, "--words: found 'good,good'; .* different words"),
        ({"words": [["", "good"]]}, "--words: found ',good'"),
        ({"models": ["pocket-berd"]}, "did you mean pocket-bert"),
    ],
)
def test_mistakes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare_words(spec_of(), **options)


TEXTS = {"extends": "mini/reviews", "label_words": ["very bad", ["good", "very good"]]}


@pytest.mark.slow
def test_words_of_several_tokens_and_words_that_all_models_have(tmp_path: Path) -> None:
    """Each choice is scored as the task's own; proposals are one token on every model."""
    file = tmp_path / "texts.yaml"
    file.write_text(yaml.safe_dump({**TEXTS, "scoring": "mean"}))
    words = [further_words("rather poor,great|very good"), further_words("bad,good")]
    found = compare_words(spec_of(tasks=[str(file)]), words=words, proposed=True)[0]["candidates"]
    tried = [item["words"] for item in found]
    assert ["rather poor", ("great", "very good")] in tried
    assert "rather poor/great|very good" in format_words([entry_of(found)])
    assert all(item["problem"] is None for item in found)
    models = [load_reader(resolve_model(name)) for name in ("pocket-gpt2", MODEL)]
    proposed = tried[-1]
    assert all(reader.word_id(word) is not None for reader in models for word in proposed)
    for item in found[:2]:
        content = {**TEXTS, "scoring": "mean", "label_words": list(item["words"])}
        other = tmp_path / "other.yaml"
        other.write_text(json.dumps(content))
        own = compare_words(spec_of(tasks=[str(other)]))[0]["candidates"][0]
        assert own["empty"] == item["empty"]
        assert own["manual"] == item["manual"]


def entry_of(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "model": MODEL,
        "frame": "plain",
        "task": "t",
        "metric": "accuracy",
        "rows": 1,
        "published": None,
        "candidates": found,
    }
