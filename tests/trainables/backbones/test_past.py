"""Prompts that are keys and values in layers: PEFT's forward, the equation, what is refused."""

import copy
import math
from functools import cache
from typing import Any

import pytest
import torch
from peft import PrefixTuningConfig, get_peft_model

from tests.trainables import general
from tests.trainables.tiny import EVERY, pristine, tiny, tokenizer_named
from trainables.backbones import Backbone, Layout
from trainables.backbones.general import KINDS
from trainables.core.registries import BACKBONES
from trainables.errors import InputError

KNOWN = ["bert", "roberta", "gpt2", "opt", "opt-projected", "llama"]
GENERAL = ["qwen2", "qwen3", "gpt_neox", "phi3", "electra", "xlm-roberta"]
TEXTS = ["no", "the film was good", "a very long and quite boring story , she said"]
LENGTH = 3
LAYERS = Layout(LENGTH, position="layers")


def library_model(name: str) -> Any:
    return pristine(name) if name in EVERY else general.pristine(name)


@cache
def backbone_of(name: str, literal: bool = False) -> Backbone:
    if name in EVERY and not literal:
        return tiny(name)
    model = copy.deepcopy(library_model(name))
    model.tie_weights()
    kind: Any = BACKBONES.get(model.config.model_type)
    if kind is None:
        kind = next(each for each in KINDS if each.of(model.config.model_type, ()))
    tokenizer = EVERY[name][0] if name in EVERY else general.EVERY[name][0]
    family = kind(model.config, model)
    return Backbone(name, family, tokenizer_named(tokenizer), literal=literal)


def drawn(backbone: Backbone, replicas: int = 2, seed: int = 0) -> torch.Tensor:
    shape = replicas, LENGTH, backbone.vector_width("layers")
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def logits_of(backbone: Backbone, prompts: torch.Tensor, texts: list[str]) -> torch.Tensor:
    """All words' logits [R, n, V] of padded rows."""
    data = backbone.read(texts, [0] * len(texts), LAYERS)
    owner = torch.arange(len(prompts)).repeat_interleave(len(texts))
    found = backbone.row_logits(data.repeat(len(prompts)), None, prompts, owner)
    return found.view(len(prompts), len(texts), -1)


def prefix_model(backbone: Backbone, prompt: torch.Tensor) -> Any:
    """The library's model, in PEFT's prefix tuning with a prompt [m, D]."""
    past = backbone.past
    config = PrefixTuningConfig(
        task_type="FEATURE_EXTRACTION" if backbone.family.masked else "CAUSAL_LM",
        num_virtual_tokens=len(prompt),
        num_layers=past.layers,
        num_attention_heads=past.heads,
        token_dim=past.heads * past.size,
    )
    model = get_peft_model(copy.deepcopy(library_model(backbone.alias)), config)
    model.prompt_encoder["default"].load_prompt_embeddings(prompt)
    return model.eval()


@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize("name", KNOWN + GENERAL)
def test_logits_are_those_of_pefts_own_forward(name: str, literal: bool) -> None:
    backbone = backbone_of(name, literal)
    prompt = drawn(backbone)[0]
    found = logits_of(backbone, prompt[None], TEXTS)[0]
    model = prefix_model(backbone, prompt)
    for text, ours in zip(TEXTS, found, strict=True):
        row = backbone.read([text], [0], LAYERS)
        with torch.no_grad():
            theirs = model(input_ids=row.ids).logits[0, int(row.answers[0]), : backbone.rows]
        assert float(theirs.std()) > 0.01
        torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["gpt2", "bert", "qwen2", "electra"])
