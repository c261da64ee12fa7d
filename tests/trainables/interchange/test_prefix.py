"""Keys and values of layers as PEFT's prefix tuning: it loads them and gives the same scores."""

import copy
import json
from pathlib import Path

import pytest
import torch
from peft import PrefixTuningConfig, get_peft_model
from safetensors.torch import load_file

from tests.trainables import general
from tests.trainables.interchange.test_peft import TASK, TEXTS, loaded, our_scores
from tests.trainables.tiny import pristine, tiny
from trainables.backbones import Backbone, Layout, load_backbone
from trainables.core.cells import ModelRef
from trainables.errors import InputError
from trainables.interchange import TunedPrompt, peft_files, write_files
from trainables.interchange.ptfer import ptfer_files

KNOWN = ["bert", "roberta", "gpt2", "opt", "opt-projected", "llama"]


def tuned_on(backbone: Backbone, seed: int = 0, template: str = "") -> TunedPrompt:
    layout = Layout(3, position="layers", template=template, text_tokens=40)
    shape = 3, backbone.vector_width("layers")
    prompt = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).numpy()
    model = ModelRef(backbone.alias, "owner/name", "abc123", "owner/name@abc123")
    return TunedPrompt(prompt, backbone, model, layout, TASK, {"cell": "c0ffee"})


@torch.no_grad()
def scores_of_folder(tuned: TunedPrompt, folder: Path, model: torch.nn.Module) -> torch.Tensor:
    """Label scores [n, C] by PEFT, each text as the folder's README says."""
    found, about = loaded(tuned, folder, model)
    layout, usage = about["layout"], about["peft"]
    labels = [label["token_id"] for label in about["task"]["labels"]]
    rows = []
    for text in TEXTS:
        ids = tuned.backbone.tokenizer(layout["text_prefix"] + text, add_special_tokens=False)
        ids = ids["input_ids"][: layout["most_text_tokens"]]
        row = torch.tensor([[*usage["ids_before_text"], *ids, *usage["ids_after_text"]]])
        rows.append(found(input_ids=row).logits[0, usage["answer_index"], labels])
    return torch.stack(rows)


@pytest.mark.parametrize("template", ["", "It was"])
@pytest.mark.parametrize("name", KNOWN)
def test_label_scores_are_the_same(name: str, template: str, tmp_path: Path) -> None:
    tuned = tuned_on(tiny(name), template=template)
    expected = our_scores(tuned, TEXTS)
    assert expected.std(0).min() > 0.01, "a constant would pass any comparison"
    found = scores_of_folder(tuned, tmp_path, pristine(name))
    scale = float(expected.abs().max().clamp_min(1.0))
    torch.testing.assert_close(found / scale, expected / scale, atol=1e-5, rtol=0)
    other = our_scores(tuned_on(tiny(name), seed=1, template=template), TEXTS)
    assert float((found - other).abs().max()) > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qwen2", "gpt_neox", "electra", "xlm-roberta"])
def test_label_scores_are_the_same_without_a_family(name: str, tmp_path: Path) -> None:
    tuned = tuned_on(load_backbone(general.folder_of(name, tmp_path / "model")))
    expected = our_scores(tuned, TEXTS)
    found = scores_of_folder(tuned, tmp_path / "peft", general.pristine(name))
    scale = float(expected.abs().max().clamp_min(1.0))
    torch.testing.assert_close(found / scale, expected / scale, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_files_are_those_that_peft_itself_writes(name: str, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    config = PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    get_peft_model(copy.deepcopy(pristine(name)), config).save_pretrained(str(theirs))
    tuned = tuned_on(tiny(name))
    write_files(ours, peft_files(tuned))
    expected, found = (
        json.loads((folder / "adapter_config.json").read_text()) for folder in (theirs, ours)
    )
    for key in found.keys() - {"base_model_name_or_path", "revision"}:
        assert found[key] == expected[key], key
    assert expected.keys() - found.keys() <= {"peft_version", "modules_to_save", "init_weights"}
    weights, mine = (load_file(folder / "adapter_model.safetensors") for folder in (theirs, ours))
    assert {key: (value.shape, value.dtype) for key, value in weights.items()} == {
        key: (value.shape, value.dtype) for key, value in mine.items()
    }
    about = json.loads((ours / "promptsweep.json").read_text())
    assert about["prompt"]["past"] == tiny(name).past._asdict()
    readme = (ours / "README.md").read_text()
    assert 'usage["ids_before_text"] + ids[' in readme and "prefix-tuning folder" in readme


def test_a_file_of_word_vectors_does_not_take_it() -> None:
    with pytest.raises(InputError, match="format npy: vectors among word embeddings"):
        ptfer_files(tuned_on(tiny("gpt2")))
