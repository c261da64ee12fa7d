"""Models and texts of paper A's shape with random content: no download, the same work.

What a step costs depends on sizes and lengths alone, not on what weights or words are.
"""

from dataclasses import dataclass
from typing import Any

import torch
import transformers
from transformers import AutoTokenizer

from trainables.backbones import Backbone, Encoded
from trainables.core.registries import BACKBONES
from trainables.pocket.zoo import pocket_path
from trainables.soft.source import Source

PROMPT = 5
"""Prompt tokens of the paper."""


@dataclass(frozen=True)
class Size:
    """Sizes of a model."""

    layers: int
    width: int
    heads: int
    inner: int
    words: int


@dataclass(frozen=True)
class Kind:
    """A model of the paper, its library class and the embedded tokenizer that stands in."""

    config: str
    model: str
    tokenizer: str
    base: Size
    more: dict[str, Any]


MODELS = {
    "BERT-base": Kind(
        "BertConfig", "BertForMaskedLM", "pocket-bert", Size(12, 768, 12, 3072, 28996), {}
    ),
    "GPT-2": Kind(
        "GPT2Config",
        "GPT2LMHeadModel",
        "pocket-gpt2",
        Size(12, 768, 12, 3072, 50257),
        {"bos_token_id": 0, "eos_token_id": 0},
    ),
    "MPNet-base": Kind(
        "MPNetConfig", "MPNetForMaskedLM", "pocket-bert", Size(12, 768, 12, 3072, 30527), {}
    ),
    "OPT-125M": Kind(
        "OPTConfig",
        "OPTForCausalLM",
        "pocket-roberta",
        Size(12, 768, 12, 3072, 50272),
        {"max_position_embeddings": 2048},
    ),
    "RoBERTa-base": Kind(
        "RobertaConfig",
        "RobertaForMaskedLM",
        "pocket-roberta",
        Size(12, 768, 12, 3072, 50265),
        {"max_position_embeddings": 514, "pad_token_id": 1},
    ),
    "RoBERTa-large": Kind(
        "RobertaConfig",
        "RobertaForMaskedLM",
        "pocket-roberta",
        Size(24, 1024, 16, 4096, 50265),
        {"max_position_embeddings": 514, "pad_token_id": 1},
    ),
}
TINY = Size(2, 16, 2, 32, 8000)

_NAMES = {
    "GPT2Config": ("n_layer", "n_embd", "n_head", "n_inner", "vocab_size"),
    "OPTConfig": (
        "num_hidden_layers",
        "hidden_size",
        "num_attention_heads",
        "ffn_dim",
        "vocab_size",
    ),
}
_USUAL = (
    "num_hidden_layers",
    "hidden_size",
    "num_attention_heads",
    "intermediate_size",
    "vocab_size",
)


def build(name: str, scale: str, device: str, precision: str) -> Backbone:
    """A model of the paper with random weights, at ``base`` or ``tiny`` scale."""
    kind = MODELS[name]
    size = TINY if scale == "tiny" else kind.base
    values = (size.layers, size.width, size.heads, size.inner, size.words)
    sizes = dict(zip(_NAMES.get(kind.config, _USUAL), values, strict=True))
    if kind.config == "OPTConfig":
        sizes["word_embed_proj_dim"] = size.width
    config = getattr(transformers, kind.config)(**sizes, **kind.more)
    torch.manual_seed(0)
    model = getattr(transformers, kind.model)(config).to(device)
    tokenizer = AutoTokenizer.from_pretrained(pocket_path(kind.tokenizer))
    return Backbone(name, BACKBONES[config.model_type](config, model), tokenizer, device, precision)


@dataclass(frozen=True)
class Texts:
    """A task's rows and how long its texts are, in tokens.

    Lengths are log-normal: ``middle`` and ``spread`` are mean and standard deviation of their
    logarithm, ``longest`` cuts them.
    """

    train: int
    validation: int
    test: int
    middle: float
    spread: float
    longest: int

    def lengths(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Lengths [count] of random texts."""
        logs = self.middle + self.spread * torch.randn(count, generator=generator)
        return logs.exp().round().long().clamp(1, self.longest)


TASKS = {
    "hate": Texts(9000, 1000, 2970, 3.23, 0.60, 89),
    "irony": Texts(2862, 955, 784, 3.1, 0.5, 70),
    "mrpc": Texts(3301, 367, 408, 3.95, 0.25, 110),
    "offensive": Texts(11916, 1324, 860, 3.21, 0.74, 169),
    "rotten_tomatoes": Texts(8530, 1066, 1066, 3.12, 0.52, 82),
    "sentiment": Texts(45615, 2000, 12284, 3.44, 0.36, 87),
    "sst2": Texts(60614, 6735, 872, 2.04, 0.89, 61),
}
"""Rows as published; lengths measured with a BERT tokenizer on each training split, but for irony
and mrpc, whose lengths are assumed from like data."""


def encoded(backbone: Backbone, lengths: torch.Tensor, prompt: int) -> Encoded:
    """Rows of random words behind ``prompt`` slots, framed as the model wants its input."""
    masked = backbone.family.masked
    begin, end = len(backbone.begin), len(backbone.end) + (1 if masked else 0)
    whole = lengths + begin + prompt + end
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, backbone.rows, (len(lengths), int(whole.max())), generator=generator)
    return Encoded(
        ids=ids,
        lengths=whole,
        slots=torch.full_like(whole, begin),
        answers=whole - (end if masked else 1),
        gold=torch.arange(len(lengths)) % 2,
        begin=begin,
    ).to(backbone.device)


def source_of(backbone: Backbone, lengths: torch.Tensor, prompt: int = PROMPT) -> Source:
    """Random rows with texts of these lengths, to train and to validate on."""
    data = encoded(backbone, lengths, prompt)
    labels = torch.tensor([10, 20], device=backbone.device)
    return Source(backbone, backbone.alias, labels, data, data)
