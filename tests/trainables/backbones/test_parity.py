"""Config flags that the short cuts do not know of are found when a model is loaded."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from tests.trainables.tiny import ARCHITECTURES, pristine, tiny, tokenizer_named
from trainables.backbones import Backbone, Encoded, Layout, Remembered, load_backbone, parity
from trainables.backbones.loading import resident
from trainables.core.cells import Cell, ModelRef, Pack
from trainables.core.registries import BACKBONES
from trainables.errors import InputError
from trainables.models.names import resolve_model
from trainables.packs.pack import run_pack
from trainables.scoring.gradient import PassGradient
from trainables.scoring.losses import StackLoss, rows_behind
from trainables.tasks import resolve_task

TEXTS = ["the film was good", "a very long and boring story about nothing at all , she said", "no"]
WORDS = ["bad", "good", "yes"]
FLAGS: list[tuple[str, dict[str, Any]]] = [
    ("bert", {"is_decoder": True}),
    ("bert", {"is_decoder": True, "add_cross_attention": True}),
    ("roberta", {"is_decoder": True}),
    ("gpt2", {"is_causal": False}),
    ("opt", {"is_causal": False}),
    ("llama", {"is_causal": False}),
]
"""Flags that change what a model computes, and that its short cuts do not look at."""
HARMLESS: list[tuple[str, dict[str, Any]]] = [
    ("gpt2", {"sliding_window": 2}),
    ("opt", {"attention_chunk_size": 4}),
    ("llama", {"sliding_window": 2}),
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True}),
    ("gpt2", {"add_cross_attention": True, "activation_function": "relu"}),
    ("opt", {"_remove_final_layer_norm": True, "enable_bias": False}),
    ("llama", {"attention_bias": True, "mlp_bias": True, "hidden_act": "gelu"}),
    ("llama", {"tie_word_embeddings": False}),
    ("bert", {"return_dict": False, "output_hidden_states": True}),
    ("bert", {"chunk_size_feed_forward": 7}),
    ("mpnet", {"output_attentions": True}),
]
"""Flags that the short cuts follow, or that nothing follows."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No outcome of another test, in a folder of its own."""
    monkeypatch.setenv("PROMPTSWEEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(parity, "_known", {})
    resident.clear()
    return tmp_path / "cache" / "parity"


def with_flags(name: str, flags: Mapping[str, Any]) -> Any:
    """A random model with some flags in its config."""
    config = type(pristine(name).config).from_dict({**pristine(name).config.to_dict(), **flags})
    torch.manual_seed(0)
    model = type(pristine(name))._from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(8.0)
    return model.eval()


def folder_of(name: str, flags: Mapping[str, Any], folder: Path) -> ModelRef:
    """The same as a model folder."""
    model = with_flags(name, flags)
    for key in ("return_dict", "output_attentions", "output_hidden_states"):
        setattr(model.config, key, pristine(name).config.to_dict()[key])
    model.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | dict(flags)))
    tokenizer_named(ARCHITECTURES[name][0]).save_pretrained(folder)
    return resolve_model(str(folder))


def library(backbone: Backbone, texts: list[str], prompt: torch.Tensor) -> torch.Tensor:
    """Label logits [n, C] of a model of the library alone, one unpadded row at a time."""
    location = str(backbone.location)  # type: ignore[attr-defined]
    auto = (
        transformers.AutoModelForMaskedLM
        if backbone.family.masked
        else transformers.AutoModelForCausalLM
    )
    model = auto.from_pretrained(
        location, return_dict=True, output_attentions=False, output_hidden_states=False
    ).eval()
    model.config.chunk_size_feed_forward = 0
    for layer in model.modules():
        if hasattr(layer, "chunk_size_feed_forward"):
            layer.chunk_size_feed_forward = 0
    table, found = model.get_input_embeddings().weight, []
    for text in texts:
        data = backbone.read([text], [0], Layout(len(prompt)))
        embeds = table[data.ids[0]].clone()
        at = int(data.slots[0])
        embeds = torch.cat([embeds[:at], prompt, embeds[at + len(prompt) :]])
        found.append(model(inputs_embeds=embeds[None]).logits[0, int(data.answers[0])])
    ids = [backbone.word_id(word) for word in WORDS]
    return torch.stack(found)[:, ids]


def loaded(ref: ModelRef, precision: str = "float32") -> Backbone:
    backbone = load_backbone(ref, precision=precision)
    backbone.location = ref.location  # type: ignore[attr-defined]
    return backbone


