"""What is no language model of text of the library's own, told in one sentence."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import transformers
from safetensors.torch import load_file, save_file

from tests.trainables.general import folder_of, pristine, saved
from trainables.backbones import load_backbone
from trainables.backbones.loading import check_weights, load_reader
from trainables.core.cells import ModelRef
from trainables.errors import InputError
from trainables.models.names import resolve_model
from trainables.pocket.zoo import pocket_path


def refused(ref: ModelRef) -> str:
    """What is said before any weight is read, or else when it is."""
    with pytest.raises(InputError) as caught:
        load_reader(ref)
        load_backbone(ref)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        (
            {"model_type": "vit", "architectures": ["ViTForImageClassification"]},
            "architecture 'vit' is not supported; allowed: a masked, causal or sequence-to-",
        ),
        ({"model_type": "gemma3"}, "architecture 'gemma3' is not supported"),
        ({"model_type": "qwen2_audio"}, "architecture 'qwen2_audio' is not supported"),
        ({"model_type": "t5gemma2"}, "architecture 't5gemma2' is not supported"),
        (
            {"model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"]},
            "says WhisperForConditionalGeneration, no model of text; allowed: a masked, causal or",
        ),
        ({"model_type": "siglip"}, "AutoModelForCausalLM, AutoModelForSeq2SeqLM)"),
        (
            {"model_type": "mt5", "architectures": ["MT5EncoderModel"]},
            "says MT5EncoderModel, which has no vocabulary head; allowed: a sequence-to-sequence",
        ),
        (
            {"model_type": "bart", "architectures": ["BartForSequenceClassification"]},
            "which has no vocabulary head; allowed: a sequence-to-sequence language model",
        ),
        (
            {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]},
            "its config.json leaves 0 decoder_start_token_id; allowed: at least 1",
        ),
        (
            {"model_type": "deberta-v2", "architectures": ["DebertaV2ForSequenceClassification"]},
            "DebertaV2ForSequenceClassification, which has no vocabulary head; allowed: a masked",
        ),
        (
            {"model_type": "qwen2", "architectures": ["Qwen2Model"]},
            "says Qwen2Model, which has no vocabulary head; allowed: a causal language model",
        ),
        (
            {"model_type": "llama4", "architectures": ["Llama4ForConditionalGeneration"]},
            "Llama4ForConditionalGeneration, which reads more than one text; allowed: a causal",
        ),
        (
            {"model_type": "electra", "architectures": None},
            "says no architectures, and 'electra' may be masked or causal; allowed: architectures"
            " with one of ElectraForMaskedLM or ElectraForCausalLM",
        ),
        (
            {"model_type": "cpmant", "architectures": ["CpmAntForCausalLM"]},
            "(the forward pass of CpmAntForCausalLM takes no inputs_embeds); allowed: models whose",
        ),
        (
            {"model_type": "ibert", "architectures": ["IBertForMaskedLM"]},
            "(IBertForMaskedLM has no table of word embeddings)",
        ),
        (
            {
                "model_type": "theirs",
                "auto_map": {"AutoConfig": "theirs.Theirs", "AutoModelForCausalLM": "theirs.Model"},
            },
            "architecture 'theirs' is not supported",
        ),
        (
            {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "auto_map": {}},
            "its tokenizer",
        ),
    ],
    ids=str,
)
def test_what_is_no_language_model_is_refused(
    config: dict[str, Any], wanted: str, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(pocket_path("pocket-bert"), folder)
    (folder / "config.json").write_text(json.dumps({"vocab_size": 100, **config}))
    (folder / "theirs.py").write_text("raise SystemExit('remote code was run')\n")
    assert wanted in refused(resolve_model(str(folder)))


def checked(ref: ModelRef) -> None:
    check_weights(ref, load_reader(ref))


@pytest.mark.slow
def test_a_head_that_is_not_in_the_weights_is_named(tmp_path: Path) -> None:
    """The library would begin it anew and warn; so with ELECTRA's discriminator."""
    discriminator = transformers.ElectraForPreTraining(pristine("electra").config)
    refs = {"generator_": saved(discriminator, tmp_path / "electra", "pocket-bert")}
    for name, body, head in (
        ("albert", "albert", "predictions."),
        ("qwen3", "model", "lm_head.weight"),
    ):
        file = Path(folder_of(name, tmp_path / name).location) / "model.safetensors"
        kept = {key: value for key, value in load_file(file).items() if key.startswith(f"{body}.")}
        save_file(kept, file, metadata={"format": "pt"})
        refs[head] = resolve_model(str(file.parent))
    for head, ref in refs.items():
        for look in (checked, load_backbone):
            with pytest.raises(
                InputError, match=r"of its weights are not in .*allowed: a compl"
            ) as it:
                look(ref)
            assert head in str(it.value)


@pytest.mark.slow
def test_a_model_whose_rows_feel_their_padding_is_refused(tmp_path: Path) -> None:
    """FNet mixes all positions, whatever its mask says."""
    config = transformers.FNetConfig(vocab_size=7000, hidden_size=16, num_hidden_layers=2)
    told = refused(saved(transformers.FNetForMaskedLM(config), tmp_path / "model", "pocket-bert"))
    assert "cannot be read with prompt vectors (a row gives other logits alone than padded" in told


@pytest.mark.slow
def test_a_masked_model_needs_a_mask_token(tmp_path: Path) -> None:
    def change(tokenizer: Any) -> None:
        tokenizer.mask_token = None

    ref = saved(pristine("albert"), tmp_path / "model", "pocket-bert", change)
    with pytest.raises(InputError, match="model 'model': its tokenizer has no mask token"):
        load_reader(ref)
