"""Directions that a search moves a prompt in, of each replica.

A prompt of m vectors of width d is a point in m·d dimensions, too many to search in without a
gradient. After "Black-Box Tuning for Language-Model-as-a-Service" (Sun et al., ICML 2022) it is
moved by A z, with D numbers z. Whatever the directions are, together they have the length

    Σ_j |a_j|² = m · (mean length of the target's embedding rows)²,

so that a first step, z normal, moves every vector by about the length of a word.

Shapes: R replicas, D directions, m prompt tokens, d width of the target, k vectors. D is as many as
asked for, or m·d where there are no more.
"""

import math

import torch
import torch.nn.functional as F

from trainables.backbones import label_texts
from trainables.core.seeds import seeded
from trainables.core.settings import TransferSettings
from trainables.transfer.problem import Problem
from trainables.transfer.solvers.closed_form import ClosedForm
from trainables.words.frequent import frequent_words

NEIGHBOURS = 8
"""Words near each label word."""

_NOTHING = 1e-6
"""A direction this much shorter than the longest is rounding."""


def count(problem: Problem, settings: TransferSettings) -> int:
    """D."""
    _, tokens, width = problem.shape
    return min(settings.dimensions or 1, tokens * width)


def random_directions(problem: Problem, settings: TransferSettings) -> torch.Tensor:
    """Normal entries, as Sun et al. draw them, float64 [R, D, m, d].

    Their standard deviation is α·s/(√D·σ), with s the spread of the entries of the embedding table,
    σ the first step and α = σ = 1. Here s is the root mean square: mean length of a row over √d.
    """
    _, tokens, width = problem.shape
    many = count(problem, settings)
    spread = problem.target.scale / math.sqrt(width * many)
    drawn = [
        torch.randn(many, tokens, width, generator=_generator(seed), dtype=torch.float64)
        for seed in problem.seeds
    ]
    return spread * torch.stack(drawn)


def carried_directions(problem: Problem, settings: TransferSettings) -> torch.Tensor:
    """Along what the sources' prompts become on the target, float64 [R, D, m, d].

    Each source's prompt is carried over by itself, in closed form; of what the S·m vectors span,
    the principal directions come first, see :func:`_in_every_place`.
    """
    carried = [_carried(problem, source) for source in range(problem.count)]
    return _in_every_place(F.normalize(torch.cat(carried, dim=1), dim=-1), problem, settings)


def word_directions(problem: Problem, settings: TransferSettings) -> torch.Tensor:
    """From the label words to the frequent words nearest to them, float64 [R, D, m, d]."""
    task = problem.on_target
    table, labels = task.backbone.embeddings, label_texts(task.label_ids)
    known, words = set(labels.tokens), frequent_words(task.backbone, "subspace", "random")
    others = torch.tensor([word for word in words if word not in known], device=table.device)
    own = labels.vectors(table)
    near = F.normalize(own, dim=1) @ F.normalize(table[others].float(), dim=1).T
    chosen = others[near.topk(min(NEIGHBOURS, len(others)), dim=1).indices]
    ways = (table[chosen] - own[:, None]).flatten(0, 1)
    return _in_every_place(ways.expand(len(problem.seeds), -1, -1), problem, settings)


def _in_every_place(
    vectors: torch.Tensor, problem: Problem, settings: TransferSettings
) -> torch.Tensor:
    """Orthogonal directions that move one token of a prompt along vectors [R, k, d].

    The principal direction of the vectors in the first token's place, in the second's and so on,
    then the next direction; where they are used up, random ones at right angles to all of them.
    """
    many, (_, tokens, width) = count(problem, settings), problem.shape
    found = []
    for seed, own in zip(problem.seeds, vectors.double().cpu(), strict=True):
        _, lengths, axes = torch.linalg.svd(own, full_matrices=False)
        axes = _signed(axes[lengths > _NOTHING * lengths[0]])
        placed = torch.einsum("kd,pq->kpqd", axes, torch.eye(tokens, dtype=torch.float64))
        whole = placed.reshape(-1, tokens * width)[:many]
        more = torch.randn(
            many - len(whole), tokens * width, generator=_generator(seed), dtype=torch.float64
        )
        # Rows one after another: each keeps what the rows before it do not span.
        square, upper = torch.linalg.qr(torch.cat([whole, more]).T)
        found.append((square * upper.diagonal().sign()).T.view(many, tokens, width))
    return problem.target.scale * math.sqrt(tokens / many) * torch.stack(found)


def _signed(axes: torch.Tensor) -> torch.Tensor:
    """Rows whose largest entry is positive: a decomposition leaves the sign open."""
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    return axes * largest.sign()


def _carried(problem: Problem, source: int) -> torch.Tensor:
    """One source's prompts on the target [R, m, d]."""
    pair = (source, problem.count)
    alone = Problem(
        prompts=(problem.prompts[source],),
        spaces=(problem.spaces[source], problem.target),
        grams={(a, b): problem.grams[pair[a], pair[b]] for a in (0, 1) for b in (0, 1)},
        seeds=problem.seeds,
    )
    return ClosedForm().solve(alone, TransferSettings()).prompts[0]


def _generator(seed: int) -> torch.Generator:
    return seeded("transfer", "search", "directions", seed)
