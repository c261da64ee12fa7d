"""What a prompt is trained on: the task's loss of every row, with and without dropout."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F

from trainables.backbones import Backbone, Encoded
from trainables.prompts import seeded


def _label_words(
    backbone: Backbone,
    batch: Encoded,
    label_ids: torch.Tensor,
    prompts: torch.Tensor,
    owner: torch.Tensor,
) -> torch.Tensor:
    """Cross-entropy over the label words (paper A, equation 1)."""
    logits = backbone.row_logits(batch, label_ids, prompts, owner)
    return F.cross_entropy(logits, batch.gold, reduction="none")


def _vocabulary(
    backbone: Backbone,
    batch: Encoded,
    label_ids: torch.Tensor,
    prompts: torch.Tensor,
    owner: torch.Tensor,
) -> torch.Tensor:
    """Cross-entropy of the label word over every row of the vocabulary that a token uses."""
    logits = backbone.row_logits(batch, None, prompts, owner)
    return F.cross_entropy(logits, label_ids[batch.gold], reduction="none")


RowLoss = Callable[[Backbone, Encoded, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

LOSSES: dict[str, RowLoss] = {"label_words": _label_words, "vocabulary": _vocabulary}
"""Loss [N] of a batch of N rows, label ids [C], prompts [R, m, d] and each row's prompt [N]."""


def dropped(
    loss: RowLoss, weights: Sequence[object], seeds: Sequence[int]
) -> Callable[[Backbone, str, int], RowLoss]:
    """``loss`` with dropout in the model, its masks paired between replicas of one seed.

    The replicas of one weight λ pass the model together, one pass a weight, and before each pass
    the generator is set anew from the seeds in it, the model and the step. So rows of the same
    seed and example meet the same masks under every λ, and under λ = 0 in a stack of that source
    alone, wherever the passes hold the same seeds. Runs of a seed beside other seeds have other
    masks: with dropout a replica does not get bit by bit what it would get alone.

    Args:
        loss: an entry of :data:`LOSSES`.
        weights: λ of each of the R replicas.
        seeds: their seeds.

    Returns:
        From a model, its key in what is random and the step, the loss; its batches hold the rows
        of replica 0, then of replica 1, and so on, as many of each.
    """
    passes: dict[object, list[int]] = {}
    for place in sorted(range(len(seeds)), key=lambda place: seeds[place]):
        passes.setdefault(weights[place], []).append(place)

    def at(backbone: Backbone, key: str, step: int) -> RowLoss:
        def rows_loss(
            model: Backbone,
            batch: Encoded,
            label_ids: torch.Tensor,
            prompts: torch.Tensor,
            owner: torch.Tensor,
        ) -> torch.Tensor:
            found = prompts.new_zeros(len(seeds), len(owner) // len(seeds))
            every = torch.arange(len(owner), device=owner.device).view(len(seeds), -1)
            parts = {}
            for places in passes.values():
                number = seeded("dropout", key, step, *(seeds[place] for place in places))
                rows = every[places].flatten()
                with _randomness(backbone.device, number.initial_seed()), model.dropout():
                    part = loss(model, batch.take(rows), label_ids, prompts, owner[rows])
                parts.update(zip(places, part.view(len(places), -1), strict=True))
            del found
            return torch.cat([parts[place] for place in range(len(seeds))])

        return rows_loss

    return at


@contextmanager
def _randomness(device: str, number: int) -> Iterator[None]:
    """Within it torch draws from ``number`` on; afterwards from where it was."""
    place = torch.device(device)
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        torch.manual_seed(number)
        yield