@pytest.mark.parametrize(("name", "flags"), FLAGS, ids=str)
def test_a_flag_that_matters_is_found_and_followed(
    name: str, flags: dict[str, Any], tmp_path: Path
) -> None:
    backbone = loaded(folder_of(name, flags, tmp_path / "model"))
    assert backbone.literal
    assert backbone.remark.startswith("model 'model': the quick way through its last layer gives")
    assert "\n" not in backbone.remark
    torch.manual_seed(1)
    prompts = torch.randn(2, 3, backbone.width)
    data, labels = backbone.read(TEXTS, [0] * 3, Layout(3)), backbone.labels(WORDS, "t")
    found = backbone.split_logits(data, labels, prompts)
    with torch.no_grad():
        for prompt, logits in zip(prompts, found, strict=True):
            wanted = library(backbone, TEXTS, prompt)
            torch.testing.assert_close(logits, wanted, atol=2e-4, rtol=1e-4)
        backbone.literal = False
        assert (backbone.split_logits(data, labels, prompts) - found).abs().max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(("name", "flags"), HARMLESS, ids=str)
def test_a_flag_that_changes_nothing_here_keeps_the_short_cuts(
    name: str, flags: dict[str, Any], tmp_path: Path
) -> None:
    backbone = loaded(folder_of(name, flags, tmp_path / "model"))
    assert (backbone.literal, backbone.remark) == (False, "")
    prompt = torch.randn(3, backbone.width)
    data, labels = backbone.read(TEXTS, [0] * 3, Layout(3)), backbone.labels(WORDS, "t")
    with torch.no_grad():
        found = backbone.label_logits(prompt[None], data, labels)[0]
        wanted = library(backbone, TEXTS, prompt)
    torch.testing.assert_close(found, wanted, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_literal_reading_is_the_quick_one_where_no_flag_is_set(name: str) -> None:
    quick = tiny(name)
    assert parity.compare(quick) == {"reading": parity.FAST, "why": ""}
    literal = Backbone(name, quick.family, quick.tokenizer, literal=True)
    data, labels = quick.read(TEXTS, [0, 1, 2], Layout(3)), quick.labels(WORDS, "t")
    prompts, rows = torch.randn(2, 3, quick.width), torch.tensor([0, 1, 2, 2, 0, 1])
    assert not literal.begin_alike(data)
    found = []
    for model in (quick, literal):
        passes = PassGradient(model, data, rows_behind(model, labels))
        losses, slope = passes(prompts, rows, torch.ones(6), 1000)
        bare = model.split_logits(quick.read(TEXTS, [0, 1, 2], Layout()), labels)
        found.append((model.split_logits(data, labels, prompts), bare, losses, slope))
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, atol=2e-4, rtol=1e-3)
    assert found[1][3].abs().max() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(("name", "flags"), FLAGS, ids=str)
def test_masks_reach_a_model_that_is_read_literally(
    name: str, flags: dict[str, Any], tmp_path: Path
) -> None:
    """Dropout there is that of each row alone, however passes are cut and padded."""
    backbone = loaded(folder_of(name, flags, tmp_path / "model"))
    for module in backbone.family.model.modules():
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.1  # LLaMA's only one, 0 by default
    assert backbone.literal
    data, labels = backbone.read(TEXTS, [0, 1, 2], Layout(3)), backbone.labels(WORDS, "t")
    prompts, rows = torch.randn(2, 3, backbone.width), torch.tensor([0, 1, 2, 2, 0, 1])
    found = []
    for dropout, budget in ((True, 1000), (True, 20), (False, 1000)):
        stack = StackLoss("label_words", dropout, [0, 1])

        def loss(batch: Encoded, *rest: Any, stack: StackLoss = stack) -> torch.Tensor:
            return stack(backbone, batch, labels, *rest)

        passes = PassGradient(backbone, data, loss, dropout)
        keys = stack.keys("model", rows, 1)
        found.append(passes(prompts, rows, torch.ones(6), budget, keys))
    for whole, cut in zip(found[0], found[1], strict=True):
        torch.testing.assert_close(whole, cut, atol=2e-4, rtol=1e-3)
    assert (found[0][0] - found[2][0]).abs().max() > 1e-3, "dropout must show"


def test_in_bfloat16_the_literal_head_is_not_rounded(tmp_path: Path) -> None:
    """Classes lie closer together than eight bits can tell."""
    ref = folder_of("bert", {"is_decoder": True}, tmp_path / "model")
    near, exact = loaded(ref, "bfloat16"), loaded(ref)
    data, labels = near.read(TEXTS, [0] * 3, Layout(3)), near.labels(WORDS, "t")
    prompts = torch.randn(1, 3, near.width)
    found, wanted = (model.split_logits(data, labels, prompts) for model in (near, exact))
    assert near.literal
    assert not torch.equal(found, found.bfloat16().float())
    torch.testing.assert_close(found, wanted, atol=0.3, rtol=0.1)
    assert near.family.model.bert.encoder.layer[0].output.dense.weight.dtype == torch.bfloat16