def test_rows_and_prompts_do_not_meet(name: str) -> None:
    """Each row behind each prompt as if it were alone, whatever it is padded to."""
    backbone = backbone_of(name)
    prompts = drawn(backbone)
    together = logits_of(backbone, prompts, TEXTS)
    for replica, prompt in enumerate(prompts):
        for row, text in enumerate(TEXTS):
            alone = logits_of(backbone, prompt[None], [text])[0, 0]
            torch.testing.assert_close(together[replica, row], alone, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen2"])
def test_what_words_leave_in_layers_is_their_prompt(name: str) -> None:
    """A causal model without a begin token reads vectors in a row as it does what they leave."""
    backbone = backbone_of(name)
    vectors = backbone.embeddings[[5, 9, 40]].float()
    deep = backbone.keys_and_values(vectors)
    found = logits_of(backbone, deep[None], TEXTS)
    wide = Layout(LENGTH, bos=False)
    data = backbone.read(TEXTS, [0] * len(TEXTS), wide)
    if backbone.frame(LAYERS):  # the row begins with a token that stands behind the prompt
        bos = Layout(LENGTH, position="layers", bos=False)
        data_deep = backbone.read(TEXTS, [0] * len(TEXTS), bos)
        owner = torch.zeros(len(TEXTS), dtype=torch.long)
        found = backbone.row_logits(data_deep, None, deep[None], owner)[None]
    owner = torch.zeros(len(TEXTS), dtype=torch.long)
    with torch.no_grad():
        expected = backbone.row_logits(data, None, vectors[None], owner)
    torch.testing.assert_close(found[0], expected, atol=2e-4, rtol=1e-4)


def attended(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, size: int
) -> torch.Tensor:
    """Of queries [L, H·w] over keys and values [P + L, H·w]: head by head, number by number."""
    out = torch.zeros_like(queries)
    for place in range(len(queries)):
        for head in range(queries.shape[1] // size):
            at = slice(head * size, (head + 1) * size)
            scores = [float(queries[place, at] @ key[at]) / math.sqrt(size) for key in keys]
            shares = [math.exp(score - max(scores)) for score in scores]
            for share, value in zip(shares, values, strict=True):
                out[place, at] += share / sum(shares) * value[at]
    return out


@torch.no_grad()
def test_one_layer_is_the_equation() -> None:
    """The head is Attn(x W_q, [P_k; X W_k], [P_v; X W_v]) (He et al. 2022, section 2.2)."""
    model = copy.deepcopy(pristine("bert"))
    del model.bert.encoder.layer[1:]
    model.config.num_hidden_layers = 1
    kind = BACKBONES["bert"]
    backbone = Backbone("one", kind(model.config, model), tokenizer_named("pocket-bert"))
    prompt = drawn(backbone, 1)[0]
    row = backbone.read([TEXTS[1]], [0], LAYERS)
    found = logits_of(backbone, prompt[None], [TEXTS[1]])[0, 0]

    layer, wide = model.bert.encoder.layer[0].layer, model.config.hidden_size
    positions = LENGTH + torch.arange(row.ids.shape[1])
    states = model.bert.embeddings(input_ids=row.ids, position_ids=positions[None])[0]
    inner = layer.attention.self
    # D is: the layer's key, all heads of it, then its value.
    keys = torch.cat([prompt[:, :wide], inner.key(states)])
    values = torch.cat([prompt[:, wide:], inner.value(states)])
    mixed = attended(inner.query(states), keys, values, wide // 2)
    between = layer.attention.output(mixed, states)
    last = layer.output(layer.intermediate(between), between)
    expected = model.cls(last[None])[0, int(row.answers[0]), : backbone.rows]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_parts_and_whole() -> None:
    past = backbone_of("llama").past
    prompts = drawn(backbone_of("llama"))
    parts = past.parted(prompts)
    assert parts.shape == (2, past.layers, 2, past.heads, LENGTH, past.size)
    assert torch.equal(past.joined(parts), prompts)
    assert (past.layers, past.heads, past.size) == (2, 1, 8)  # two query heads share one


@pytest.mark.parametrize("name", ["mpnet", "t5", "mistral", "gemma2", "distilbert", "bart"])
def test_a_family_without_it_is_refused_in_a_sentence(name: str, tmp_path: Any) -> None:
    if name in EVERY:
        backbone: Any = tiny(name)
    else:
        from trainables.backbones import load_reader

        backbone = load_reader(general.folder_of(name, tmp_path))
    with pytest.raises(InputError, match=r"take no keys and values of a prompt, or look back"):
        backbone.vector_width("layers")
    assert backbone.vector_width("prefix") == backbone.family.width


def test_the_prompt_takes_positions() -> None:
    backbone = tiny("gpt2")
    plain = backbone.room(Layout(), "task")
    assert backbone.room(LAYERS, "task") == plain - LENGTH


@pytest.mark.parametrize("name", ["qwen2", "gpt2", "bert", "electra"])
def test_in_half_precision(name: str) -> None:
    """Near what float32 gives, and starts can be read."""
    model = copy.deepcopy(library_model(name))
    model.tie_weights()
    whole = backbone_of(name)
    family = type(whole.family)(model.config, model)
    half = Backbone(name, family, whole.tokenizer, precision="bfloat16")
    assert half.past == whole.past
    assert half.keys_and_values(half.embeddings[[5, 9, 40]].float()).dtype == torch.float32
    prompts = drawn(whole)
    exact, rounded = (logits_of(one, prompts, TEXTS) for one in (whole, half))
    assert float((exact - rounded).std() / exact.std()) < 0.1
