"""What a prompt is trained on: the task's loss of every row, with and without dropout."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F

from trainables.backbones import Backbone, Encoded, Prompts
from trainables.gradient import PassLoss
from trainables.passes import Pass, by_length, length_batches
from trainables.prompts import seeded


def _label_words(
    backbone: Backbone,
    batch: Encoded,
    label_ids: torch.Tensor,
    prompts: Prompts,
    owner: torch.Tensor,
) -> torch.Tensor:
    """Cross-entropy over the label words (paper A, equation 1)."""
    logits = backbone.row_logits(batch, label_ids, prompts, owner)
    return F.cross_entropy(logits, batch.gold, reduction="none")


def _vocabulary(
    backbone: Backbone,
    batch: Encoded,
    label_ids: torch.Tensor,
    prompts: Prompts,
    owner: torch.Tensor,
) -> torch.Tensor:
    """Cross-entropy of the label word over every row of the vocabulary that a token uses."""
    logits = backbone.row_logits(batch, None, prompts, owner)
    return F.cross_entropy(logits, label_ids[batch.gold], reduction="none")


RowLoss = Callable[[Backbone, Encoded, torch.Tensor, Prompts, torch.Tensor], torch.Tensor]

LOSSES: dict[str, RowLoss] = {"label_words": _label_words, "vocabulary": _vocabulary}
"""Loss [N] of a batch of N rows, label ids [C], prompts [R, m, d] and each row's prompt [N]."""


def rows_behind(backbone: Backbone, label_ids: torch.Tensor) -> PassLoss:
    """The loss over the label words, with nothing to drop out."""
    loss = LOSSES["label_words"]

    def losses(
        batch: Encoded, prompts: Prompts, owner: torch.Tensor, part: Pass | None
    ) -> torch.Tensor:
        del part
        return loss(backbone, batch, label_ids, prompts, owner)

    return losses


class StackLoss:
    """The task's loss of every row of a stack of R replicas, with dropout if asked for.

    Rows of like length pass the model together, with dropout only those of one weight λ, as masks
    are paired between replicas of one seed: before each pass the generator is set anew from the
    seeds of that weight, the number of the pass among its passes, the model and the step. So rows
    of one seed and example meet the same masks under every λ, and under λ = 0 in a stack of that
    source alone, wherever the weights have the same seeds. Beside other seeds a replica has other
    masks: with dropout it does not get bit by bit what it would get alone.

    Attributes:
        dropout: whether there is any.
    """

    def __init__(
        self, loss: str, dropout: bool, seeds: Sequence[int], weights: Sequence[float | None]
    ) -> None:
        """Prepare for a stack.

        Args:
            loss: a name in :data:`LOSSES`.
            dropout: whether the models drop out.
            seeds: seed of each replica.
            weights: λ of each replica (None: annealing).
        """
        self._loss = LOSSES[loss]
        self._seeds = tuple(seeds)
        self.dropout = dropout
        self._weights: dict[float | None, list[int]] = {}
        if dropout:
            for place in sorted(range(len(seeds)), key=lambda place: seeds[place]):
                self._weights.setdefault(weights[place], []).append(place)

    def passes(
        self, lengths: torch.Tensor, budget: int, spare: int, step: int = 0
    ) -> Iterator[Pass]:
        """All rows of a step, pass by pass.

        Args:
            lengths: of R · B rows, those of replica 0, then those of replica 1, and so on (without
                dropout also of some of the replicas); on the CPU.
            budget: tokens of a pass.
            spare: of these, padding.
            step: enters dropout masks.
        """
        if not self.dropout:
            yield from by_length(lengths, budget, spare)
            return
        every = torch.arange(len(lengths)).view(len(self._seeds), -1)
        for places in self._weights.values():
            rows = every[places].flatten()
            seeds = tuple(self._seeds[place] for place in places)
            # The same rows under every weight, hence the same passes.
            for number, part in enumerate(length_batches(lengths[rows], budget, spare)):
                yield Pass(rows[part], (step, *seeds, number))

    def __call__(
        self,
        backbone: Backbone,
        batch: Encoded,
        label_ids: torch.Tensor,
        prompts: Prompts,
        owner: torch.Tensor,
        masks: tuple[int, ...] | None = None,
        key: str = "",
    ) -> torch.Tensor:
        """Loss [n] of the rows of one pass.

        Args:
            backbone: the model.
            batch: the rows.
            label_ids: [C].
            prompts: [P, m, d], or what the model remembers of them.
            owner: index into ``prompts`` of each row's prompt [n].
            masks: of the pass.
            key: the model's, which masks depend on besides.
        """
        if masks is None:
            return self._loss(backbone, batch, label_ids, prompts, owner)
        number = seeded("dropout", key, *masks).initial_seed()
        with _randomness(backbone.device, number), backbone.dropout():
            return self._loss(backbone, batch, label_ids, prompts, owner)


@contextmanager
def _randomness(device: str, number: int) -> Iterator[None]:
    """Within it torch draws from ``number`` on; afterwards from where it was."""
    place = torch.device(device)
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        torch.manual_seed(number)
        yield
