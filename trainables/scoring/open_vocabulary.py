"""What prompts are worth where the model may answer with any word (Lester et al. 2021).

Scores compare label words among themselves, whatever else the model would rather say. Here an
answer is *illegal* where some other usable word of the vocabulary has a higher logit than every
label word, and an illegal answer is a wrong one.

A metric is a function of how often each class was given for each true one. So that "wrong" means
the same to all of them, an illegal answer is given to the classes that are not the true one, in
equal parts: of two classes that is the other one, as in T5's F1 for invalid answers; of more it
favours none. Accuracy and recall do not depend on it.

Torch-free at import, so that specs and reports know the names.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainables.tasks.metrics import counts_of, score_counts

if TYPE_CHECKING:
    import torch

OPEN = "open"
EVALUATIONS = (OPEN,)
"""What a spec may ask to be measured besides, under ``evaluation``."""

SPLITS = {"": "test", "validation_": "validation"}
"""The beginning of a number's name, per split."""

KEYS = tuple(f"{start}{name}" for start in SPLITS for name in ("illegal_share", "score_open"))
"""The numbers that this adds to a result; null where a result comes from no words of a model."""

NOTHING = dict.fromkeys(KEYS)


def illegal(logits: "torch.Tensor", rival: "torch.Tensor") -> "torch.Tensor":
    """Which answers are illegal, bool [R, n].

    Args:
        logits: of the label words [R, n, C].
        rival: the highest of all other words [R, n]. One that is no number is higher than any.
    """
    return ~(logits.amax(-1) >= rival)


def open_score(
    gold: Sequence[int], predicted: Sequence[int], wrong: Sequence[bool], classes: int, metric: str
) -> float:
    """The metric with illegal answers as wrong ones, 0..1.

    Args:
        gold: true classes [n].
        predicted: the best label word of each, [n].
        wrong: which answers are illegal [n].
        classes: C.
        metric: a name :mod:`trainables.tasks.metrics` knows.
    """
    import numpy as np

    truth, said = np.asarray(gold), np.asarray(predicted)
    out = np.asarray(wrong, dtype=bool)
    counts = counts_of(truth[~out], said[~out], classes)
    lost = np.bincount(truth[out], minlength=classes)
    counts += lost[:, None] * (1.0 - np.eye(classes)) / max(1, classes - 1)
    return float(score_counts(metric, counts))


def open_numbers(
    logits: "Mapping[str, torch.Tensor]",
    gold: "Mapping[str, torch.Tensor]",
    classes: int,
    metric: str,
) -> list[dict[str, Any]]:
    """The numbers of :data:`KEYS`, per replica.

    Args:
        logits: per split those of the label words with the highest of all other words beside them
            [R, n, C + 1]; without that column (scores that come from no words) numbers are null.
        gold: true classes [n], per split.
        classes: C.
        metric: name of the task's metric.
    """
    found: list[dict[str, Any]] = [dict(NOTHING) for _ in logits["test"]]
    for start, split in SPLITS.items():
        labels, rivals = logits[split][..., :classes], logits[split][..., classes:]
        if not rivals.shape[-1]:
            continue
        truth, wrong = gold[split].tolist(), illegal(labels, rivals[..., 0]).tolist()
        for numbers, out, said in zip(found, wrong, labels.argmax(-1).tolist(), strict=True):
            numbers[f"{start}illegal_share"] = sum(out) / len(out)
            numbers[f"{start}score_open"] = open_score(truth, said, out, classes, metric)
    return found
