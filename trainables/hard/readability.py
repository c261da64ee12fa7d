"""How much a hard prompt reads like language: its log-perplexity, and its share of real words.

Paper B, section 6, after Rakotonirina et al. 2023: prompts of real English words carry over better.

Shapes: R prompts, m prompt tokens, N rows, V usable rows of the vocabulary.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from trainables.backbones import Backbone, Encoded
from trainables.backbones.layout import SENTINEL
from trainables.errors import InputError

LOGITS_AT_ONCE = 2**25
"""Numbers in a batch of logits [N, V]: 128 MB in float32."""
TOKENS_AT_ONCE = 8192


@torch.no_grad()
def log_perplexity(backbone: Backbone, ids: torch.Tensor) -> torch.Tensor:
    """Mean negative log-likelihood per token of each prompt alone, in nats.

    Probabilities are over the V usable rows of the vocabulary, special tokens among them.

    A causal model predicts every token from those before it. The first one is predicted from the
    special tokens that the tokenizer puts before a text; where it puts none (GPT-2) from its
    beginning-of-sequence token; where it has none either, the first token is not scored, and the
    mean runs over the m - 1 others.

    A masked model gives the pseudo-log-likelihood of Salazar et al. 2020: every token is masked in
    turn and predicted from all others, between the special tokens of the tokenizer. It is no
    probability of the text: compare values of one model only. A sequence-to-sequence model gives
    the same with its first sentinel in place of the mask, asked for what that stands for; without a
    sentinel it gives nothing.

    Args:
        ids: [R, m], at least one token, tokens of this model.

    Returns:
        [R], float32. NaN where nothing is scored (:func:`is_scored`).

    Raises:
        InputError: the prompt with its special tokens is longer than the model's positions.
    """
    replicas, length = ids.shape
    ids = ids.to(backbone.device)
    read = _causal_row if backbone.family.causal else _masked_row
    scored = []
    for place in range(length if replicas and is_scored(backbone, length) else 0):
        row, answer = read(backbone, ids, place)
        if not row.shape[1]:
            continue
        if row.shape[1] > backbone.family.max_tokens:
            raise InputError(
                f"model {backbone.alias!r}: a prompt of {length} tokens takes {row.shape[1]}"
                f" positions with its special tokens; allowed: {backbone.family.max_tokens}"
            )
        scored.append(_surprise(backbone, row, answer, ids[:, place]))
    if not scored:
        return torch.full((replicas,), math.nan, device=backbone.device)
    return torch.stack(scored).mean(dim=0)


def is_scored(backbone: Backbone, length: int) -> bool:
    """Whether prompts of so many tokens have a log-perplexity.

    One alone needs something before it; models that fill in need something that stands for it.
    """
    if not backbone.family.causal:
        return backbone.blank is not None
    return length > 1 or bool(backbone.begin or _first_token(backbone))


def _causal_row(backbone: Backbone, ids: torch.Tensor, place: int) -> tuple[torch.Tensor, int]:
    """What token ``place`` is predicted from [R, L], and where; L = 0 if there is nothing."""
    start = backbone.begin or _first_token(backbone)
    row = torch.cat([_repeated(start, ids), ids[:, :place]], dim=1)
    return row, row.shape[1] - 1


def _masked_row(backbone: Backbone, ids: torch.Tensor, place: int) -> tuple[torch.Tensor, int]:
    """The framed prompt [R, L] with token ``place`` masked, and where that is."""
    hidden, blank = ids.clone(), backbone.blank
    assert blank is not None
    hidden[:, place] = blank
    begin, end = _repeated(backbone.begin, ids), _repeated(backbone.end, ids)
    return torch.cat([begin, hidden, end], dim=1), len(backbone.begin) + place


def _first_token(backbone: Backbone) -> list[int]:
    first = backbone.tokenizer.bos_token_id
    return [first] if first is not None and first < backbone.rows else []


def _repeated(tokens: Sequence[int], ids: torch.Tensor) -> torch.Tensor:
    """The same tokens [R, n] for each of R prompts."""
    return torch.tensor(tokens, dtype=ids.dtype, device=ids.device).expand(len(ids), -1)


def _surprise(
    backbone: Backbone, rows: torch.Tensor, answer: int, wanted: torch.Tensor
) -> torch.Tensor:
    """Negative log-probability [N] of ``wanted`` [N] at one position of rows [N, L]."""
    at_once = min(LOGITS_AT_ONCE // backbone.rows, TOKENS_AT_ONCE // rows.shape[1])
    found = [
        F.cross_entropy(
            backbone.row_logits(_batch(backbone, part, answer), None), gold, reduction="none"
        )
        for part, gold in zip(
            rows.split(max(1, at_once)), wanted.split(max(1, at_once)), strict=True
        )
    ]
    return torch.cat(found)


def _batch(backbone: Backbone, rows: torch.Tensor, answer: int) -> Encoded:
    """Rows [N, L] without padding and without prompt slots, read at one position."""
    every = torch.full((len(rows),), answer, device=rows.device)
    lengths = torch.full_like(every, rows.shape[1])
    nothing = torch.zeros_like(every)
    data = Encoded(ids=rows, lengths=lengths, slots=nothing, answers=every, gold=nothing)
    return backbone.opened(data, SENTINEL)
