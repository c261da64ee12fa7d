"""``sweep pretext``: what it writes, who labels, and what a mistake is answered with."""

import json
from pathlib import Path

import numpy as np
import pytest

from sweep import cli
from sweep.commands.pretext import labels_of
from tests.trainables.pretext.corpus import DOCUMENTS, write_corpus
from trainables.errors import InputError
from trainables.models.names import resolve_model
from trainables.pretext.labeller import score
from trainables.tasks import load_task

SMALL = ("--rows", "30", "--held-rows", "6")


def sweep(*arguments: str) -> int:
    with pytest.raises(SystemExit) as done:
        cli.main(["pretext", *arguments])
    return int(done.value.code or 0)


def test_tasks_are_written_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, out = write_corpus(tmp_path / "corpus.jsonl"), tmp_path / "made"
    asked = (str(corpus), "--out", str(out), *SMALL, "--letters", "mini/topics")
    assert sweep(*asked) == 0
    said = capsys.readouterr().out
    assert "train 30, validation 6, test 6" in said
    assert "neighbours 33.3 %" in said and "A 16.7 %" in said
    for name in ("nsp", "nss", "unified"):
        assert str(out / f"{name}.yaml") in said
        assert len(load_task(out / f"{name}.yaml").rows("train")) == 30
    assert not (out / "pseudo.yaml").exists()
    assert load_task(out / "letters" / "mini" / "topics.yaml").label_words == tuple("ABCD")
    assert sweep(*asked) == 2
    assert "nothing is overwritten" in capsys.readouterr().err


def test_a_file_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, labels = write_corpus(tmp_path / "corpus.jsonl"), tmp_path / "labels.jsonl"
    every = [sentence for document in DOCUMENTS for sentence in document]
    rows = [{"text": text, "label": place % 2} for place, text in enumerate(every)]
    labels.write_text("\n".join(map(json.dumps, rows)))
    asked = ("--label-task", "mini/reviews", "--labels", str(labels), "--kind", "pseudo")
    assert sweep(str(corpus), "--out", str(tmp_path / "made"), *SMALL, *asked) == 0
    assert "negative 50.0 %, positive 50.0 %" in capsys.readouterr().out
    task = load_task(tmp_path / "made" / "pseudo.yaml")
    known = {row["text"]: row["label"] for row in rows}
    assert all(known[row.text] == row.label for row in task.rows("train"))


@pytest.mark.slow
@pytest.mark.parametrize("prompted", [False, True])
def test_a_model_labels_as_the_sweep_scores(prompted: bool, tmp_path: Path) -> None:
    from trainables.backbones import Layout, load_backbone

    task, model = load_task("mini/reviews"), resolve_model("pocket-bert")
    backbone = load_backbone(model, "cpu")
    prompt = None
    if prompted:
        prompt = tmp_path / "prompt.npy"
        np.save(prompt, backbone.embeddings[[5, 6, 7]].float().numpy())
    texts = ["the food was good", "i hated every minute", "the food was good"]
    found = score(texts, task, model, prompt)
    assert list(found) == texts[:2]
    vectors = backbone.embeddings[[5, 6, 7]].float()[None] if prompted else None
    layout = Layout(3) if prompted else Layout(template=task.manual)
    labels = backbone.labels(task.label_words, task.name)
    for text in texts:
        data = backbone.read([text], [0], layout)
        logits = backbone.split_logits(data, labels, vectors)[0, 0]
        assert found[text] == pytest.approx(logits.softmax(-1).tolist(), abs=1e-5)
    labeller = labels_of("mini/reviews", None, "pocket-bert", prompt, (0.5,))
    assert labeller is not None
    assert labeller(texts).probabilities == found


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--kind", "unifid"], "--kind: found 'unifid' (did you mean unified?)"),
        (["--kind", "pseudo"], "--kind: found pseudo without labels"),
        (["--label-task", "mini/reviews"], "--label-task: found 'mini/reviews' alone"),
        (["--model", "pocket-bert"], "--label-task: found none; allowed: a task"),
        (["--confidence", "high"], "--confidence: found 'high'"),
        (
            ["--label-task", "mini/reviews", "--model", "pocket-bert", "--confidence", "1,1,1"],
            "--confidence: found 1,1,1; allowed: one number from 0 to 1, or one for each of the 2",
        ),
        (
            ["--label-task", "mini/reviews", "--model", "x", "--labels", "y"],
            "--model: found 'x' beside --labels y",
        ),
        (
            ["--label-task", "mini/reviews", "--prompt", "x.npy", "--labels", "y"],
            "--prompt: found 'x.npy' beside --labels y",
        ),
        (
            ["--letters", "superglue/boolq"],
            "--letters: found task 'superglue/boolq', whose answers",
        ),
        (["--rows", "100000"], "pretext/nsp, train: rows: found 100,000"),
    ],
)
def test_mistakes_get_one_sentence_before_anything_is_written(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, out = write_corpus(tmp_path / "corpus.jsonl"), tmp_path / "made"
    assert sweep(str(corpus), "--out", str(out), *arguments) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1
    assert not out.exists() or not list(out.rglob("*.jsonl"))


def test_a_model_refuses_a_prompt_of_another_width(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.zeros((3, 5)))
    labeller = labels_of("mini/reviews", None, "pocket-bert", tmp_path / "p.npy", (0.5,))
    assert labeller is not None
    with pytest.raises(InputError, match=r"found shape \[3, 5\]; allowed: finite numbers of shape"):
        labeller(["a text"])
