"""A prompt that learns a teacher's label probabilities of unlabelled texts (distillation)."""

import torch

from trainables.backbones import Backbone, Encoded, Labels, Prompts, reads_of
from trainables.core.seeds import chained_passes, seeded
from trainables.core.settings import TransferSettings
from trainables.errors import InputError
from trainables.scoring.gradient import PassLoss, RowKeys
from trainables.transfer.problem import Lesson, Problem
from trainables.transfer.taught.descent import Course, Descent


class Distil(Descent):
    """Few gradient steps on the target towards the teacher; no label of the task is read.

    With the teacher's probabilities t and the target's label-word logits ℓ behind the prompt, a
    step descends the mean over its texts of

        -T² Σ_c t'_c log softmax(ℓ / T)_c,    t' ∝ t^(1/T)

    (Hinton, Vinyals & Dean 2015; T² keeps gradients of one size whatever the temperature T). A
    replica whose teacher gives all texts one class has nothing to learn: it stays where it begins,
    unless ``degenerate`` says otherwise. Texts held out are left to the choice among candidates.
    """

    def course(self, problem: Problem, settings: TransferSettings, steps: int) -> Course:
        """Shuffled passes over each replica's own texts."""
        lesson, task = problem.lesson(settings), problem.on_target
        size = settings.batch_size or 1
        places = text_order(lesson, problem.seeds, steps, size)
        replica = torch.arange(len(lesson.rows))[:, None]
        soft = softened(lesson.soft, settings.temperature or 1.0)
        constant = lesson.degenerate
        still = constant if settings.degenerate == "keep" else []
        return Course(
            examples=lesson.texts,
            loss=towards(
                task.backbone, task.label_ids, soft.flatten(0, 1), settings.temperature or 1.0
            ),
            order=lesson.rows.cpu()[replica, places],
            keys=replica * lesson.rows.shape[1] + places,
            costs=lesson.costs,
            still=frozenset(place for place, same in enumerate(still) if same),
            numbers=[{"teacher_degenerate": same} for same in constant],
            reads=reads_of(task.label_ids),
        )


def text_order(lesson: Lesson, seeds: tuple[int, ...], steps: int, size: int) -> torch.Tensor:
    """Which of its own texts each replica reads at every step [T, R, B]; none of those held out.

    Raises:
        InputError: all are held out.
    """
    known = lesson.rows.shape[1] - lesson.held
    if not known:
        raise InputError(f"texts: found {lesson.held}, all of them held out; allowed: 2 or more")
    return torch.stack(
        [
            chained_passes(known, steps, size, seeded("transfer", "taught", "order", seed))
            for seed in seeds
        ],
        dim=1,
    )


def softened(soft: torch.Tensor, temperature: float) -> torch.Tensor:
    """Probabilities [..., C] at a temperature: each to the power 1/T, made to sum to 1."""
    return (soft.log() / temperature).softmax(-1)


def towards(
    backbone: Backbone, label_ids: Labels, soft: torch.Tensor, temperature: float
) -> PassLoss:
    """Cross-entropy of label words against given probabilities, at a temperature, times T².

    Args:
        backbone: the model.
        label_ids: what answers are compared by, C classes.
        soft: probabilities at that temperature [K, C], of which a row's key says its own.
        temperature: T.
    """
    wanted = soft.float().to(backbone.device)

    def losses(
        batch: Encoded, prompts: Prompts, owner: torch.Tensor, keys: RowKeys
    ) -> torch.Tensor:
        each, own = keys
        logits = backbone.row_logits(batch, label_ids, prompts, owner)
        found = (logits / temperature).log_softmax(-1)
        return -(wanted[each[own]] * found).sum(-1) * temperature**2

    return losses
