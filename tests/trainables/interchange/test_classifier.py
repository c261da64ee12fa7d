"""A classifier reads as evaluation does, and its folder gives it back."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.trainables.tasks.test_pair import write
from trainables.backbones import Layout, load_backbone
from trainables.errors import InputError
from trainables.interchange import TunedPrompt
from trainables.interchange.classifier import Classifier
from trainables.models.names import resolve_model
from trainables.tasks import load_task


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pocket-bert", "pocket-gpt2"])
def test_pairs(name: str, tmp_path: Path) -> None:
    """Kept and loaded again, served columns and all: the logits of a literal evaluation."""
    from types import SimpleNamespace

    from sweep.export.pyfunc_model import PromptModel

    task, ref = load_task(write(tmp_path)), resolve_model(name)
    backbone = load_backbone(ref)
    prompt = backbone.embeddings[100:105].numpy()
    tuned = TunedPrompt(prompt, backbone, ref, Layout(5, "infix"), task)
    rows = task.rows("test")
    data = backbone.read([row.content for row in rows], [0] * len(rows), tuned.layout)
    labels = backbone.labels(task.label_words, task.name)
    expected = backbone.split_logits(data, labels, torch.from_numpy(prompt)[None])[0]

    folder = tmp_path / "kept"
    Classifier.of(tuned).write(folder)
    assert Path(resolve_model(name).location).as_posix() not in (folder / "prompt.yaml").read_text()
    again = Classifier.load(folder)
    assert again.pair
    torch.testing.assert_close(
        again.logits([row.content for row in rows]), expected, rtol=0, atol=0
    )

    model = PromptModel()
    model.load_context(SimpleNamespace(artifacts={"classifier": str(folder)}))
    firsts, seconds = zip(*(row.content for row in rows), strict=True)
    found = model.predict(None, pd.DataFrame({"text_a": firsts, "text_b": seconds}))
    assert found["label"].tolist() == [task.classes[int(index)] for index in expected.argmax(-1)]


def test_a_prompt_of_another_length_is_refused(tmp_path: Path) -> None:
    ref = resolve_model("pocket-gpt2")
    backbone = load_backbone(ref)
    prompt = backbone.embeddings[100:105].numpy()
    tuned = TunedPrompt(prompt, backbone, ref, Layout(5), load_task("mini/topics"))
    Classifier.of(tuned).write(tmp_path)
    path = tmp_path / "prompt.yaml"
    path.write_text(path.read_text().replace("prompt_length: 5", "prompt_length: 4"))
    with pytest.raises(InputError, match=r"found a prompt of shape \[5, 128\]"):
        Classifier.load(tmp_path)
    (tmp_path / "prompt.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match="allowed: safetensors with one tensor"):
        Classifier.load(tmp_path)
