"""Whatever leaves the project with label texts of several tokens scores as it did here."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainables.soft import toys
from trainables.backbones import Layout, load_backbone, reads_of
from trainables.hard.text import encode
from trainables.interchange import TunedPrompt, peft_files, write_files
from trainables.interchange.classifier import Classifier
from trainables.interchange.text import text_files
from trainables.models.names import resolve_model
from trainables.tasks import load_task

pytestmark = pytest.mark.slow

SAID = "all in all"
NAMES = ["pocket-bert", "pocket-gpt2"]


def tuned_on(name: str, folder: Path, words: str) -> TunedPrompt:
    ref = resolve_model(name)
    backbone, task = load_backbone(ref), load_task(toys.write_task(folder / "task", words=words))
    ids = encode(backbone, SAID)
    prompt = backbone.embeddings[ids].numpy()
    layout = Layout(len(ids), template="It was", text_tokens=40)
    return TunedPrompt(prompt, backbone, ref, layout, task, {"cell": "c0ffee"}, SAID)


def evaluated(tuned: TunedPrompt, texts: list[str]) -> torch.Tensor:
    backbone, task = tuned.backbone, tuned.task
    labels = backbone.labels(task.label_words, task.name, task.scoring)
    spare = reads_of(labels).longest
    data = backbone.read(texts, [0] * len(texts), tuned.layout, task.name, spare)
    return backbone.split_logits(data, labels, torch.from_numpy(tuned.prompt)[None])[0]


def readme_scores(folder: Path) -> Any:
    """The function ``scores`` of the README in an exported folder."""
    code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(code.replace('Path(".")', f"Path({str(folder)!r})"), names)
    return names["scores"]


@pytest.mark.parametrize("words", [toys.TEXTS, "label_words: [[good, fine], [bad, poor]]"])
@pytest.mark.parametrize("name", NAMES)
def test_exports_score_alike(name: str, words: str, tmp_path: Path) -> None:
    tuned = tuned_on(name, tmp_path, words)
    texts = [row.text for row in tuned.task.rows("test")]
    expected = evaluated(tuned, texts)

    Classifier.of(tuned).write(tmp_path / "kept")
    again = Classifier.load(tmp_path / "kept")
    assert torch.equal(again.logits(texts), expected)
    for files in (peft_files(tuned), text_files(tuned)):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        write_files(folder, files)
        about = json.loads((folder / "promptsweep.json").read_text())["task"]
        assert about.get("scoring") == tuned.task.scoring
        assert [len(label["token_ids"]) for label in about["labels"]] == [
            len(one) if isinstance(one, tuple) else 1 for one in tuned.task.label_words
        ]
        scores = readme_scores(folder)
        for text, known in zip(texts, expected, strict=True):
            found = scores(text).log_softmax(-1)
            torch.testing.assert_close(found, known.log_softmax(-1), atol=1e-4, rtol=1e-4)
