"""Rows put together as was decided: one gather, and the gradient of every other choice.

A row is read as begin, prompt, text, rest. Arranged with l of m vectors kept and j behind the text
it is begin, the first l − min(j, l) vectors, text, the other min(j, l), rest: what was dropped
takes no place. Each arrangement is a list of places in the row as it is read.

With a one-hot a over arrangements, Σ_c a_c · arrange_c *is* the chosen one, and its derivative by
a_c is ⟨∂L/∂input, arrange_c⟩: all C of them are sums over one matrix of inner products of the
input's gradient with the row's vectors. No second pass of the model is needed, and no arrangement
but the chosen one is built.

Shapes: N rows, L places, d width, m vectors, C arrangements.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from trainables.dynamic.guide import LENGTH, POSITION, Decided


def places(
    behind: torch.Tensor,
    kept: torch.Tensor,
    slots: torch.Tensor,
    ends: torch.Tensor,
    length: int,
    width: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Places [N, L] in rows as they are read of rows as they are arranged.

    Args:
        behind: vectors behind the text, j [N].
        kept: vectors that are there, l [N].
        slots: place of the first vector [N].
        ends: place right behind the text [N].
        length: m.
        width: L.

    Returns:
        The places, and where vectors behind the text stand. What follows a row's end means nothing.
    """
    index = torch.arange(width, device=slots.device)[None, :]
    moved = behind.minimum(kept)[:, None]
    kept, slots, ends = kept[:, None], slots[:, None], ends[:, None]
    text, front = ends - slots - length, kept - moved
    at_text = slots + front
    after = at_text + text
    there = after + moved
    found = torch.where(index < at_text, index, index - front + length)
    late = (index >= after) & (index < there)
    found = torch.where(late, index - text, found)
    found = torch.where(index >= there, index + length - kept, found)
    return found.clamp(max=width - 1), late


class _Chosen(torch.autograd.Function):
    """The chosen arrangement of each row, with the gradient of the shares of all."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: torch.Tensor,
        chosen: torch.Tensor,
        alive: torch.Tensor,
        others: Sequence[torch.Tensor],
        *shares: torch.Tensor,
    ) -> torch.Tensor:
        ctx.save_for_backward(rows, chosen, alive, *others)
        ctx.counts = [share.shape[1] for share in shares]
        return rows.gather(1, chosen[..., None].expand(-1, -1, rows.shape[2]))

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[Any, ...]:
        rows, chosen, alive, *others = ctx.saved_tensors
        found = torch.zeros_like(rows)
        found.scatter_add_(1, chosen[..., None].expand_as(slope), slope)
        if not ctx.counts:
            return found, None, None, None
        inner = F.pad((slope @ rows.mT) * alive[..., None], (0, 1))  # [N, L, L + 1]
        sums = [inner.gather(2, other[..., None]).sum((1, 2)) for other in others]
        shares = torch.stack(sums, dim=1).split(ctx.counts, dim=1)
        return found, None, None, None, *shares


def arranged(
    rows: torch.Tensor,
    decided: Decided,
    slots: torch.Tensor,
    ends: torch.Tensor,
    lengths: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Input embeddings [N, L, d] as was decided.

    Args:
        rows: as they are read, all vectors before the text [N, L, d].
        decided: about them.
        slots: place of the first vector [N].
        ends: place right behind the text [N].
        lengths: of the rows as they are read [N].

    Returns:
        The embeddings; the places [N, L] that they are from; where vectors behind the text stand.
    """
    length, width = decided.vectors.shape[1], rows.shape[1]

    def of(behind: torch.Tensor, kept: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return places(behind, kept, slots, ends, length, width)

    index = torch.arange(width, device=rows.device)[None, :]

    def end(kept: torch.Tensor) -> torch.Tensor:
        return (lengths - length + kept)[:, None]

    def other(behind: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """Places of a choice that was not taken; behind its end there is nothing."""
        return torch.where(index < end(kept), of(behind, kept)[0], width)

    chosen, late = of(decided.behind, decided.kept)
    others = []
    if POSITION in decided.shares:
        every = range(length + 1)
        others += [other(torch.full_like(slots, j), decided.kept) for j in every]
    if LENGTH in decided.shares:
        every = range(length)
        others += [other(decided.behind, torch.full_like(slots, length - c)) for c in every]
    alive = index < end(decided.kept)
    shares = [decided.shares[part] for part in (POSITION, LENGTH) if part in decided.shares]
    found: torch.Tensor = _Chosen.apply(rows, chosen, alive, others, *shares)
    return found, chosen, late
