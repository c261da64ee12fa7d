"""What is no masked or causal language model is refused, never completed with random weights."""

import json
from pathlib import Path
from typing import Any

import pytest
import transformers
from safetensors.torch import load_file, save_file

from tests.trainables.tiny import ARCHITECTURES, pristine
from trainables.backbones.loading import load_backbone, load_reader
from trainables.cells import ModelRef
from trainables.errors import InputError
from trainables.models import resolve_model
from trainables.pocket.zoo import pocket_path


def saved(model: Any, folder: Path, tokenizer: str = "pocket-bert") -> ModelRef:
    model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(pocket_path(tokenizer)).save_pretrained(folder)
    return resolve_model(str(folder))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_language_models_of_all_architectures_load_complete(name: str, tmp_path: Path) -> None:
    ref = saved(pristine(name), tmp_path / "model", ARCHITECTURES[name][0])
    assert load_backbone(ref).width == pristine(name).get_input_embeddings().weight.shape[1]


@pytest.mark.parametrize(("name", "prefix"), [("gpt2", "transformer."), ("opt", "model.")])
def test_files_without_the_bodys_prefix_are_complete(
    name: str, prefix: str, tmp_path: Path
) -> None:
    """So GPT-2 and OPT-125M lie on the Hub: the head is the embedding table."""
    ref = saved(pristine(name), tmp_path / "model", ARCHITECTURES[name][0])
    file = Path(ref.location) / "model.safetensors"
    weights = {key.removeprefix(prefix): value for key, value in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})
    load_backbone(resolve_model(ref.location))


def test_an_encoder_decoder_is_refused(tmp_path: Path) -> None:
    config = transformers.T5Config(vocab_size=100, d_model=8, d_ff=8, num_layers=1, num_heads=1)
    ref = saved(transformers.T5ForConditionalGeneration(config), tmp_path / "t5")
    with pytest.raises(InputError, match="'t5' is not supported; allowed: masked and causal"):
        load_reader(ref)


def test_encoders_and_classifiers_are_refused(tmp_path: Path) -> None:
    bert, gpt2 = pristine("bert"), pristine("gpt2")
    classifier = transformers.GPT2ForSequenceClassification(gpt2.config)
    for model, tokenizer, wanted in [
        (bert.bert, "pocket-bert", "says BertModel, .* a masked language model"),
        (
            transformers.BertForSequenceClassification(bert.config),
            "pocket-bert",
            "says BertForSequenceClassification, .* a masked",
        ),
        (classifier, "pocket-gpt2", "says GPT2ForSequenceClassification, .* a causal"),
    ]:
        ref = saved(model, tmp_path / type(model).__name__, tokenizer)
        with pytest.raises(InputError, match=wanted) as caught:
            load_reader(ref)
        assert "\n" not in str(caught.value)


def test_an_encoder_whose_config_does_not_tell_is_found_by_its_weights(tmp_path: Path) -> None:
    ref = saved(pristine("bert").bert, tmp_path / "bare")
    file = Path(ref.location) / "config.json"
    config = json.loads(file.read_text())
    del config["architectures"]
    file.write_text(json.dumps(config))
    load_reader(ref)
    with pytest.raises(InputError, match=r"6 of its weights are not in .*cls\.predictions\.bias"):
        load_backbone(ref)
