"""Hugging Face models for the pocket recipes, split into body and vocabulary head."""

from collections.abc import Callable
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
)

from trainables.pocket.recipes import PocketRecipe

MAX_TOKENS = 128


def _bert(recipe: PocketRecipe, ids: dict[str, int]) -> PreTrainedModel:
    return BertForMaskedLM(
        BertConfig(
            vocab_size=recipe.vocab_size,
            hidden_size=recipe.width,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            intermediate_size=4 * recipe.width,
            max_position_embeddings=MAX_TOKENS,
            type_vocab_size=1,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            pad_token_id=ids["pad_token"],
        )
    )


def _roberta(recipe: PocketRecipe, ids: dict[str, int]) -> PreTrainedModel:
    return RobertaForMaskedLM(
        RobertaConfig(
            vocab_size=recipe.vocab_size,
            hidden_size=recipe.width,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            intermediate_size=4 * recipe.width,
            # RoBERTa counts positions from padding_idx + 1.
            max_position_embeddings=MAX_TOKENS + 2,
            type_vocab_size=1,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            pad_token_id=ids["pad_token"],
            bos_token_id=ids["bos_token"],
            eos_token_id=ids["eos_token"],
        )
    )


def _gpt2(recipe: PocketRecipe, ids: dict[str, int]) -> PreTrainedModel:
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=recipe.vocab_size,
            n_embd=recipe.width,
            n_layer=recipe.layers,
            n_head=recipe.heads,
            n_positions=MAX_TOKENS,
            # The exact GELU: on a CPU the tanh form costs five times as much, a third of a forward.
            activation_function="gelu",
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=ids["bos_token"],
            eos_token_id=ids["eos_token"],
        )
    )


def _llama(recipe: PocketRecipe, ids: dict[str, int]) -> PreTrainedModel:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=recipe.vocab_size,
            hidden_size=recipe.width,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.heads // 2,
            intermediate_size=int(recipe.width * 8 / 3) // 16 * 16,
            max_position_embeddings=MAX_TOKENS,
            tie_word_embeddings=True,
            bos_token_id=ids["bos_token"],
            eos_token_id=ids["eos_token"],
        )
    )


def _t5(recipe: PocketRecipe, ids: dict[str, int]) -> PreTrainedModel:
    """T5 1.0, whose head is its table: half the numbers of 1.1."""
    return T5ForConditionalGeneration(
        T5Config(
            vocab_size=recipe.vocab_size,
            d_model=recipe.width,
            d_kv=recipe.width // recipe.heads,
            d_ff=4 * recipe.width,
            num_layers=recipe.layers,
            num_heads=recipe.heads,
            dropout_rate=0.0,
            pad_token_id=ids["pad_token"],
            eos_token_id=ids["eos_token"],
            decoder_start_token_id=ids["pad_token"],
        )
    )


_BUILDERS: dict[str, Callable[[PocketRecipe, dict[str, int]], PreTrainedModel]] = {
    "bert": _bert,
    "roberta": _roberta,
    "gpt2": _gpt2,
    "llama": _llama,
    "t5": _t5,
}
_SCALE = 0.02
"""Of the first word embeddings: every family's own."""
_SCALES = {"t5": 1.0}
"""But T5's, which scales what its head is given instead."""


def build_model(
    recipe: PocketRecipe, special_ids: dict[str, int], vectors: torch.Tensor
) -> PreTrainedModel:
    """A fresh model whose (tied) embedding table starts from ``vectors`` [V, d]."""
    model = _BUILDERS[recipe.family](recipe, special_ids)
    with torch.no_grad():
        scale = _SCALES.get(recipe.family, _SCALE)
        model.get_input_embeddings().weight.copy_(scale * vectors)
    return model


def hidden_states(
    model: PreTrainedModel,
    ids: torch.Tensor,
    causal: bool,
    attention: torch.Tensor | None = None,
) -> torch.Tensor:
    """Last hidden states [B, L, d] of windows ``ids`` [B, L].

    ``attention`` [B, L] is 0 on padding. A masked model under ``causal`` gets an explicit
    lower-triangular mask: the warm-up phase.
    """
    extra: dict[str, Any] = {}
    if causal and model.config.model_type in ("bert", "roberta"):
        batch, length = ids.shape
        allowed = torch.ones(length, length, dtype=torch.bool).tril()
        extra["attention_mask"] = allowed.expand(batch, 1, length, length)
    else:
        extra["attention_mask"] = torch.ones_like(ids) if attention is None else attention
    if model.config.model_type in ("gpt2", "llama"):
        extra["use_cache"] = False
    states: torch.Tensor = model.base_model(input_ids=ids, **extra).last_hidden_state
    return states


def vocabulary_logits(model: PreTrainedModel, states: torch.Tensor) -> torch.Tensor:
    """Logits [n, V] of chosen hidden states [n, d], with the family's own head transform."""
    for name in ("cls", "lm_head"):
        head = getattr(model, name, None)
        if head is not None:
            logits: torch.Tensor = head(states)
            return logits
    raise TypeError(f"{type(model).__name__} has no language-model head")
