"""Tiny random models of architectures that no family is written for, as model folders.

Weights are large enough that layers, windows, caps and scales show.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig

from tests.trainables.tiny import SENTINELS, SPARE_ROWS, tokenizer_named
from trainables.core.cells import ModelRef
from trainables.models.names import resolve_model

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
}
_GROUPED = {**SIZES, "num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 0}
_GPTJ = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64, "rotary_dim": 4}
_DISTIL = {"dim": 16, "hidden_dim": 32, "n_layers": 2, "n_heads": 2, "max_position_embeddings": 64}
_WINDOWS = {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]}
_FACTORED = {**SIZES, "embedding_size": 12}
_FALCON = {**SIZES, "new_decoder_architecture": True, "num_kv_heads": 1, "ffn_hidden_size": 32}
_DEBERTA = {
    **SIZES,
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "position_buckets": 4,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "type_vocab_size": 0,
}
_AFTER_PADDING = {**SIZES, "max_position_embeddings": 66, "pad_token_id": 1}

CAUSAL: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2": ("pocket-gpt2", {**SIZES, "num_key_value_heads": 1, "tie_word_embeddings": True}),
    "qwen3": ("pocket-gpt2", _GROUPED),
    "mistral": ("pocket-llama", {**_GROUPED, "sliding_window": 4}),
    "gemma2": ("pocket-llama", {**_GROUPED, **_WINDOWS, "final_logit_softcapping": 2.0}),
    "gemma3_text": ("pocket-llama", {**_GROUPED, **_WINDOWS}),
    "phi3": ("pocket-llama", {**SIZES, "num_key_value_heads": 1, "pad_token_id": 0}),
    "gpt_neox": ("pocket-gpt2", {**SIZES, "rotary_pct": 0.5}),
    "gptj": ("pocket-gpt2", _GPTJ),
    "falcon": ("pocket-gpt2", _FALCON),
    "olmo2": ("pocket-gpt2", {**SIZES, "pad_token_id": 0}),
    "smollm3": ("pocket-gpt2", {**_GROUPED, "no_rope_layers": [1, 0]}),
    "granite": ("pocket-gpt2", {**SIZES, "embedding_multiplier": 3.0, "logits_scaling": 4.0}),
}
MASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "distilbert": ("pocket-bert", _DISTIL),
    "electra": ("pocket-bert", _FACTORED),
    "albert": ("pocket-bert", _FACTORED),
    "deberta-v2": ("pocket-bert", _DEBERTA),
    "xlm-roberta": ("pocket-roberta", _AFTER_PADDING),
    "modernbert": ("pocket-bert", {**SIZES, "local_attention": 4, "pad_token_id": 0}),
    "camembert": ("pocket-roberta", _AFTER_PADDING),
}
EVERY = {**CAUSAL, **MASKED}
"""Per architecture the tokenizer of an embedded model, and its config."""
_HALVES = {
    f"{half}_{name}": size
    for half in ("encoder", "decoder")
    for name, size in (("layers", 2), ("attention_heads", 2), ("ffn_dim", 32))
}
_BART = {**_HALVES, "d_model": 16, "max_position_embeddings": 64}
_START = {"pad_token_id": 1, "decoder_start_token_id": 2}
_LONG = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "local_radius": 8}
_LONG |= {"initializer_factor": 0.2}
SEQUENCE: dict[str, tuple[str, dict[str, Any]]] = {
    "bart": ("pocket-roberta", {**_BART, **_START, "scale_embedding": True}),
    "pegasus": (SENTINELS, {**_BART, **_START, "scale_embedding": True, "init_std": 0.1}),
    "longt5": (SENTINELS, {**_LONG, **_START, "feed_forward_proj": "gated-gelu"}),
}
"""The same of those with an encoder and a decoder."""
_KNOWN = {**EVERY, **SEQUENCE}


def made(name: str, **changes: Any) -> Any:
    """A random model of the library, with more rows in its table than the tokenizer has tokens."""
    tokenizer, sizes = _KNOWN[name]
    rows = len(tokenizer_named(tokenizer)) + SPARE_ROWS
    config = AutoConfig.for_model(name, **{**sizes, "vocab_size": rows, **changes})
    auto = transformers.AutoModelForSeq2SeqLM if name in SEQUENCE else None
    auto = auto or (
        transformers.AutoModelForMaskedLM if name in MASKED else transformers.AutoModelForCausalLM
    )
    torch.manual_seed(0)
    model = auto.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(8.0)
            else:
                weight.add_(0.3 * torch.randn_like(weight))
    model.tie_weights()
    return model.eval()


@cache
def pristine(name: str) -> Any:
    return made(name)


def saved(
    model: Any, folder: Path, tokenizer: str, change: Callable[[Any], None] | None = None
) -> ModelRef:
    """A model folder; ``change`` is made to its tokenizer."""
    model.save_pretrained(folder)
    kept = tokenizer_named(tokenizer)
    if change is not None:
        change(kept)
    kept.save_pretrained(folder)
    return resolve_model(str(folder))


def folder_of(name: str, folder: Path, **changes: Any) -> ModelRef:
    """A model folder of an architecture of :data:`EVERY` or :data:`SEQUENCE`."""
    return saved(made(name, **changes) if changes else pristine(name), folder, _KNOWN[name][0])
