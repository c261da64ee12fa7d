"""What is no language model of text is refused, never completed with random weights."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import transformers
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from safetensors.torch import load_file, save_file

from tests.trainables.tiny import ARCHITECTURES, pristine, tokenizer_named
from trainables.backbones import loading
from trainables.backbones.loading import (
    check_weights,
    in_a_sentence,
    load_backbone,
    load_reader,
)
from trainables.core.cells import ModelRef
from trainables.core.registries import BACKBONES
from trainables.errors import InputError
from trainables.models.names import resolve_model
from trainables.pocket.zoo import pocket_path


def saved(model: Any, folder: Path, tokenizer: str = "pocket-bert") -> ModelRef:
    model.save_pretrained(folder)
    tokenizer_named(tokenizer).save_pretrained(folder)
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
    reader = load_reader(ref)
    for look in (lambda: check_weights(ref, reader), lambda: load_backbone(ref)):
        with pytest.raises(InputError, match=r"6 of its weights are not in .*cls\.predictions\.b"):
            look()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_headers_alone_tell_that_a_model_is_complete(name: str, tmp_path: Path) -> None:
    ref = saved(pristine(name), tmp_path / "model", ARCHITECTURES[name][0])
    check_weights(ref, load_reader(ref))


def copied(folder: Path, file: str = "", content: str | None = None, **config: Any) -> ModelRef:
    """The embedded BERT with another file, or other values in its config."""
    shutil.copytree(pocket_path("pocket-bert"), folder)
    if content is not None:
        (folder / file).write_text(content)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    return resolve_model(str(folder))


def checked(ref: ModelRef) -> str:
    """What the check before training says."""
    with pytest.raises(InputError) as caught:
        check_weights(ref, load_reader(ref))
    assert "\n" not in str(caught.value)
    assert f"model {ref.alias!r}: " in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("file", "content", "wanted"),
    [
        (
            "tokenizer.json",
            '{"version": "9.0", "model": {"type": "New"}}',
            "tokenizer.json cannot be loaded (Unknown tokenizer version '9.0'",
        ),
        ("tokenizer.json", "[" * 100_000, "tokenizer.json cannot be loaded ("),
        ("tokenizer_config.json", "{", "with its tokenizer_config.json cannot be loaded ("),
        ("tokenizer_config.json", '{"tokenizer_class": 5}', "with its tokenizer_config.json"),
        ("model.safetensors", "version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
    ],
)
def test_files_that_cannot_be_read_are_named(
    file: str, content: str, wanted: str, tmp_path: Path
) -> None:
    assert wanted in checked(copied(tmp_path / "model", file, content))


def test_a_tokenizer_class_that_does_not_exist(tmp_path: Path) -> None:
    """With a tokenizer.json the library does without the class; alone it is nothing."""
    content = '{"tokenizer_class": "NoSuchTokenizer"}'
    ref = copied(tmp_path / "model", "tokenizer_config.json", content, model_type="mpnet")
    (tmp_path / "model" / "tokenizer.json").unlink()
    assert "tokenizer" in checked(ref)


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        (
            {"hidden_size": "big"},
            "config.json cannot be loaded (Validation error for field 'hidden",
        ),
        ({"architectures": 5}, "config.json cannot be loaded ("),
        ({"hidden_act": "none such"}, "config.json cannot be loaded (KeyError 'none such')"),
        ({"attn_implementation": "flash_attention_2"}, "(FlashAttention2 has been toggled on"),
        (
            {"quantization_config": {"quant_method": "gptq"}},
            "quantization_config ('gptq'); allowed",
        ),
        ({"quantization_config": 4}, "found quantization_config"),
        ({"vocab_size": 9000}, "vocab_size 9000, but none of the weights has so many rows"),
        ({"hidden_size": 256}, "weights have other shapes than its config.json says"),
        ({"hidden_size": 2**30}, "describes a model of 1"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers 1000000000, but there are only"),
        ({"num_hidden_layers": 12}, "of its weights are not in"),
        ({"max_position_embeddings": -5}, "leaves -5 positions; allowed: at least 1"),
        ({"model_type": ["bert"]}, "architecture ['bert'] is not supported"),
    ],
)
def test_a_config_that_cannot_do(config: dict[str, Any], wanted: str, tmp_path: Path) -> None:
    assert wanted in checked(copied(tmp_path / "model", **config))


def test_an_unsupported_type_is_told_before_the_library_reads_its_config(tmp_path: Path) -> None:
    ref = copied(tmp_path / "model", model_type="vit", hidden_size=[])
    assert "architecture 'vit' is not supported; allowed" in checked(ref)


def test_families_are_found_by_their_type() -> None:
    for name, family in BACKBONES.items():
        assert family.model_type == name


HUB = ModelRef("mine", "owner/name", "v1", "owner/name@v1")


@pytest.mark.parametrize(
    ("kind", "status", "wanted"),
    [
        (GatedRepoError, 403, r"is gated: ask for access at \S+/owner/name, then .*HF_TOKEN in"),
        (RepositoryNotFoundError, 401, "is not there, or private: .*or hf auth login"),
        (HfHubHTTPError, 403, "is not given out: ask for access at .*HF_TOKEN"),
        (HfHubHTTPError, 500, r"cannot be loaded \(We could not"),
    ],
)
def test_what_the_hub_does_not_give_out(
    kind: type[HfHubHTTPError], status: int, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library wraps the error in an OSError of several lines."""

    def refuse(*_: Any, **__: Any) -> None:
        answer: Any = SimpleNamespace(status_code=status, headers={}, request=None)
        try:
            raise kind("no", response=answer)
        except HfHubHTTPError as error:
            raise OSError("We could not load it.\nCheck this.\nAnd that.") from error

    monkeypatch.setattr(loading.AutoConfig, "from_pretrained", refuse)
    with pytest.raises(InputError, match=f"^model 'mine': Hub model 'owner/name' at .*{wanted}"):
        load_reader(HUB)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (KeyboardInterrupt(), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (InputError("ours"), True),
        (ImportError("needs\nthis"), False),
        (type("PanicException", (BaseException,), {})("\ud83d panicked"), False),
    ],
)
def test_all_but_short_memory_and_interrupts_becomes_a_sentence(
    error: BaseException, passes: bool
) -> None:
    with pytest.raises(type(error) if passes else InputError) as caught, in_a_sentence(HUB):
        raise error
    assert passes or str(caught.value).isprintable()
