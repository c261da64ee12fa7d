"""What an encoder–decoder is trained on: rows for its two halves, and the loss.

Shapes: n rows, L tokens of a window, D of what the decoder is to say, V of the vocabulary.
"""

import numpy as np
import torch
import torch.nn.functional as F
from transformers import PreTrainedModel

SPAN = 3
"""Mean length of what is taken out at one place, as in T5."""
SENTINELS = 20
"""Places of a row that text can be taken out of; their tokens follow one another."""

Rows = tuple[torch.Tensor, torch.Tensor]


def parts(total: int, count: int, generator: torch.Generator) -> list[int]:
    """``total`` cut into ``count`` parts of at least 1, all ways alike."""
    cuts = torch.randperm(total - 1, generator=generator)[: count - 1].sort().values + 1
    found: list[int] = np.diff([0, *cuts.tolist(), total]).tolist()
    return found


def spans_taken_out(
    ids: torch.Tensor, sentinel: int, end: int, rate: float, generator: torch.Generator
) -> Rows:
    """Windows with spans taken out (Raffel et al. 2020).

    Text and gaps take turns, text first: a window ends in a gap, as T5's do. Every row has as many
    gaps, so that rows are equally long.

    Args:
        ids: [n, L].
        sentinel: the first one; each gap has its own.
        end: what ends both texts.
        rate: share of the tokens that is taken out.

    Returns:
        What the encoder reads, a sentinel in each gap, [n, L']; what the decoder is to say, each
        sentinel and what it stands for, [n, D].
    """
    length = ids.shape[1]
    taken = max(1, round(rate * length))
    gaps = min(SENTINELS, max(1, round(taken / SPAN)))
    read, said = [], []
    for row in ids.tolist():
        kept_parts = parts(length - taken, gaps, generator)
        gap_parts = parts(taken, gaps, generator)
        place, left, right = 0, [], []
        for number, (kept, gap) in enumerate(zip(kept_parts, gap_parts, strict=True)):
            left += [*row[place : place + kept], sentinel + number]
            right += [sentinel + number, *row[place + kept : place + kept + gap]]
            place += kept + gap
        read.append([*left, end])
        said.append([*right, end])
    return torch.tensor(read), torch.tensor(said)


def continued(ids: torch.Tensor, end: int, generator: torch.Generator) -> Rows:
    """The beginning of each window [n, L] for the encoder, the rest for the decoder to say.

    Where windows are cut is drawn anew for each batch, within the middle half.
    """
    length = ids.shape[1]
    place = int(torch.randint(length // 4, 3 * length // 4 + 1, (1,), generator=generator))
    last = torch.full((len(ids), 1), end)
    return torch.cat([ids[:, :place], last], 1), torch.cat([ids[:, place:], last], 1)


def said_loss(
    model: PreTrainedModel, read: torch.Tensor, said: torch.Tensor, attention: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cross-entropy of what the decoder is to say.

    Args:
        read: what the encoder reads [n, L].
        said: [n, D], without padding.
        attention: [n, L], 0 on padding (None: there is none).

    Returns:
        (mean loss, logits [n·D, V], gold ids [n·D]).
    """
    start = torch.full((len(said), 1), model.config.decoder_start_token_id)
    logits = model(
        input_ids=read,
        attention_mask=torch.ones_like(read) if attention is None else attention,
        decoder_input_ids=torch.cat([start, said[:, :-1]], 1),
        use_cache=False,
    ).logits.flatten(0, 1)
    gold = said.flatten()
    return F.cross_entropy(logits, gold), logits, gold


def window_loss(
    model: PreTrainedModel,
    ids: torch.Tensor,
    sentinel: int,
    filled: bool,
    rate: float,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Loss of windows [n, L], of which spans are filled in (``filled``) or which are continued.

    Returns:
        (mean loss, logits [m, V] and gold ids [m] of words: no sentinels, no end).
    """
    end = int(model.config.eos_token_id)
    if filled:
        rows = spans_taken_out(ids, sentinel, end, rate, generator)
    else:
        rows = continued(ids, end, generator)
    loss, logits, gold = said_loss(model, *rows, attention=None)
    words = (gold < sentinel) | (gold >= sentinel + SENTINELS)
    words &= gold != end
    return loss, logits[words], gold[words]
