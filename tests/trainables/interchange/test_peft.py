"""PEFT loads what is exported and gives the same label scores."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file

from tests.trainables import general
from tests.trainables.tiny import ARCHITECTURES, beside, pristine, tiny
from trainables.backbones import Backbone, Layout, load_backbone
from trainables.core.cells import ModelRef
from trainables.errors import InputError
from trainables.interchange import TunedPrompt, peft_files, write_files
from trainables.models.names import resolve_model
from trainables.tasks import load_task

TASK = load_task("mini/reviews")
TEXTS = [
    "no",
    "the film was good",
    "",
    "a very long and quite boring story about nothing at all , she said",
    "word " * 200,
]
CAUSAL = ["gpt2", "opt", "opt-projected", "llama"]


def tuned_on(backbone: Backbone, seed: int = 0, **layout: Any) -> TunedPrompt:
    generator = torch.Generator().manual_seed(seed)
    prompt = torch.randn(3, backbone.width, generator=generator).numpy()
    model = ModelRef(backbone.alias, "owner/name", "abc123", "owner/name@abc123")
    return TunedPrompt(prompt, backbone, model, Layout(3, **layout), TASK, {"cell": "c0ffee"})


def our_scores(tuned: TunedPrompt, texts: list[str]) -> torch.Tensor:
    backbone = tuned.backbone
    data = backbone.read(texts, [0] * len(texts), tuned.layout)
    labels = tuned.labels
    return backbone.split_logits(data, labels, torch.from_numpy(tuned.prompt)[None])[0]


def loaded(tuned: TunedPrompt, folder: Path, model: Any) -> tuple[Any, dict[str, Any]]:
    """The PEFT model of an exported folder, and its manifest."""
    write_files(folder, peft_files(tuned))
    found = PeftModel.from_pretrained(copy.deepcopy(model), str(folder)).eval()
    return found, json.loads((folder / "promptsweep.json").read_text())


def ids_of(text: str, tuned: TunedPrompt, about: dict[str, Any]) -> list[int]:
    """As the folder's README says."""
    layout, usage = about["layout"], about["peft"]
    ids = tuned.backbone.tokenizer(layout["text_prefix"] + text, add_special_tokens=False)
    return [*ids["input_ids"][: layout["most_text_tokens"]], *usage["ids_after_text"]]


@torch.no_grad()
def peft_scores(text: str, model: Any, tuned: TunedPrompt, about: dict[str, Any]) -> torch.Tensor:
    ids = torch.tensor([ids_of(text, tuned, about)], dtype=torch.long)
    labels = [label["token_id"] for label in about["task"]["labels"]]
    decoder = about["peft"].get("decoder_ids")
    more = {"decoder_input_ids": torch.tensor([decoder])} if decoder else {}
    return model(input_ids=ids, **more).logits[0, about["peft"]["answer_index"], labels]


