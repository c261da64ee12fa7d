"""Tiny random models of every supported architecture, with real tokenizers."""

import copy
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
import transformers
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from trainables.backbones import Backbone
from trainables.core.registries import BACKBONES
from trainables.pocket.zoo import pocket_path

SPARE_ROWS = 8
"""Rows of the embedding table beyond the tokenizer, as published models have them."""


_SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


SENTINELS = "sentinels"
"""Stands for a tokenizer as T5's: words with ▁, no token before a text, </s> behind it, sentinels
and no mask."""


def tokenizer_named(name: str) -> Any:
    """The tokenizer of an embedded model, or :data:`SENTINELS`."""
    if name != SENTINELS:
        return AutoTokenizer.from_pretrained(pocket_path(name))
    tokenizer = tokenizer_named("pocket-llama")
    tokenizer.bos_token = None
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.add_tokens([f"<extra_id_{place}>" for place in range(4)], special_tokens=True)
    end = tokenizer.convert_tokens_to_ids("</s>")
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", end)]
    )
    return tokenizer


def _bert(rows: int) -> Any:
    config = transformers.BertConfig(
        vocab_size=rows,
        **_SIZES,
        max_position_embeddings=64,
    )
    return transformers.BertForMaskedLM(config)


def _roberta(rows: int) -> Any:
    config = transformers.RobertaConfig(
        vocab_size=rows,
        **_SIZES,
        max_position_embeddings=66,
        pad_token_id=1,
    )
    return transformers.RobertaForMaskedLM(config)


def _mpnet(rows: int) -> Any:
    config = transformers.MPNetConfig(
        vocab_size=rows,
        **_SIZES,
        max_position_embeddings=66,
    )
    return transformers.MPNetForMaskedLM(config)


def _gpt2(rows: int) -> Any:
    config = transformers.GPT2Config(
        vocab_size=rows,
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=64,
        bos_token_id=0,
        eos_token_id=0,
    )
    return transformers.GPT2LMHeadModel(config)


def _opt(rows: int, **more: Any) -> Any:
    config = transformers.OPTConfig(
        vocab_size=rows,
        num_hidden_layers=2,
        num_attention_heads=2,
        ffn_dim=32,
        hidden_size=16,
        max_position_embeddings=64,
        **{"word_embed_proj_dim": 16, **more},
    )
    return transformers.OPTForCausalLM(config)


def _opt_projected(rows: int) -> Any:
    return _opt(rows, word_embed_proj_dim=12, do_layer_norm_before=False)


def _llama(rows: int) -> Any:
    config = transformers.LlamaConfig(
        vocab_size=rows,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=32,
        max_position_embeddings=64,
        tie_word_embeddings=True,
    )
    return transformers.LlamaForCausalLM(config)


_T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
_T5 |= {"initializer_factor": 0.3}  # else numbers are too large for eight bits


def _t5(rows: int, kind: str = "T5", **more: Any) -> Any:
    tokenizer = tokenizer_named(SENTINELS)
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=rows, decoder_start_token_id=tokenizer.pad_token_id, **ids, **{**_T5, **more}
    )
    return getattr(transformers, f"{kind}ForConditionalGeneration")(config)


def _t5_gated(rows: int) -> Any:
    """As T5 1.1: gated layers, and a head of its own."""
    model = _t5(rows, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    model.lm_head.weight = torch.nn.Parameter(0.3 * torch.randn(rows, 16))
    return model


ARCHITECTURES: dict[str, tuple[str, Callable[[int], Any]]] = {
    "bert": ("pocket-bert", _bert),
    "roberta": ("pocket-roberta", _roberta),
    "mpnet": ("pocket-bert", _mpnet),
    "gpt2": ("pocket-gpt2", _gpt2),
    "opt": ("pocket-roberta", _opt),
    "opt-projected": ("pocket-roberta", _opt_projected),
    "llama": ("pocket-llama", _llama),
    "t5": (SENTINELS, _t5),
}
"""Of every architecture one."""
EVERY = {
    **ARCHITECTURES,
    "t5-gated": (SENTINELS, _t5_gated),
    "mt5": (SENTINELS, partial(_t5, kind="MT5", feed_forward_proj="gated-gelu")),
    "umt5": (SENTINELS, partial(_t5, kind="UMT5", feed_forward_proj="gated-gelu")),
}
"""Further versions too."""


@cache
def pristine(name: str, seed: int = 0) -> Any:
    """The random model as the library makes it; weights are large enough for visible differences.

    It has more embedding rows than the tokenizer has tokens.
    """
    tokenizer_name, build = EVERY[name]
    torch.manual_seed(seed)
    model = build(len(tokenizer_named(tokenizer_name)) + SPARE_ROWS)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(8.0)
            else:
                parameter.add_(0.3 * torch.randn_like(parameter))
    if name != "t5-gated":
        model.tie_weights()
    return model.eval()


@cache
def tiny(name: str, seed: int = 0) -> Backbone:
    """A backbone around a copy of :func:`pristine`."""
    model = copy.deepcopy(pristine(name, seed))
    if name != "t5-gated":
        model.tie_weights()
    family = BACKBONES[model.config.model_type]
    return Backbone(name, family(model.config, model), tokenizer_named(EVERY[name][0]))


def beside(backbone: Backbone, rows: int = 1, answer: str = "bare") -> dict[str, Any]:
    """What the library's forward takes besides, written out: T5's decoder starts with padding."""
    if "t5" not in backbone.alias:
        return {}
    tokenizer = backbone.tokenizer
    sentinel = tokenizer.convert_tokens_to_ids("<extra_id_0>")
    ids = [tokenizer.pad_token_id, *([sentinel] if answer == "sentinel" else [])]
    return {"decoder_input_ids": torch.tensor([ids]).repeat(rows, 1)}
