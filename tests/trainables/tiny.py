"""Tiny random models of every supported architecture, with real tokenizers."""

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import transformers
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


def _tokenizer(name: str) -> Any:
    return AutoTokenizer.from_pretrained(pocket_path(name))


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


ARCHITECTURES: dict[str, tuple[str, Callable[[int], Any]]] = {
    "bert": ("pocket-bert", _bert),
    "roberta": ("pocket-roberta", _roberta),
    "mpnet": ("pocket-bert", _mpnet),
    "gpt2": ("pocket-gpt2", _gpt2),
    "opt": ("pocket-roberta", _opt),
    "opt-projected": ("pocket-roberta", _opt_projected),
    "llama": ("pocket-llama", _llama),
}


@cache
def pristine(name: str, seed: int = 0) -> Any:
    """The random model as the library makes it; weights are large enough for visible differences.

    It has more embedding rows than the tokenizer has tokens.
    """
    tokenizer_name, build = ARCHITECTURES[name]
    torch.manual_seed(seed)
    model = build(len(_tokenizer(tokenizer_name)) + SPARE_ROWS)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(8.0)
            else:
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.tie_weights()
    return model.eval()


@cache
def tiny(name: str, seed: int = 0) -> Backbone:
    """A backbone around a copy of :func:`pristine`."""
    model = copy.deepcopy(pristine(name, seed))
    model.tie_weights()
    family = BACKBONES[model.config.model_type]
    return Backbone(name, family(model.config, model), _tokenizer(ARCHITECTURES[name][0]))
