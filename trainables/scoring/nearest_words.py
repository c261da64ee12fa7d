"""Reading a soft prompt: the vocabulary entries its vectors are nearest to."""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F

from trainables.backbones import Backbone

TOKENS = 3
WORDS = 5
_SPELLINGS = 4
"""Places a word may take at most, in lower case, capitalised, in capitals and in mixed case."""

Texts = list[list[str]]
Cosines = list[list[float]]


@torch.no_grad()
def read_prompts(backbone: Backbone, prompts: torch.Tensor) -> list[dict[str, Any]]:
    """The nearest tokens and whole words of every prompt vector, by cosine.

    Nearest tokens are taken as they are: pieces of words and two spellings of one word (with and
    without a space before it) stand side by side. Whole words are the tokens that start a word,
    are all letters and encode back to themselves, each once whatever its case.

    Args:
        backbone: whose embedding table is read; special tokens are left out.
        prompts: [R, m, d].

    Returns:
        For each of the R prompts ``nearest`` (m lists of :data:`TOKENS` tokens, nearest first) and
        ``nearest_words`` (m lists of up to :data:`WORDS` words), and the cosines of both, rounded
        to four decimals, as ``nearest_cosine`` and ``nearest_words_cosine``.
    """
    table = F.normalize(backbone.embeddings.float(), dim=1)
    whole = whole_words(backbone)
    index = torch.tensor(list(whole.values()), dtype=torch.long, device=table.device)
    found = []
    # One prompt at a time: the similarities of a whole stack would take more room than the model.
    for prompt in prompts.float().to(table.device):
        similarity = F.normalize(prompt, dim=-1) @ table.T
        words, word_cosines = nearest_of(list(whole), similarity[:, index])
        tokens, token_cosines = _tokens(backbone, similarity)
        found.append(
            {
                "nearest": tokens,
                "nearest_cosine": token_cosines,
                "nearest_words": words,
                "nearest_words_cosine": word_cosines,
            }
        )
    return found


def whole_words(backbone: Backbone) -> dict[str, int]:
    """Ids of the tokens that start a word, are all letters and encode back to themselves."""
    return {word: number for word, number in backbone.words.items() if word.isalpha()}


@torch.no_grad()
def nearest_word_ids(backbone: Backbone, prompts: torch.Tensor) -> torch.Tensor:
    """The whole word nearest by cosine to each vector of prompts [R, m, d], as ids [R, m]."""
    ids = torch.tensor(sorted(whole_words(backbone).values()), device=backbone.device)
    table = F.normalize(backbone.embeddings[ids].float(), dim=1)
    # One prompt at a time, see :func:`read_prompts`; a vector's length does not matter.
    rows = [(prompt @ table.T).argmax(-1) for prompt in prompts.float().to(table.device)]
    return ids[torch.stack(rows)]


def finite_reading(reading: Mapping[str, Any]) -> bool:
    """Whether what :func:`read_prompts` says of a prompt rests on finite numbers alone."""
    cosines = (*reading["nearest_cosine"], *reading["nearest_words_cosine"])
    return all(math.isfinite(value) for row in cosines for value in row)


def _tokens(backbone: Backbone, similarity: torch.Tensor) -> tuple[Texts, Cosines]:
    """The nearest of all tokens but the special ones; changes ``similarity`` [m, V]."""
    special = [number for number in backbone.tokenizer.all_special_ids if number < backbone.rows]
    similarity[:, [*special, *backbone.tokenless]] = -torch.inf
    best = similarity.topk(TOKENS, dim=-1)
    decode = backbone.tokenizer.decode
    texts = [[decode([number]).strip() for number in row] for row in best.indices.tolist()]
    return texts, _rounded(best.values)


def nearest_of(names: list[str], similarity: torch.Tensor) -> tuple[Texts, Cosines]:
    """The nearest of some words, each once whatever its case.

    Args:
        names: the W words.
        similarity: of m vectors with them [m, W].

    Returns:
        For each vector up to :data:`WORDS` words, nearest first, and their similarities.
    """
    best = similarity.topk(min(_SPELLINGS * WORDS, len(names)), dim=-1)
    texts: Texts = []
    cosines: Cosines = []
    for places, values in zip(best.indices.tolist(), _rounded(best.values), strict=True):
        kept: dict[str, tuple[str, float]] = {}
        for place, value in zip(places, values, strict=True):
            kept.setdefault(names[place].casefold(), (names[place], value))
        first = list(kept.values())[:WORDS]
        texts.append([word for word, _ in first])
        cosines.append([value for _, value in first])
    return texts, cosines


def _rounded(values: torch.Tensor) -> Cosines:
    return [[round(value, 4) for value in row] for row in values.tolist()]
