"""What a prompt is trained on: the task's loss of every row, with and without dropout."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from trainables.backbones import AnswerTexts, Backbone, Encoded, Labels, Prompts
from trainables.compute.masks import row_keys
from trainables.core.registries import LOSSES
from trainables.scoring.gradient import PassLoss, RowKeys


def label_words(
    backbone: Backbone,
    batch: Encoded,
    label_ids: Labels,
    prompts: Prompts,
    owner: torch.Tensor,
) -> torch.Tensor:
    """Cross-entropy over the label words (paper A, equation 1).

    Where answers are free text, which has no others to compare with, as :func:`vocabulary`.
    """
    if isinstance(label_ids, AnswerTexts):
        return label_ids.losses(backbone, batch, prompts, owner)
    logits = backbone.row_logits(batch, label_ids, prompts, owner)
    return F.cross_entropy(logits, batch.gold, reduction="none")


def vocabulary(
    backbone: Backbone,
    batch: Encoded,
    label_ids: Labels,
    prompts: Prompts,
    owner: torch.Tensor,
) -> torch.Tensor:
    """Cross-entropy of the label word over every row of the vocabulary that a token uses.

    Of a text of several tokens their negative log-likelihood, summed or averaged as they are
    scored; of several words a class its mean.
    """
    if isinstance(label_ids, AnswerTexts):
        return label_ids.losses(backbone, batch, prompts, owner, whole=True)
    logits = backbone.row_logits(batch, None, prompts, owner)
    return F.cross_entropy(logits, label_ids[batch.gold], reduction="none")


def label_words_of(tasks: torch.Tensor) -> "RowLoss":
    """Cross-entropy over the label words of a row's own task, where those of several are read.

    Args:
        tasks: the task of each label word [C].
    """

    def loss(
        backbone: Backbone,
        batch: Encoded,
        label_ids: Labels,
        prompts: Prompts,
        owner: torch.Tensor,
    ) -> torch.Tensor:
        logits = backbone.row_logits(batch, label_ids, prompts, owner)
        foreign = tasks[batch.gold][:, None] != tasks
        return F.cross_entropy(logits.masked_fill(foreign, -torch.inf), batch.gold,
                               reduction="none")  # fmt: skip

    return loss


OF_TASKS = {"label_words": label_words_of}
"""By its name what stands for a loss where rows are of several tasks; others need nothing else."""

RowLoss = Callable[[Backbone, Encoded, Labels, Prompts, torch.Tensor], torch.Tensor]
"""Loss [N] of a batch of N rows, label words, prompts [R, m, d] and each row's prompt [N]."""


def rows_behind(backbone: Backbone, label_ids: Labels) -> PassLoss:
    def losses(
        batch: Encoded, prompts: Prompts, owner: torch.Tensor, keys: RowKeys
    ) -> torch.Tensor:
        return label_words(backbone, batch, label_ids, prompts, owner)

    return losses


class StackLoss:
    """The task's loss of every row of a stack of R replicas, with dropout if asked for.

    Masks depend on seed, step, model and example alone. So a replica gets with dropout what it
    would get by itself, whatever is stacked beside it and however rows are cut into passes; and
    replicas of one seed, which see the same examples, meet the same masks under every λ.

    Attributes:
        name: of the loss.
        dropout: whether there is any.
    """

    def __init__(
        self,
        loss: str,
        dropout: bool,
        seeds: Sequence[int],
        tasks: torch.Tensor | None = None,
        noise: bool = False,
    ) -> None:
        """Prepare for a stack.

        Args:
            loss: a name in :data:`trainables.core.registries.LOSSES`.
            tasks: the task of each label word [C], where rows are of several.
            noise: whether something else than dropout is drawn of rows, by the same keys.
        """
        self._keyed = dropout or noise
        self.name, self.dropout = loss, dropout
        self._loss: RowLoss = LOSSES[loss]
        if tasks is not None and loss in OF_TASKS:
            self._loss = OF_TASKS[loss](tasks)
        self._seeds = tuple(seeds)

    def keys(self, model: str, rows: torch.Tensor, step: int) -> torch.Tensor | None:
        """Keys [R·B] of a step's rows, of masks and noise; None where nothing is drawn.

        Args:
            rows: training examples [R·B], on the CPU.
        """
        return row_keys(model, self._seeds, step, rows) if self._keyed else None

    def __call__(
        self,
        backbone: Backbone,
        batch: Encoded,
        label_ids: Labels,
        prompts: Prompts,
        owner: torch.Tensor,
        keys: RowKeys,
    ) -> torch.Tensor:
        """Loss [n] of the rows of one pass.

        Args:
            label_ids: what answers are compared by, C classes.
            prompts: [P, m, d], or what the model remembers of them.
            owner: index into ``prompts`` of each row's prompt [n].
            keys: of the rows' masks, not read without dropout.
        """
        if not self.dropout:
            return self._loss(backbone, batch, label_ids, prompts, owner)
        with backbone.dropout(*keys):
            return self._loss(backbone, batch, label_ids, prompts, owner)