@pytest.mark.parametrize("template", ["", "It was"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_label_scores_are_the_same(name: str, template: str, tmp_path: Path) -> None:
    tuned = tuned_on(tiny(name), template=template, text_tokens=40)
    model, about = loaded(tuned, tmp_path, pristine(name))
    expected = our_scores(tuned, TEXTS)
    assert expected.std(0).min() > 0.01, "a constant would pass any comparison"
    for row, text in enumerate(TEXTS):
        found = peft_scores(text, model, tuned, about)
        torch.testing.assert_close(found, expected[row], atol=1e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gemma2", "gptj", "albert", "deberta-v2", "modernbert"])
def test_label_scores_are_the_same_on_architectures_without_a_family(
    name: str, tmp_path: Path
) -> None:
    """Scaled and narrow embeddings: PEFT puts vectors where they were tuned."""
    backbone = load_backbone(general.folder_of(name, tmp_path / "model"))
    tuned = tuned_on(backbone, text_tokens=40)
    model, about = loaded(tuned, tmp_path / "peft", general.pristine(name))
    expected = our_scores(tuned, TEXTS)
    for row, text in enumerate(TEXTS):
        found = peft_scores(text, model, tuned, about)
        torch.testing.assert_close(found, expected[row], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_exported_prompt_decides_the_scores(name: str, tmp_path: Path) -> None:
    """Guard of the test above: another prompt gives others."""
    model, about = loaded(tuned_on(tiny(name), seed=0), tmp_path, pristine(name))
    other = tuned_on(tiny(name), seed=1)
    found = peft_scores(TEXTS[1], model, other, about)
    assert (found - our_scores(other, TEXTS[1:2])[0]).abs().max() > 1e-2


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_batch_padded_on_the_right_gives_the_same(name: str, tmp_path: Path) -> None:
    tuned = tuned_on(tiny(name))
    model, about = loaded(tuned, tmp_path, pristine(name))
    rows = [ids_of(text, tuned, about) for text in TEXTS]
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[3] * (longest - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    labels = [label["token_id"] for label in about["task"]["labels"]]
    with torch.no_grad():
        more = beside(tuned.backbone, len(rows))
        logits = model(input_ids=ids, attention_mask=mask, **more).logits
    front = about["peft"]["virtual_tokens"]
    expected = our_scores(tuned, TEXTS)
    for place, row in enumerate(rows):
        answer = 0 if more else front + len(row) + about["peft"]["answer_index"]
        torch.testing.assert_close(
            logits[place, answer, labels], expected[place], atol=1e-4, rtol=0
        )


def test_a_model_whose_texts_begin_with_no_special_token(tmp_path: Path) -> None:
    """As published GPT-2s, whose tokenizer puts nothing in front."""
    backbone = copy.copy(tiny("gpt2"))
    backbone.begin = []
    tuned = tuned_on(backbone)
    texts = TEXTS[:2]
    model, about = loaded(tuned, tmp_path, pristine("gpt2"))
    assert (about["peft"]["virtual_tokens"], about["peft"]["of_which_begin"]) == (3, 0)
    expected = our_scores(tuned, texts)
    for row, text in enumerate(texts):
        found = peft_scores(text, model, tuned, about)
        torch.testing.assert_close(found, expected[row], atol=1e-4, rtol=0)
    assert "no special token" in (tmp_path / "README.md").read_text()


def test_files_are_those_that_peft_itself_writes(tmp_path: Path) -> None:
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    get_peft_model(copy.deepcopy(pristine("gpt2")), config).save_pretrained(str(theirs))
    tuned = tuned_on(tiny("gpt2"))
    write_files(ours, peft_files(tuned))
    expected, found = (
        json.loads((folder / "adapter_config.json").read_text()) for folder in (theirs, ours)
    )
    # PEFT's own version, and a list that only adapters with further modules use.
    assert expected.keys() - found.keys() <= {"peft_version", "modules_to_save"}
    for key in found.keys() - {"base_model_name_or_path", "revision"}:
        assert found[key] == expected[key], key
    assert (found["base_model_name_or_path"], found["revision"]) == ("owner/name", "abc123")
    weights, mine = (load_file(folder / "adapter_model.safetensors") for folder in (theirs, ours))
    assert {key: (value.shape, value.dtype) for key, value in weights.items()} == {
        key: (value.shape, value.dtype) for key, value in mine.items()
    }
    np.testing.assert_array_equal(mine["prompt_embeddings"][1:].numpy(), tuned.prompt)
    assert torch.equal(
        mine["prompt_embeddings"][0], tiny("gpt2").embeddings[tuned.backbone.begin[0]]
    )


@pytest.mark.parametrize("name", ["pocket-gpt2", "pocket-bert"])
def test_the_readme_runs_and_says_the_truth(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = resolve_model(name)
    backbone = load_backbone(ref)
    prompt = backbone.embeddings[100:105].numpy() * 1.5
    tuned = TunedPrompt(prompt, backbone, ref, Layout(5), TASK)
    write_files(tmp_path, peft_files(tuned))
    readme = (tmp_path / "README.md").read_text()
    code = readme.partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    exec(code, space)
    texts = [row.text for row in TASK.rows("test")[:6]]
    expected = our_scores(tuned, texts)
    for row, text in enumerate(texts):
        torch.testing.assert_close(space["scores"](text), expected[row], atol=1e-4, rtol=0)


def test_the_manifest_says_what_the_prompt_is(tmp_path: Path) -> None:
    tuned = tuned_on(tiny("bert"), template="It was")
    about = json.loads(peft_files(tuned)["promptsweep.json"])
    assert about["cell"] == "c0ffee"
    assert about["base_model"]["location"] == "owner/name"
    assert about["base_model"]["revision"] == "abc123"
    assert about["prompt"] == {"vectors": 3, "width": 16}
    assert [label["word"] for label in about["task"]["labels"]] == list(TASK.label_words)
    assert about["layout"]["position"] == "prefix"
    assert about["layout"]["template"] == "It was"
    tokenizer = tuned.backbone.tokenizer
    after = tokenizer.decode(about["peft"]["ids_after_text"])
    assert after.split() == ["it", "was", "[MASK]", "[SEP]"]
    assert peft_files(tuned) == peft_files(tuned)


def test_what_does_not_fit_is_refused() -> None:
    backbone = tiny("gpt2")
    with pytest.raises(InputError, match=r"position: found 'infix'; allowed in the format peft"):
        peft_files(tuned_on(backbone, position="infix"))
    model = ModelRef("gpt2", "owner/name", None, "x")
    for shape in ((3, 15), (2, 16), (16,)):
        with pytest.raises(InputError, match=r"model 'gpt2': found a prompt of shape"):
            TunedPrompt(np.zeros(shape, np.float32), backbone, model, Layout(3), TASK)
