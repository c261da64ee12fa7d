"""What each pocket model is made of: one entry a model, read by :mod:`trainables.pocket.train`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class PocketRecipe:
    """Architecture, tokenizer and token budget of one embedded model.

    Attributes:
        family: Hugging Face ``model_type``.
        tokenizer: one of ``wordpiece``, ``bytelevel``, ``metaspace`` (see ``corpus.py``).
        masked: trained to fill masks (else to predict the next token).
        tokens: training tokens seen, all epochs together.
        causal_share: share of ``tokens`` a masked model first spends on next-token prediction.
            Masked training starts with a long plateau on a small budget; next-token prediction
            teaches embeddings and heads from every position and skips it.
        muon_lr / adam_lr: peak learning rates of matrices / of everything else.
    """

    family: str
    tokenizer: str
    masked: bool
    vocab_size: int
    width: int
    layers: int
    heads: int
    tokens: int
    causal_share: float = 0.0
    batch_tokens: int = 4096
    muon_lr: float = 0.02
    adam_lr: float = 3e-3
    extra: Mapping[str, Any] = field(default_factory=dict)


RECIPES: dict[str, PocketRecipe] = {
    "pocket-bert": PocketRecipe(
        "bert", "wordpiece", True, 6144, 128, 3, 4, tokens=16_000_000, causal_share=0.35
    ),
    "pocket-gpt2": PocketRecipe("gpt2", "gpt-bytelevel", False, 6144, 128, 3, 4, tokens=10_000_000),
    "pocket-roberta": PocketRecipe(
        "roberta", "bytelevel", True, 5120, 160, 3, 4, tokens=14_000_000, causal_share=0.35
    ),
    "pocket-llama": PocketRecipe("llama", "metaspace", False, 5120, 96, 4, 4, tokens=10_000_000),
    "pocket-gpt2-large": PocketRecipe(
        "gpt2", "gpt-bytelevel", False, 6144, 192, 4, 6, tokens=11_000_000
    ),
}
