"""A prompt tuned on the target with the task's labels, from a start of one's choice."""

from collections.abc import Sequence

import torch
from typing_extensions import override

from trainables.backbones import reads_of
from trainables.core.frontier import Cost
from trainables.core.seeds import chained_passes, seeded
from trainables.core.settings import TransferSettings
from trainables.scoring.losses import rows_behind
from trainables.tasks.shots import check_shots, drawn
from trainables.transfer.problem import Problem
from trainables.transfer.taught.descent import Course, Descent


class Tune(Descent):
    """Cross-entropy over the label words, on all examples of the training split or a few a class.

    From the carried prompt it says what a transfer saves of tuning (the warm start of Su et al.,
    NAACL 2022, and Vu et al., ACL 2022); from ``vocabulary`` it is the control without one. The
    labels that it counts are those of the examples it has read.
    """

    trains_on_target = True

    @override
    def check(
        self, settings: TransferSettings, gold: Sequence[int], classes: int, task: str, count: int
    ) -> None:
        check_shots(settings.shots, gold, classes, task)

    def course(self, problem: Problem, settings: TransferSettings, steps: int) -> Course:
        """Shuffled passes over each replica's own examples."""
        task, size = problem.on_target, settings.batch_size or 1
        gold, classes = task.train.gold.tolist(), len(task.label_ids)
        chosen = {seed: drawn(settings.shots, gold, classes, seed) for seed in set(problem.seeds)}
        # Of all examples the passes are those of a prompt tuned without a transfer.
        passes = {
            seed: own[chained_passes(len(own), steps, size, seeded("order", seed))]
            for seed, own in chosen.items()
        }
        return Course(
            examples=task.train,
            loss=rows_behind(task.backbone, task.label_ids),
            order=torch.stack([passes[seed] for seed in problem.seeds], dim=1),
            costs=[Cost()] * len(problem.seeds),
            labels=len(chosen[problem.seeds[0]]),
            reads=reads_of(task.label_ids),
        )
