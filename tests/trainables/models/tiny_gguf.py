"""A tiny random LLaMA as a GGUF file, written by the package that llama.cpp writes with."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers.convert_slow_tokenizer import bytes_to_unicode

from tests.trainables.backbones.chat_templates import TEMPLATES

WORDS = ["Ġthe", "Ġfilm", "Ġwas", "Ġgood", "Ġbad", "ĠIt", "good", "bad", "It", "user", "assistant"]
"""Words of its vocabulary besides single bytes; Ġ is a space, and goes first as it is merged
first."""
MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
HEADS, LAYERS = 2, 2


def vocabulary() -> tuple[list[str], list[str]]:
    """Tokens in the order of their ids, and merges."""
    tokens, merges = list(bytes_to_unicode().values()), []
    for word in WORDS:
        for end in range(2, len(word) + 1):
            if word[:end] not in tokens:
                tokens.append(word[:end])
                merges.append(f"{word[: end - 1]} {word[end - 1]}")
    return [*tokens, *MARKS], merges


def model(tied: bool = True) -> Any:
    """The model that the file holds."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary()[0]),
        hidden_size=32,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=1,
        intermediate_size=64,
        max_position_embeddings=128,
        tie_word_embeddings=tied,
    )
    made = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        for weight in made.parameters():
            weight.mul_(8.0 if weight.ndim > 1 else 1.3)
    made.tie_weights()
    return made.eval()


def write(
    path: Path,
    made: Any,
    kind: str = "F32",
    architecture: str = "llama",
    template: str | None = TEMPLATES["chatml"],
    **more: int,
) -> Path:
    """Write a model, its matrices in a type of :class:`gguf.GGMLQuantizationType`.

    Args:
        more: further keys with whole numbers, ``_`` for a dot.
    """
    import gguf

    tokens, merges = vocabulary()
    config = made.config
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in MARKS else 1 for token in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(len(tokens) - 2)
    writer.add_eos_token_id(len(tokens) - 1)
    writer.add_add_bos_token(False)
    if template is not None:
        writer.add_chat_template(template)
    for key, value in more.items():
        writer.add_uint32(key.replace("_", "."), value)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    quantised = gguf.GGMLQuantizationType[kind]
    for name, tensor in made.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        values = tensor.float().numpy()
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            values = _turned(values, name)
        if values.ndim > 1:
            values = gguf.quants.quantize(values, quantised)
        whole = names.get_name(name, try_suffixes=(".weight",))
        writer.add_tensor(whole, values, raw_dtype=quantised if values.ndim > 1 else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _turned(values: np.ndarray, name: str) -> np.ndarray:
    """Rows of each head in llama.cpp's order, which pairs the halves that rotate together."""
    heads = HEADS if "q_proj" in name else 1
    parts = values.reshape(heads, 2, len(values) // heads // 2, *values.shape[1:])
    return np.ascontiguousarray(parts.swapaxes(1, 2).reshape(values.shape))