@pytest.mark.slow
def test_the_outcome_is_kept(own_cache: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Between processes by what the folder holds, and within one even where nothing can be kept."""
    ref = folder_of("roberta", {"is_decoder": True}, tmp_path / "model")
    asked: list[str] = []
    compare = parity.compare

    def counting(backbone: Backbone) -> Any:
        asked.append(backbone.alias)
        return compare(backbone)

    monkeypatch.setattr(parity, "compare", counting)
    first = load_backbone(ref)
    assert len(list(own_cache.iterdir())) == 1
    for _ in range(2):  # another process, then the same one
        resident.clear()
        monkeypatch.setattr(parity, "_known", {})
        again = load_backbone(ref)
        assert (again.literal, again.remark) == (True, first.remark)
    assert load_backbone(ref, precision="bfloat16").literal
    assert asked == ["model"]
    monkeypatch.setenv("PROMPTSWEEP_CACHE", str(tmp_path / "model" / "config.json"))
    monkeypatch.setattr(parity, "_known", {})
    for _ in range(2):
        resident.clear()
        assert load_backbone(ref).literal
    assert asked == ["model"] * 2
    # A model whose name may mean another one tomorrow is asked in each process.
    monkeypatch.setenv("PROMPTSWEEP_CACHE", str(tmp_path / "other"))
    for revision, is_kept in (("main", False), ("v1", False), ("0" * 40, True)):
        moving = ModelRef("moving", "owner/model", revision, f"owner/model@{revision}")
        assert parity.literal_reading(moving, "cpu", lambda: tiny("bert")) == (False, "")
        assert (tmp_path / "other").exists() == is_kept


def test_a_model_that_cannot_be_read_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """Without a padding index the library's RoBERTa has no positions to give."""
    ref = folder_of("roberta", {"pad_token_id": None}, tmp_path / "model")
    sentence = (
        r"model 'model': it cannot be read with prompt vectors \(its forward pass fails: Type"
    )
    with pytest.raises(InputError, match=sentence) as it:
        load_backbone(ref)
    assert "\n" not in str(it.value)


def test_embeddings_that_mean_something_else_than_ids_are_refused() -> None:
    class Scaled(nn.Embedding):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return 3.0 * super().forward(ids)

    model = with_flags("gpt2", {})
    scaled = Scaled(*model.transformer.wte.weight.shape)
    scaled.weight = model.transformer.wte.weight
    model.transformer.wte = scaled
    family = BACKBONES["gpt2"](model.config, model)
    found = parity.compare(Backbone("m", family, tiny("gpt2").tokenizer))
    assert found["reading"] == parity.NEITHER
    assert "embeddings and ids of the same words" in found["why"]


def test_how_far_is_measured_by_the_spread() -> None:
    wanted = torch.tensor([[1.0, 3.0], [10.0, 30.0]])
    assert parity.apart(wanted, wanted) == 0.0
    assert parity.apart(wanted + 0.5, wanted) == pytest.approx(0.5)
    broken = torch.tensor([[1.0, float("nan")], [10.0, 30.0]])
    assert parity.apart(wanted, broken) == float("inf")
    assert parity.apart(broken, broken) == 0.0
    same = torch.full((1, 5), 7.0)
    assert parity.apart(same + 1e-6, same) < parity.TOLERANCE


def test_a_model_without_a_finite_number_is_left_to_evaluation() -> None:
    model = with_flags("bert", {})
    with torch.no_grad():
        model.cls.predictions.bias.fill_(float("nan"))
    family = BACKBONES["bert"](model.config, model)
    assert parity.compare(Backbone("m", family, tiny("bert").tokenizer))["reading"] == parity.FAST


def test_positions_that_the_library_no_longer_knows_are_refused(tmp_path: Path) -> None:
    ref = folder_of("bert", {"position_embedding_type": "relative_key"}, tmp_path / "model")
    with pytest.raises(InputError, match=r"position_embedding_type 'relative_key'.*allowed: abs"):
        load_backbone(ref)


def test_longrope_rows_stay_where_angles_are_the_same_for_all(tmp_path: Path) -> None:
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "factor": 4.0,
        "original_max_position_embeddings": 24,
        "long_factor": [2.0] * 4,
        "short_factor": [1.0] * 4,
    }
    backbone = loaded(folder_of("llama", {"rope_parameters": rope}, tmp_path / "model"))
    assert backbone.family.max_tokens == 24
    assert not backbone.literal
    assert isinstance(
        backbone.remember(backbone.read(["no"], [0], Layout(2)), torch.randn(1, 2, 16)), Remembered
    )


def test_a_pack_tells_of_it(tmp_path: Path) -> None:
    ref = folder_of("bert", {"is_decoder": True}, tmp_path / "model")
    cells = tuple(
        Cell("reference", row, "none", "mini/topics", "model") for row in ("empty", "manual")
    )
    pack = Pack("transfer", "soft", resolve_task("mini/topics"), {"model": ref}, (), cells)
    outcome = run_pack(pack, {})
    assert outcome.failures == {}
    assert outcome.remarks == [load_backbone(ref).remark]
