"""The lines of an exported readout's README give the scores that it had."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainables.tiny import ARCHITECTURES, pristine, tiny
from trainables.backbones import Layout
from trainables.core.cells import ModelRef
from trainables.core.registries import FEATURES
from trainables.errors import InputError
from trainables.interchange import KeptReadout, readout_files, write_files
from trainables.tasks import load_task
from trainables.transfer.taught.readout import applied

TASK = load_task("mini/reviews")
TEXTS = ["no", "the film was good", "", "a long and boring story about nothing", "word " * 200]


def kept_on(name: str, features: str, folder: Path, text_tokens: int | None = 40) -> KeptReadout:
    """A random readout of a tiny model, which is saved in a folder."""
    backbone = tiny(name)
    pristine(name).save_pretrained(folder)
    backbone.tokenizer.save_pretrained(folder)
    width = FEATURES[features].read(backbone, backbone.read(["a"], [0], Layout())).shape[1]
    draw = torch.Generator().manual_seed(width)
    weights = torch.randn(len(TASK.classes), width + 1, generator=draw).numpy()
    model = ModelRef(name, str(folder), None, "c0ffee")
    layout = Layout(text_tokens=text_tokens)
    return KeptReadout(weights, features, backbone, model, layout, TASK, {"cell": "c0ffee"})


def scores_of(folder: Path) -> Any:
    """The function ``scores`` of the README in an exported folder."""
    code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(code.replace('Path(".")', f"Path({str(folder)!r})"), names)
    return names["scores"]


@pytest.mark.parametrize("features", list(FEATURES))
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_readme_gives_the_same_scores(name: str, features: str, tmp_path: Path) -> None:
    kept = kept_on(name, features, tmp_path / "model")
    write_files(tmp_path / "out", readout_files(kept))
    data = kept.backbone.read(TEXTS, [0] * len(TEXTS), kept.layout)
    read = FEATURES[features].read(kept.backbone, data)
    expected = applied(torch.from_numpy(kept.weights)[None], read)[0]
    assert expected.std(0).min() > 1e-3, "a constant would pass any comparison"
    scores = scores_of(tmp_path / "out")
    for row, text in enumerate(TEXTS):
        torch.testing.assert_close(scores(text), expected[row], atol=1e-4, rtol=1e-4)
    about = json.loads((tmp_path / "out" / "promptsweep.json").read_text())
    assert [label["class"] for label in about["task"]["labels"]] == list(TASK.classes)
    assert about["usage"]["features"] == features
    assert len(about["usage"]["tokens"]) in (0, about["readout"]["columns"] - 1)
    assert about["layout"]["most_text_tokens"] == 40
    assert about["base_model"]["digest"] == "c0ffee"


def test_features_of_a_plugin_are_refused(tmp_path: Path) -> None:
    kept = kept_on("gpt2", "states", tmp_path)
    object.__setattr__(kept, "features", "mine")
    with pytest.raises(InputError, match=r"features: found 'mine'; allowed .* states, words"):
        readout_files(kept)
